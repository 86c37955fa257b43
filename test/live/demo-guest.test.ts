// The demo guest keeps what its README promises: every way to die, unwinding in every build, collection, network. gdb,
// addr2line and nm are the oracles.

import { execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import type { DemoVariant } from '../guests/build.ts';
import { type DemoGuest, type DemoGuestOptions, startDemoGuest } from '../support/demo-guest.ts';

const run = promisify(execFile);
const guests: DemoGuest[] = [];

async function start(options: DemoGuestOptions): Promise<DemoGuest> {
  const guest = await startDemoGuest(options);
  guests.push(guest);
  return guest;
}

afterAll(async () => {
  await Promise.all(guests.map((guest) => guest.stop()));
});

const APP_FRAMES = ['crash_point', 'balance_of', 'app_render', 'app_transfer', 'app_execute', 'app_parse', 'app_handle_request'];
const OUTER_FRAMES = ['worker_main', 'thread_main', 'thread_start'];
const TITLE = /PANIC: (.*) cpu 0 thread worker-1\r\n(address 0x[0-9a-f]+ error 0x[0-9a-f]+|error 0x[0-9a-f]+)?/;

/** [mode, words of the first line, the line after it, the innermost frames]. */
const PANICS: readonly (readonly [string, RegExp, RegExp | undefined, readonly string[]])[] = [
  ['null', /^page fault \(#PF\)$/, /^address 0x10 error 0x0$/, ['count_visit', 'crash_null']],
  ['wild', /^page fault \(#PF\)$/, /^address 0xbadc0de000 error 0x10$/, ['??', 'crash_wild']],
  ['div', /^divide error \(#DE\)$/, undefined, ['crash_div']],
  ['ud2', /^invalid opcode \(#UD\)$/, undefined, ['crash_ud2']],
  ['gp', /^general protection \(#GP\)$/, /^error 0x0$/, ['crash_gp']],
  [
    'assert',
    /^assertion failed: divisor != 0 \(demo\/crash\.c:\d+, crash_assert\)$/,
    undefined,
    ['assert_failed', 'crash_assert'],
  ],
  ['abort', /^abort called$/, undefined, ['panic', 'crash_abort']],
  ['stack', /^stack overflow in thread worker-1$/, /^address 0x[0-9a-f]+ error 0x2$/, ['crash_recurse', 'crash_recurse']],
  ['oom', /^out of memory: 262144 bytes for a cache that never forgets$/, undefined, ['alloc_or_panic', 'crash_oom']],
];

/** The functions at an address, innermost inline first, by addr2line. A return address is looked up one byte before. */
async function functionsAt(elf: string, address: bigint): Promise<string[]> {
  const { stdout } = await run('addr2line', ['-f', '-i', '-e', elf, `0x${address.toString(16)}`]);
  return stdout.split('\n').filter((_, index) => index % 2 === 0 && stdout.split('\n').length > index + 1);
}

async function functionsOf(elf: string, addresses: readonly bigint[]): Promise<string[]> {
  const perAddress = addresses.map((address, index) => functionsAt(elf, index === 0 ? address : address - 1n));
  return (await Promise.all(perAddress)).flat();
}

function addressesAfter(console: string, pattern: RegExp): bigint[] {
  return [...console.matchAll(pattern)].map((match) => BigInt(match[1]!));
}

/** What gdb prints for the commands, with the guest stopped over its gdbstub. */
async function gdb(guest: DemoGuest, commands: readonly string[]): Promise<string> {
  const connected = [`target remote ${join(guest.folder, 'gdb.sock')}`, ...commands];
  const args = ['-batch', '-nx', '-ex', 'set width 0', ...connected.flatMap((command) => ['-ex', command]), guest.elf];
  return (await run('gdb', args)).stdout;
}

/** A guest whose gdbstub is opened; it runs until gdb connects. */
async function startWithGdbstub(variant: DemoVariant, append: string): Promise<DemoGuest> {
  const guest = await start({ variant, append });
  await qmp(guest, 'human-monitor-command', {
    'command-line': `gdbserver unix:${join(guest.folder, 'gdb.sock')},server=on,wait=off`,
  });
  return guest;
}

/** One QMP command on a connection of its own. */
async function qmp(guest: DemoGuest, execute: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
  const socket = connect(guest.qmpPath);
  try {
    const commands = [{ execute: 'qmp_capabilities' }, { execute, arguments: args, id: 'answer' }];
    socket.write(commands.map((command) => JSON.stringify(command)).join('\n'));
    for await (const line of createInterface(socket)) {
      const message = JSON.parse(line) as { id?: string; return?: unknown; error?: unknown };
      if (message.id !== 'answer') continue;
      if (message.error !== undefined) throw new Error(JSON.stringify(message.error));
      return message.return;
    }
    throw new Error('QEMU closed its QMP socket');
  } finally {
    socket.destroy();
  }
}

/** Bytes of a global, read while the guest runs; the image is mapped at its physical address. */
async function readGlobal(guest: DemoGuest, name: string): Promise<Buffer> {
  const { stdout } = await run('nm', ['-S', guest.elf]);
  const symbol = new RegExp(`^([0-9a-f]+) ([0-9a-f]+) \\w ${name}$`, 'm').exec(stdout);
  const file = join(guest.folder, `${name}.bin`);
  await qmp(guest, 'pmemsave', { val: Number.parseInt(symbol![1]!, 16), size: Number.parseInt(symbol![2]!, 16), filename: file });
  return readFile(file);
}

async function readCounter(guest: DemoGuest, name: string, offset = 0): Promise<number> {
  return Number((await readGlobal(guest, name)).readBigUInt64LE(offset));
}

describe.each(['fp', 'cfi', 'eh'] satisfies DemoVariant[])('the demo guest, built as %s,', (variant) => {
  it.concurrent.each(PANICS)('panics by crash=%s with the stack it died with', async (mode, words, detail, innermost) => {
    const guest = await start({ variant, append: `crash=${mode} after=100` });
    const console = await guest.waitForConsole(/-- halted --\r\n/);
    const title = TITLE.exec(console);
    expect(title?.[1]).toMatch(words);
    if (detail === undefined) expect(title?.[2]).toBeUndefined();
    else expect(title?.[2]).toMatch(detail);

    const traced = addressesAfter(console, /^ {2}#\d+ (0x[0-9a-f]+)\r$/gm);
    const scanned = addressesAfter(console, /^ {2}\? (0x[0-9a-f]+)\r$/gm);
    const functions = await functionsOf(guest.elf, [...traced, ...scanned]);
    const expected = mode === 'stack' ? innermost : [...innermost, ...APP_FRAMES, ...OUTER_FRAMES];
    if (variant === 'fp') {
      expect(functions.filter((name) => expected.includes(name)).slice(0, expected.length)).toEqual(expected);
    } else {
      expect(traced).toHaveLength(1);
      expect(functions).toEqual(expect.arrayContaining([...expected.slice(mode === 'stack' ? 0 : 2)]));
    }
  });

  it('can be unwound by gdb through its trap and from its switched-out threads', async () => {
    const guest = await startWithGdbstub(variant, 'crash=null after=200');
    await guest.waitForConsole(/-- halted --\r\n/);
    const stopped = await gdb(guest, ['bt']);
    const names = [...stopped.matchAll(/^#\d+ +(?:0x[0-9a-f]+ in )?(<signal handler called>|\w+)/gm)].map((match) => match[1]);
    const interrupted = names.slice(names.indexOf('<signal handler called>') + 1);
    expect(interrupted).toEqual(['count_visit', 'crash_null', ...APP_FRAMES, ...OUTER_FRAMES]);

    const context = 'sched.threads->next->context'; // housekeeping
    const registers = ['rsp', 'rbp', 'rip'].map((name) => `set $${name} = ${context}.${name}`);
    const switchedOut = await gdb(guest, [...registers, 'bt']);
    expect(switchedOut).toMatch(
      /#0 +switch_context [^]*switch_to [^]*thread_sleep_ns [^]*housekeeping_main [^]*thread_main [^]*thread_start /,
    );
    expect(switchedOut).not.toMatch(/corrupt|Backtrace stopped/);
  });
});

describe('the demo guest dies silently', () => {
  it.concurrent('by crash=hang: no tick any more, and no word', async () => {
    const guest = await start({ append: 'crash=hang after=200' });
    await guest.waitForConsole(/unikernel up/);
    await sleep(1500);
    const before = await readCounter(guest, 'tick_count');
    await sleep(300);
    expect(await readCounter(guest, 'tick_count')).toBe(before);
    expect(await guest.console()).not.toMatch(/PANIC|up 2/);
    const registers = await qmp(guest, 'human-monitor-command', { 'command-line': 'info registers' });
    const rip = /RIP=([0-9a-f]+)/.exec(String(registers))?.[1] ?? '';
    expect(await functionsAt(guest.elf, BigInt(`0x${rip}`))).toEqual(['crash_spin']);
  });

  it.concurrent('by crash=deadlock: ticks go on, two threads wait for each other', async () => {
    const guest = await startWithGdbstub('fp', 'crash=deadlock after=100');
    await guest.waitForConsole(/unikernel up/);
    await sleep(2000);
    const said = await guest.console();
    const before = await readCounter(guest, 'tick_count');
    await sleep(1200);
    expect(await readCounter(guest, 'tick_count')).toBeGreaterThan(before + 50);
    expect(await guest.console()).toBe(said);
    const worker = 'sched.threads->next->next';
    const cycle = [worker, `${worker}->waiting_for->owner`, `${worker}->waiting_for->owner->waiting_for->owner`];
    const printed = await gdb(guest, [`printf "%s, %s, %s\\n", ${cycle.map((path) => `${path}->name`).join(', ')}`]);
    expect(printed).toMatch(/^worker-1, worker-2, worker-1$/m);
  });

  it.concurrent('by crash=triple: the machine resets', async () => {
    const guest = await start({ append: 'crash=triple after=100' });
    expect(await guest.exited).toBe(0);
    expect(await guest.console()).not.toMatch(/PANIC/);
  });

  it.concurrent('by crash=exit: QEMU ends with the code asked for', async () => {
    const guest = await start({ append: 'crash=exit code=7 after=100', qemuArgs: ['-device', 'isa-debug-exit,iobase=0xf4'] });
    expect(await guest.exited).toBe(15);
  });
});

it('the demo guest tells pvpanic of its panic, after its last word', async () => {
  const guest = await start({ append: 'crash=ud2 after=1500', qemuArgs: ['-device', 'pvpanic', '-action', 'panic=shutdown'] });
  expect(await guest.exited).toBe(0);
  expect(await guest.console()).toMatch(/-- halted --\r\n$/);
});

it('the demo guest does not outlive a test process that is killed', async () => {
  const module = join(import.meta.dirname, '../support/demo-guest.ts');
  const script = [
    `import { startDemoGuest } from ${JSON.stringify(module)};`,
    'const guest = await startDemoGuest();',
    'console.log(JSON.stringify([guest.process.pid, guest.folder]));',
    'setInterval(() => undefined, 1000);',
  ].join('\n');
  const orphaner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = (await once(orphaner.stdout, 'data')) as [Buffer];
  const [pid, folder] = JSON.parse(said.toString()) as [number, string];
  orphaner.kill('SIGKILL');
  // Dead, or dead and not yet collected by init.
  const isGone = async (): Promise<boolean> =>
    readFile(`/proc/${pid}/stat`, 'latin1').then(
      (stat) => stat.includes(') Z '),
      () => true,
    );
  await expect.poll(isGone, { timeout: 10_000, interval: 50 }).toBe(true);
  await rm(folder, { recursive: true, force: true });
});

describe('the demo guest, healthy,', () => {
  it('collects garbage several times a second, and counts what that costs', async () => {
    const guest = await startWithGdbstub('cfi', '');
    await guest.waitForConsole(/up 3\.\d+s requests \d+ jobs \d+ gc \d+ cycles/, 40_000);
    const names = [
      'cycles',
      'pause_last_ns',
      'pause_max_ns',
      'pause_total_ns',
      'heap_size_bytes',
      'heap_used_bytes',
      'live_bytes',
    ];
    const expressions = [...names, 'pauses_ns[(gc_stats.cycles - 1) % 64]', 'allocated_bytes'].map((name) => `gc_stats.${name}`);
    const printed = await gdb(guest, [`printf "numbers${' %lu'.repeat(expressions.length)}\\n", ${expressions.join(', ')}`]);
    const numbers = /^numbers (.*)$/m.exec(printed)?.[1]?.split(' ').map(Number) ?? [];
    const [cycles = 0, last = 0, max = 0, total = 0, size = 0, used = 0, live = 0, newest = 0, allocated = 0] = numbers;
    expect(cycles).toBeGreaterThan(8);
    expect(last).toBeGreaterThan(1000);
    expect(newest).toBe(last);
    expect(max).toBeGreaterThanOrEqual(last);
    expect(total).toBeGreaterThanOrEqual(max);
    expect(live).toBeGreaterThan(5_000);
    expect(used).toBeGreaterThanOrEqual(live);
    expect(used).toBeLessThanOrEqual(size);
    expect(allocated).toBeGreaterThan(cycles * 100 * 1024);
  });

  it('never collects with gc=off: its heap grows', async () => {
    const guest = await start({ append: 'gc=off' });
    const text = await guest.waitForConsole(/up 2\.\d+s .* gc 0 cycles live 0 KiB heap \d+ KiB/);
    const sizes = [...text.matchAll(/heap (\d+) KiB/g)].map((match) => Number(match[1]));
    expect(sizes[1]).toBeGreaterThan(sizes[0]!);
  });

  it('is quiet, floods the console and leaks when asked to', async () => {
    const guest = await start({ append: 'quiet rate=500 leak=1000000' });
    const text = await guest.waitForConsole(/flood line 999 /);
    expect(text).not.toMatch(/demo: up /);
    expect(await readCounter(guest, 'alloc_stats', 8)).toBeGreaterThan(1_500_000);
  });

  it('keeps its console in memory as it was printed', async () => {
    const guest = await start({ append: 'quiet rate=50' });
    await guest.waitForConsole(/flood line 20 /);
    await qmp(guest, 'stop');
    const log = await readGlobal(guest, 'console_log');
    const written = Number(log.readBigUInt64LE(log.length - 8));
    expect(log.toString('latin1', 0, written)).toBe((await guest.console()).replaceAll('\r', ''));
  });

  it('boots on microvm and pc too, and with every feature of -cpu max', async () => {
    const machines = [
      ['-machine', 'microvm'],
      ['-machine', 'pc'],
      ['-cpu', 'max', '-smp', '2', '-device', 'virtio-net-pci'],
    ];
    const booted = await Promise.all(machines.map((qemuArgs) => start({ variant: 'cfi', qemuArgs })));
    for (const guest of booted) expect(await guest.waitForConsole(/demo: up 1\./)).toMatch(/unikernel up/);
  });
});

describe('the demo guest on the network', () => {
  it('answers ARP, ping, UDP echo and status, and drops what is broken', async () => {
    const wire = await openWire();
    const guest = await start({ qemuArgs: [...wire.qemuArgs, '-device', 'virtio-net-pci,netdev=n0'] });
    await guest.waitForConsole(/net: virtio card 52:54:00:12:34:56 at 10\.0\.2\.15/);

    const arp = await wire.ask(arpRequest(), (frame) => frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 2);
    expect(arp.toString('hex', 22, 32)).toBe('5254001234560a00020f');

    const echo = ipv4(1, withChecksum(Buffer.from('0800000012340001', 'hex'), Buffer.from('hello guest')));
    const pong = await wire.ask(echo, (frame) => frame[23] === 1 && frame[34] === 0);
    expect(pong.toString('latin1', 42, 53)).toBe('hello guest');

    const echoed = await wire.ask(udp(7, 'an odd text'), (frame) => frame[23] === 17 && frame.readUInt16BE(34) === 7);
    expect(echoed.toString('latin1', 42, 53)).toBe('an odd text');

    const status = await wire.ask(udp(9, '?'), (frame) => frame[23] === 17 && frame.readUInt16BE(34) === 9);
    expect(status.toString('latin1', 42)).toMatch(/^demo up_ms=\d+ ticks=\d+ requests=\d+ jobs=\d+ gc_cycles=\d+/);

    const broken = udp(7, 'never to come back');
    broken[30] = 99; // another destination, under the old checksum
    wire.send(broken);
    wire.send(Buffer.alloc(13));
    await wire.ask(udp(7, 'still there'), (frame) => frame.includes('still there'));
    expect(await readCounter(guest, 'net_stats', 40)).toBeGreaterThanOrEqual(1); // rx_dropped
    wire.close();
  });
});

/** An Ethernet wire to a guest: QEMU's `dgram` netdev sends each frame as one UDP datagram. */
async function openWire(): Promise<{
  qemuArgs: string[];
  send: (frame: Buffer) => void;
  ask: (frame: Buffer, isAnswer: (frame: Buffer) => boolean) => Promise<Buffer>;
  close: () => void;
}> {
  const ours = createSocket('udp4');
  const reserved = createSocket('udp4');
  for (const socket of [ours, reserved]) {
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
  }
  const port = reserved.address().port;
  reserved.close();
  const send = (frame: Buffer): void => {
    ours.send(frame, port, '127.0.0.1');
  };
  const ask = async (frame: Buffer, isAnswer: (frame: Buffer) => boolean): Promise<Buffer> => {
    for (let attempt = 0; attempt < 40; attempt += 1) {
      const heard: Buffer[] = [];
      const listen = (answer: Buffer): void => {
        heard.push(answer);
      };
      ours.on('message', listen);
      send(frame);
      for (let waited = 0; waited < 10 && !heard.some(isAnswer); waited += 1) await sleep(50);
      ours.off('message', listen);
      const answer = heard.find(isAnswer);
      if (answer !== undefined) return answer;
    }
    throw new Error('the guest did not answer');
  };
  const address = (side: string, number: number): string => `${side}.type=inet,${side}.host=127.0.0.1,${side}.port=${number}`;
  const netdev = `dgram,id=n0,${address('local', port)},${address('remote', ours.address().port)}`;
  return { qemuArgs: ['-netdev', netdev], send, ask, close: () => ours.close() };
}

const OUR_MAC = '020000000001';
const OUR_IP = '0a000202';

function arpRequest(): Buffer {
  return Buffer.from(`ffffffffffff${OUR_MAC}08060001080006040001${OUR_MAC}${OUR_IP}0000000000000a00020f`, 'hex');
}

function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += at + 1 < bytes.length ? bytes.readUInt16BE(at) : bytes.readUInt8(at) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An ICMP message: its header with the checksum filled in, and its data. */
function withChecksum(header: Buffer, data: Buffer): Buffer {
  const message = Buffer.concat([header, data]);
  message.writeUInt16BE(internetChecksum(message), 2);
  return message;
}

function ipv4(protocol: number, payload: Buffer): Buffer {
  const header = Buffer.from(`450000000001000040000000${OUR_IP}0a00020f`, 'hex');
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt8(protocol, 9);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([Buffer.from(`525400123456${OUR_MAC}0800`, 'hex'), header, payload]);
}

function udp(port: number, text: string): Buffer {
  const header = Buffer.alloc(8); // checksum 0: not used
  header.writeUInt16BE(4321, 0);
  header.writeUInt16BE(port, 2);
  header.writeUInt16BE(8 + text.length, 4);
  return ipv4(17, Buffer.concat([header, Buffer.from(text, 'latin1')]));
}
