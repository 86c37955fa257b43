// `unidbg attach` on a real QEMU with the demo guest, as a user runs it: every way to die, no stop, fall-backs, bad input.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import type { Crash } from '../../src/model/crash.ts';
import type { EventOf, GuestEvent } from '../../src/model/event.ts';
import { openQmp } from '../../src/qemu/qmp/client.ts';
import { buildDemoGuest, type DemoVariant } from '../guests/build.ts';
import { eventsOf, runUnidbg, startUnidbg } from '../support/cli.ts';
import { type DemoGuest, type DemoGuestOptions, startDemoGuest } from '../support/demo-guest.ts';

const directory = mkdtempSync(join(tmpdir(), 'unidbg-attach-'));

async function start(options: DemoGuestOptions): Promise<DemoGuest> {
  const guest = await startDemoGuest(options);
  guests.push(guest);
  return guest;
}

// Tests run side by side, so guests end with the file, not with a test.
const guests: DemoGuest[] = [];
afterAll(async () => {
  await Promise.all(guests.map((guest) => guest.stop()));
});

const pidOf = (guest: DemoGuest): string => String(guest.process.pid);

function ofType<T extends GuestEvent['type']>(events: readonly GuestEvent[], type: T): EventOf<T>[] {
  return events.filter((event): event is EventOf<T> => event.type === type);
}

async function crashOf(append: string, variant: DemoVariant): Promise<{ crash: Crash; status: number | null; count: number }> {
  const guest = await start({ variant, append: `${append} after=1200` });
  const result = await runUnidbg(['attach', pidOf(guest), '--json', '--until-crash', '--hang-after', '1s', '--for', '30s']);
  const crashes = ofType(eventsOf(result), 'crash');
  await guest.stop();
  return { crash: crashes[0]!.crash, status: result.status, count: crashes.length };
}

// Mode, kind, exit code, the title's start, a frame that must be in the stack (function, file).
const DEATHS: readonly (readonly [string, Crash['kind'], number, string, string, string])[] = [
  ['null', 'fault', 4, 'null dereference in count_visit (crash.c:', 'app_handle_request', 'app.c'],
  ['wild', 'fault', 4, 'wild jump in crash_wild (crash.c:', 'app_handle_request', 'app.c'],
  ['div', 'fault', 4, 'divide error in crash_div (crash.c:', 'app_handle_request', 'app.c'],
  ['ud2', 'fault', 4, 'invalid opcode in crash_ud2 (crash.c:', 'app_handle_request', 'app.c'],
  ['gp', 'fault', 4, 'general protection fault in crash_gp (crash.c:', 'app_handle_request', 'app.c'],
  ['stack', 'fault', 4, 'stack overflow in crash_recurse (crash.c:', 'crash_recurse', 'crash.c'],
  ['assert', 'assert', 4, 'assertion divisor != 0 failed in crash_assert (crash.c:', 'app_handle_request', 'app.c'],
  ['abort', 'abort', 4, 'abort in crash_abort (crash.c:', 'app_handle_request', 'app.c'],
  ['oom', 'out-of-memory', 5, 'out of memory in crash_oom (crash.c:', 'app_handle_request', 'app.c'],
  ['deadlock', 'hang', 6, 'deadlock between worker-', 'app_transfer', 'app.c'],
  ['hang', 'hang', 6, 'vcpu 0 spins with interrupts off in crash_spin (crash.c:', 'app_handle_request', 'app.c'],
  ['wait', 'hang', 6, 'no progress in crash_wait (crash.c:', 'app_handle_request', 'app.c'],
  ['starve', 'out-of-memory', 5, 'out of memory in crash_starve (crash.c:', 'app_handle_request', 'app.c'],
];

describe.each(['fp', 'cfi'] as const)('a crash of the %s build', (variant) => {
  it.concurrent.each(DEATHS)(
    'by %s is one event with function, file and line',
    async (mode, kind, exitCode, title, name, file) => {
      const { crash, status, count } = await crashOf(`crash=${mode}`, variant);
      expect(crash.title.slice(0, title.length)).toBe(title);
      expect({ kind: crash.kind, status, count, corrupted: crash.corrupted }).toEqual({
        kind,
        status: exitCode,
        count: 1,
        corrupted: null,
      });
      const frame = crash.frames.find((candidate) => candidate.function === name);
      expect(frame?.file).toMatch(new RegExp(`${file}$`));
      expect(frame?.line).toBeGreaterThan(0);
      expect(crash.unikernel).toBe('demo');
    },
  );
});

describe('a guest that falls silent', () => {
  it.concurrent('before its first word is a stuck boot', async () => {
    const guest = await start({ append: 'stuck' });
    const result = await runUnidbg(['attach', pidOf(guest), '--json', '--until-crash', '--hang-after', '1s', '--for', '20s']);
    const [event] = ofType(eventsOf(result), 'crash');
    expect(event?.crash.title).toMatch(/^stuck boot: vcpu 0 spins with interrupts off in wait_for_device \(main\.c:\d+\)$/);
    expect(result.status).toBe(6);
  });

  it.concurrent('in its firmware, which found nothing to boot, is a stuck boot', async () => {
    const image = join(directory, 'empty.raw');
    writeFileSync(image, new Uint8Array(1024 * 1024));
    const guest = await start({ kernel: false, qemuArgs: ['-drive', `file=${image},format=raw,if=ide`] });
    const result = await runUnidbg(['attach', pidOf(guest), '--json', '--until-crash', '--hang-after', '1s', '--for', '30s']);
    const [event] = ofType(eventsOf(result), 'crash');
    expect(event?.crash.title).toMatch(/^stuck boot: the guest is still in its firmware/);
    expect(event?.crash).toMatchObject({ kind: 'hang', frames: [] });
    expect(result.status).toBe(6);
  });

  it.concurrent('to compute is not accused: its registers change', async () => {
    const guest = await start({ append: 'crash=busy after=1200' });
    const result = await runUnidbg(['attach', pidOf(guest), '--json', '--until-crash', '--hang-after', '1s', '--for', '9s']);
    const looks = ofType(eventsOf(result), 'stacks').filter(({ stacks }) =>
      stacks.some(({ frames }) => frames[0]?.function === 'crash_spin'),
    );
    expect(looks.length).toBeGreaterThan(8);
    expect(ofType(eventsOf(result), 'crash')).toEqual([]);
    expect(result.status).toBe(0);
  });
});

describe('a panic that reaches QEMU by pvpanic', () => {
  it.concurrent('is told with the last lines of the console when its words are not known', async () => {
    const guest = await start({ append: 'crash=pvpanic after=1200', qemuArgs: ['-device', 'pvpanic', '-action', 'panic=pause'] });
    const result = await runUnidbg(['attach', pidOf(guest), '--json', '--until-crash', '--for', '20s']);
    const [event] = ofType(eventsOf(result), 'crash');
    expect(event?.crash.title).toMatch(/^the guest reported its panic \(pvpanic\) in crash_pvpanic \(crash\.c:\d+\)$/);
    expect(event?.crash).toMatchObject({ kind: 'panic', witness: 'vm' });
    expect(event?.crash.message).toMatch(
      /^the guest reported its panic \(pvpanic\)\nThe last lines on its console:\n(?:.*\n)*fatal: all is lost$/,
    );
    expect(result.status).toBe(4);
  });

  it.concurrent('is told of a guest that QEMU lets go on', async () => {
    const guest = await start({ append: 'crash=pvpanic after=4000', qemuArgs: ['-device', 'pvpanic', '-action', 'panic=none'] });
    const result = await runUnidbg(['attach', pidOf(guest), '--json', '--until-crash', '--for', '20s']);
    const events = eventsOf(result);
    expect(ofType(events, 'crash')[0]?.crash.title).toMatch(/^the guest reported its panic \(pvpanic\), and goes on/);
    expect(ofType(events, 'vm').at(-1)?.status).toBe('running');
    await guest.stop();
  });
});

describe('a guest that switches itself off', () => {
  it.concurrent('ends `run`, which keeps QEMU for the dead: nothing is wrong, so exit code 0', async () => {
    const elf = await buildDemoGuest('fp');
    const qemu = ['qemu-system-x86_64', '-machine', 'q35', '-accel', 'tcg', '-m', '128M', '-nodefaults', '-display', 'none'];
    const began = Date.now();
    const result = await runUnidbg([
      ...['run', '--plain', '--for', '60s', '--', ...qemu, '-serial', 'null', '-kernel', elf, '-append', 'crash=exit after=800'],
    ]);
    expect(result.stdout).toMatch(/\[unidbg\] VM shutdown: the guest switched itself off/);
    expect(result.status).toBe(0);
    expect(Date.now() - began).toBeLessThan(50_000);
  });
});

describe('a QEMU that ends', () => {
  const qemu = ['qemu-system-x86_64', '-machine', 'q35', '-accel', 'tcg', '-m', '128M', '-nodefaults', '-display', 'none'];

  it.concurrent('by isa-debug-exit under `run` is told with its status', async () => {
    const elf = await buildDemoGuest('fp');
    const guest = ['-device', 'isa-debug-exit', '-serial', 'null', '-kernel', elf, '-append', 'crash=exit code=4 after=800'];
    const result = await runUnidbg(['run', '--plain', '--for', '60s', '--', ...qemu, ...guest]);
    expect(result.stderr).toContain('unidbg: QEMU ended with status 9');
    expect(result.status).toBe(0);
  });

  it.concurrent('by a signal under `run` is exit code 3, and is not the guest’s death', async () => {
    const elf = await buildDemoGuest('fp');
    const name = `killed-${process.pid}`;
    const run = startUnidbg([
      ...['run', '--plain', '--for', '60s', '--', ...qemu, '-name', name],
      ...['-serial', 'null', '-kernel', elf],
    ]);
    while (!run.stdout().includes('console: serial0')) await sleep(50);
    const listed = await runUnidbg(['ls', '--json']);
    const { vms } = JSON.parse(listed.stdout) as { vms: readonly { readonly pid: number; readonly name: string }[] };
    const own = vms.filter((vm) => vm.name === name);
    expect(own).toHaveLength(1);
    process.kill(own[0]!.pid, 'SIGKILL');
    const result = await run.ended;
    expect(result.stderr).toContain('unidbg: QEMU ended by SIGKILL');
    expect(result.stdout).toContain('QEMU ended without a word: it was killed, or it crashed itself');
    expect(result.stdout).not.toContain('===');
    expect(result.status).toBe(3);
  });
});

describe('a triple fault', () => {
  it('is told with its exact place when QEMU keeps the registers', async () => {
    const guest = await start({ append: 'crash=triple after=4000', qemuArgs: ['-no-shutdown'] });
    const result = await runUnidbg(['attach', pidOf(guest), '--json', '--until-crash', '--for', '20s']);
    const [event] = ofType(eventsOf(result), 'crash');
    expect(event?.crash.title).toMatch(/^triple fault in power_triple_fault \(power\.c:\d+\)$/);
    expect(result.status).toBe(4);
  });

  it('is told without a place, and with the cure, when QEMU resets or ends', async () => {
    const guest = await start({ append: 'crash=triple after=4000' });
    const result = await runUnidbg(['attach', pidOf(guest), '--json', '--for', '20s']);
    const [event] = ofType(eventsOf(result), 'crash');
    expect(event?.crash).toMatchObject({ kind: 'fault', frames: [], registers: null });
    expect(event?.crash.message).toContain('-no-reboot -no-shutdown');
  });
});

describe('looking', () => {
  it('never stops the guest: no STOP event, no pause of its ticks, the first stack in under a second', async () => {
    const seconds = Number(process.env['UNIDBG_LOOK_SECONDS'] ?? 8);
    const second = join(directory, 'second.qmp');
    const guest = await start({ qemuArgs: ['-qmp', `unix:${second},server=on,wait=off`] });
    const qmp = await openQmp({ kind: 'unix', path: second });
    const stops: string[] = [];
    qmp.subscribe((event) => {
      if (event.name === 'STOP') stops.push(event.name);
    });
    await guest.waitForConsole(/up 1\./);
    const address = tickAddress(guest.elf);
    const ticks: number[] = [];
    const began = Date.now();
    const run = startUnidbg(['attach', pidOf(guest), '--json', '--for', `${seconds}s`]);
    let firstStackMs = 0;
    while (run.process.exitCode === null) {
      if (firstStackMs === 0 && run.stdout().includes('"type":"stacks"')) firstStackMs = Date.now() - began;
      ticks.push(Number(/:\s*(0x[0-9a-f]+)/.exec(await qmp.hmp(`x /1gx ${address}`))?.[1]));
      await sleep(100);
    }
    qmp.close();
    const events = eventsOf(await run.ended);
    const named = ofType(events, 'stacks')[0]?.stacks.some((stack) => stack.frames.some((frame) => frame.function !== null));
    expect(named).toBe(true);
    expect(stops).toEqual([]);
    // 100 Hz ticks seen every 100 ms: ten expected, none at all would be a guest that stood still.
    expect(ticks.length).toBeGreaterThan(seconds * 5);
    expect(ticks.slice(1).filter((tick, index) => tick <= ticks[index]!)).toEqual([]);
    expect(firstStackMs).toBeGreaterThan(0);
    expect(ofType(events, 'metrics').length).toBeGreaterThan(seconds / 2);
  });

  it.runIf(process.getuid?.() === 0)(
    'works for a user without any right to the process, and says what it falls back to',
    async () => {
      const guest = await start({});
      await chmod(guest.folder, 0o755);
      await chmod(guest.qmpPath, 0o777);
      await guest.waitForConsole(/up 1\./);
      const elf = join(directory, 'readable.elf');
      writeFileSync(elf, readFileSync(guest.elf));
      await chmod(directory, 0o755);
      const under = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
      const result = await runUnidbg(['attach', `unix:${guest.qmpPath}`, '--json', '--for', '3s', '--symbols', elf], { under });
      expect(result).toMatchObject({ status: 0, stderr: '' });
      const events = eventsOf(result);
      const remarks = ofType(events, 'diagnostic').map((event) => event.diagnostic.message);
      expect(remarks.join('\n')).toMatch(/guest memory is read through the monitor \(HMP xp\)/);
      expect(remarks.join('\n')).toMatch(/not permitted|EACCES|EPERM|permission/i);
      const frames = ofType(events, 'stacks').flatMap((event) => event.stacks.flatMap((stack) => stack.frames));
      expect(frames.some((frame) => frame.function !== null && frame.line !== null)).toBe(true);
    },
  );
});

describe('bad input', () => {
  it('an ELF of something else names nothing and says so', async () => {
    const guest = await start({});
    await guest.waitForConsole(/up 1\./);
    const result = await runUnidbg(['attach', pidOf(guest), '--json', '--for', '3s', '--symbols', process.execPath]);
    const events = eventsOf(result);
    expect(ofType(events, 'images')[0]?.images[0]?.match).toBe('mismatch');
    expect(JSON.stringify(ofType(events, 'diagnostic'))).toMatch(/is not (?:what the guest runs|loaded) /);
    expect(
      ofType(events, 'stacks')
        .flatMap((event) => event.stacks.flatMap((stack) => stack.frames))
        .every((frame) => frame.function === null),
    ).toBe(true);
  });

  it('a truncated ELF, a missing one, a socket that is none: exit code 3 and one clear line', async () => {
    const elf = join(directory, 'truncated.elf');
    writeFileSync(elf, readFileSync(await buildDemoGuest('fp')));
    truncateSync(elf, 5000);
    const guest = await start({});
    const cases = [
      { args: ['attach', pidOf(guest), '--plain', '--symbols', elf], words: /truncated\.elf is truncated/ },
      { args: ['attach', pidOf(guest), '--plain', '--symbols', join(directory, 'none')], words: /cannot read .*none/ },
      { args: ['attach', `unix:${join(directory, 'nobody.sock')}`, '--plain'], words: /no such socket/ },
      { args: ['attach', 'no-such-vm', '--plain'], words: /no running QEMU is called "no-such-vm"/ },
    ];
    for (const { args, words } of cases) {
      const { status, stdout, stderr } = await runUnidbg(args);
      expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
      expect(stderr).toMatch(words);
    }
  });

  it('a wrong option is exit code 2', async () => {
    expect((await runUnidbg(['attach', '--no-such-option'])).status).toBe(2);
    expect((await runUnidbg(['attach', 'x', '--plain', '--for', 'soon'])).stderr).toMatch(/"soon" is not a time span/);
  });

  it('a VM that is killed while attached ends the session at once, without an error', async () => {
    const guest = await start({});
    await guest.waitForConsole(/up 1\./);
    const run = startUnidbg(['attach', pidOf(guest), '--json', '--for', '30s']);
    while (!run.stdout().includes('"type":"stacks"')) await sleep(20);
    guest.process.kill('SIGKILL');
    const result = await run.ended;
    expect(result.status).toBe(0);
    expect(ofType(eventsOf(result), 'vm').at(-1)?.status).toBe('gone');
    expect(result.stderr).toBe('');
  });
});

describe('a recording', () => {
  it('replays the same events, the same crash and the same exit code', async () => {
    const file = join(directory, 'crash.unidbg');
    const guest = await start({ append: 'crash=null after=1000' });
    const live = await runUnidbg(['attach', pidOf(guest), '--json', '--until-crash', '--record', file, '--for', '20s']);
    const replayed = await runUnidbg(['replay', file, '--json']);
    const asReplay = (events: GuestEvent[]): GuestEvent[] =>
      events.map((event) =>
        event.type === 'identity' ? { ...event, identity: { ...event.identity, kind: 'replay' as const } } : event,
      );
    expect(eventsOf(replayed)).toEqual(asReplay(eventsOf(live)));
    expect([live.status, replayed.status]).toEqual([4, 4]);
    expect((await runUnidbg(['replay', file])).stdout).toMatch(/=== FAULT: null dereference in count_visit \(crash\.c:\d+\)/);
  });
});

function tickAddress(elf: string): string {
  const line = execFileSync('nm', [elf], { encoding: 'utf8' })
    .split('\n')
    .find((entry) => entry.endsWith(' tick_count'));
  return `0x${line!.split(' ')[0]!}`;
}
