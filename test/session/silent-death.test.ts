import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/model/frame.ts';
import type { GuestThread } from '../../src/model/thread.ts';
import { findWaitCycle, SilentDeathDetector } from '../../src/session/silent-death.ts';
import { isFirmwareLine } from '../../src/session/silent-death-boot.ts';
import type { Observation, SilentDeath } from '../../src/session/silent-death-types.ts';
import { goneOn, NOTHING_PRINTED } from '../../src/session/system-habits.ts';

const IF = 0x200n;
/** Paging and protection on: a guest past its firmware. */
const CR0 = 0x8000_0011n;

type Values = Record<string, bigint>;

function frame(name: string | null, index: number): Frame {
  const place = { functionOffset: 0, file: null, line: null, column: null, module: null };
  return { ...place, index, pc: 1n, trust: 'cfi', cfa: null, function: name, inlined: false, status: 'symbolicated' };
}

/** One look at a guest of one vCPU; `stack` innermost first. */
function observe(
  at: number,
  values: Values,
  stack: string | readonly string[] | null,
  more: Partial<Observation> = {},
): Observation {
  const names = stack === null ? [] : typeof stack === 'string' ? [stack] : stack;
  return {
    at,
    vcpus: [{ vcpu: 0, registers: { machine: 'x86_64', values: { cr0: CR0, ...values } } }],
    stacks: [{ frames: names.map(frame), torn: false, end: 'outermost' }],
    threads: [],
    console: { lines: 3, isWhole: true, firmwareLine: null, lastWords: null },
    system: { isIdleIn: (name) => name === 'idle', starvesIn: [/^refill$/], memory: null },
    ...more,
  };
}

/** What is said first, of looks every half second for `ms`. */
function firstVerdict(ms: number, look: (at: number) => Observation, patienceMs = 1000): SilentDeath | null {
  const detector = new SilentDeathDetector({ patienceMs });
  for (let at = 0; at <= ms; at += 500) {
    const death = detector.push(look(at));
    if (death !== null) return death;
  }
  return null;
}

const thread = (id: string, blockedBy: string | null): GuestThread => ({
  id,
  name: `t${id}`,
  state: blockedBy === null ? 'running' : 'blocked',
  waitingFor: blockedBy === null ? null : `lock ${id}`,
  blockedBy,
  registers: null,
  stack: null,
  cpuTimeNs: null,
});

const sleeper = (sp: bigint): GuestThread => ({
  ...thread('9', null),
  state: 'sleeping',
  registers: { machine: 'x86_64', values: { rip: 5n, rsp: sp } },
});

describe('a silent death', () => {
  it('by dead halt is told when every vCPU halts with interrupts off, twice in a row', () => {
    const detector = new SilentDeathDetector({ patienceMs: 1000 });
    const dead = { halted: 1n, eflags: 2n, rip: 1n };
    expect(detector.push(observe(0, dead, 'halt'))).toBeNull();
    expect(detector.push(observe(100, dead, 'halt'))?.message).toBe(
      'dead halt\nEvery vCPU is halted with interrupts off, in halt: nothing but a reset can wake it',
    );
    expect(detector.push(observe(200, dead, 'halt'))).toBeNull();
  });

  it('is no guest that said its last words and then halted: it has ended', () => {
    const dead = { halted: 1n, eflags: 2n, rip: 1n };
    const line = { number: 1, source: 's', text: 'Solo5: solo5_exit(0) called', partial: false, notes: [] };
    const over = { ...goneOn(NOTHING_PRINTED, line, /^Solo5: solo5_exit/), isWhole: true };
    expect(over.lastWords).toBe(line.text);
    expect(firstVerdict(60_000, (at) => observe(at, dead, 'halt', { console: over }))).toBeNull();
    expect(goneOn(NOTHING_PRINTED, line, null).lastWords).toBeNull();
  });

  it('is told again of the next boot', () => {
    const detector = new SilentDeathDetector({ patienceMs: 1000 });
    const dead = { halted: 1n, eflags: 2n, rip: 1n };
    const told = (): boolean => [0, 100].map((at) => detector.push(observe(at, dead, 'halt'))).some((death) => death !== null);
    expect(told()).toBe(true);
    expect(told()).toBe(false);
    detector.reset();
    expect(told()).toBe(true);
  });

  it('is not an idle vCPU, which halts with interrupts on', () => {
    expect(firstVerdict(60_000, (at) => observe(at, { halted: 1n, eflags: IF, rip: 1n }, 'idle'), 0)).toBeNull();
  });

  it('by livelock is told after the patience, not before, and not when the function changes', () => {
    const detector = new SilentDeathDetector({ patienceMs: 1000 });
    const spin = { halted: 0n, eflags: 2n, rip: 1n };
    expect(detector.push(observe(0, spin, 'f'))).toBeNull();
    expect(detector.push(observe(900, spin, 'g'))).toBeNull();
    expect(detector.push(observe(1500, spin, 'g'))).toBeNull();
    expect(detector.push(observe(1900, spin, 'g'))?.message).toBe('vcpu 0 spins with interrupts off\nfor 1 s, always in g');
  });

  it('by deadlock names who waits for whom, when the cycle is seen twice', () => {
    const detector = new SilentDeathDetector({ patienceMs: 1000 });
    const threads = [thread('1', '2'), thread('2', '1'), thread('3', null)];
    const idle = { halted: 1n, eflags: IF, rip: 1n };
    expect(detector.push(observe(0, idle, 'idle', { threads }))).toBeNull();
    expect(detector.push(observe(500, idle, 'idle', { threads }))?.message).toBe(
      'deadlock between t1 and t2\nt1 waits for lock 1 held by t2\nt2 waits for lock 2 held by t1',
    );
  });

  it('is not a thread that waits for one that runs', () => {
    expect(findWaitCycle([thread('1', '2'), thread('2', null)])).toBeNull();
    expect(findWaitCycle([thread('1', '9')])).toBeNull();
  });
});

describe('no progress with interrupts on', () => {
  const registers = { halted: 0n, eflags: IF, rax: 0n, rsp: 0x1000n };
  const spin = (at: number): Observation => observe(at, { ...registers, rip: BigInt(at % 3) }, ['wait_for_answer', 'main']);

  it('is told when no register changes for three patiences', () => {
    expect(firstVerdict(2900, spin)).toBeNull();
    const death = firstVerdict(10_000, spin);
    expect(death).toMatchObject({ pattern: 'no-progress', kind: 'hang', vcpu: 0 });
    expect(death?.message).toBe(
      'no progress\nfor 4 s vcpu 0 has gone round in wait_for_answer, interrupts on, without changing a register; nothing was printed',
    );
  });

  it('is told in spite of looks that fall into an interrupt on top of the loop', () => {
    const look = (at: number): Observation =>
      at % 2500 === 500
        ? observe(at, { ...registers, rax: 7n, eflags: 2n }, ['tick', 'irq', 'wait_for_answer', 'main'])
        : spin(at);
    expect(firstVerdict(10_000, look)?.pattern).toBe('no-progress');
  });

  it('is no vCPU that computes: its registers change', () => {
    expect(firstVerdict(600_000, (at) => observe(at, { ...registers, rax: BigInt(at) }, 'work'))).toBeNull();
  });

  it('is no polling idle loop, no unknown system and no code without a name', () => {
    expect(firstVerdict(600_000, (at) => observe(at, registers, ['cpu_pause', 'idle']))).toBeNull();
    expect(firstVerdict(600_000, (at) => observe(at, registers, 'poll', { system: null }))).toBeNull();
    expect(firstVerdict(600_000, (at) => observe(at, registers, null))).toBeNull();
  });

  it('is no guest that prints, nor one whose threads come and go', () => {
    const printing = (at: number): Observation => ({
      ...spin(at),
      console: { lines: at / 1000, isWhole: true, firmwareLine: null, lastWords: null },
    });
    expect(firstVerdict(600_000, printing)).toBeNull();
    expect(firstVerdict(600_000, (at) => ({ ...spin(at), threads: [sleeper(BigInt(at))] }))).toBeNull();
    expect(firstVerdict(10_000, (at) => ({ ...spin(at), threads: [sleeper(8n)] }))?.message).toContain(
      'no other thread did anything',
    );
  });

  it('is no guest of which another vCPU works', () => {
    const two = (at: number): Observation => {
      const [one, other] = [spin(at), observe(at, { ...registers, rcx: BigInt(at) }, 'work')];
      return { ...one, vcpus: [...one.vcpus, { ...other.vcpus[0]!, vcpu: 1 }], stacks: [...one.stacks, ...other.stacks] };
    };
    expect(firstVerdict(600_000, two)).toBeNull();
  });
});

describe('out of memory without a word', () => {
  const memory = { freeBytes: 76 * 1024, totalBytes: 249 * 1024 * 1024 };
  const system = { isIdleIn: (name: string) => name === 'idle', starvesIn: [/^refill$/], memory };
  const running = (at: number): Values => ({ halted: 0n, eflags: IF, rax: BigInt(at) });
  const filler = ['lock', 'refill', 'fill_thread'];
  const wanter = ['remove', 'refill', 'malloc', 'load_orders', 'main'];
  const starve = (at: number): Observation => observe(at, running(at), at % 1000 === 0 ? filler : wanter, { system });

  it('is told after the patience, with the stack of the thread that wants memory from where it waits', () => {
    const death = firstVerdict(10_000, starve);
    expect(death).toMatchObject({ pattern: 'starvation', kind: 'out-of-memory' });
    expect(death?.frames?.map((each) => [each.index, each.function])).toEqual([
      [0, 'refill'],
      [1, 'malloc'],
      [2, 'load_orders'],
      [3, 'main'],
    ]);
    expect(death?.message).toContain('in refill: 76.0 KiB of 249 MiB are free, and nothing is printed');
  });

  it('is told of a guest that idles between its attempts', () => {
    const look = (at: number): Observation =>
      at % 2000 === 0 ? starve(at) : observe(at, { halted: 1n, eflags: IF }, 'idle', { system });
    expect(firstVerdict(20_000, look)?.pattern).toBe('starvation');
  });

  it('is no guest that has memory, that prints, or that does anything else', () => {
    const rich = { ...system, memory: { ...memory, freeBytes: memory.totalBytes / 50 } };
    expect(firstVerdict(60_000, (at) => ({ ...starve(at), system: rich }))).toBeNull();
    expect(firstVerdict(60_000, (at) => ({ ...starve(at), system: { ...system, memory: null } }))).toBeNull();
    expect(
      firstVerdict(60_000, (at) => ({
        ...starve(at),
        console: { lines: at, isWhole: true, firmwareLine: null, lastWords: null },
      })),
    ).toBeNull();
    const working = (at: number): Observation =>
      at % 1500 === 0 ? observe(at, running(at), ['sum', 'main'], { system }) : starve(at);
    expect(firstVerdict(60_000, working)).toBeNull();
  });

  it('takes a torn stack for no evidence of work', () => {
    const torn = (at: number): Observation => {
      const look = observe(at, running(at), ['memset', 'main'], { system });
      return at % 1500 === 0 ? { ...look, stacks: look.stacks.map((stack) => ({ ...stack, torn: true })) } : starve(at);
    };
    expect(firstVerdict(60_000, torn)?.pattern).toBe('starvation');
  });
});

describe('a stuck boot', () => {
  const silent = { lines: 0, isWhole: true, firmwareLine: null, lastWords: null };

  it('is the name of every silent death before the first word', () => {
    const look = (at: number): Observation => observe(at, { halted: 0n, eflags: 2n }, 'wait_for_device', { console: silent });
    expect(firstVerdict(2000, look)?.message).toBe(
      'stuck boot: vcpu 0 spins with interrupts off\nfor 1 s, always in wait_for_device\nThe guest has printed nothing since it started',
    );
    const cannotTell = firstVerdict(2000, (at) => ({ ...look(at), console: { ...silent, isWhole: false } }));
    expect(cannotTell?.message).toMatch(/^vcpu 0 spins/);
  });

  // SeaBIOS 1.16 without anything to boot: it halts in real mode, and goes to 32-bit code without paging and back.
  const inFirmware = (at: number): Observation =>
    observe(
      at,
      at % 1000 === 0 ? { cr0: 0x10n, halted: 1n, eflags: IF } : { cr0: 0x11n, halted: 0n, eflags: IF, rax: BigInt(at) },
      null,
      {
        console: { ...silent, firmwareLine: 'No bootable device.' },
        system: null,
      },
    );

  it('is a guest that never leaves its firmware', () => {
    expect(firstVerdict(5500, inFirmware)).toBeNull();
    expect(firstVerdict(7000, inFirmware)).toMatchObject({ pattern: 'stuck-boot', kind: 'hang' });
    expect(firstVerdict(7000, inFirmware)?.message).toMatch(
      /^stuck boot: the guest is still in its firmware\n.*\nThe firmware's last words: No bootable device\.\n/,
    );
  });

  it('is none that ever turned paging on, that spoke, or that runs unpaged without real mode', () => {
    expect(
      firstVerdict(60_000, (at) => (at === 500 ? observe(at, { eflags: IF, halted: 1n }, null) : inFirmware(at))),
    ).toBeNull();
    expect(firstVerdict(60_000, (at) => ({ ...inFirmware(at), console: { ...silent, lines: 1 } }))).toBeNull();
    expect(firstVerdict(60_000, (at) => observe(at, { cr0: 0x11n, halted: 0n, eflags: IF, rax: BigInt(at) }, null))).toBeNull();
  });

  it('does not count the words of the firmware as the guest’s', () => {
    expect(['SeaBIOS (version 1.16.2-1)', 'iPXE (http://ipxe.org) 00:03.0', 'Booting from ROM..'].every(isFirmwareLine)).toBe(
      true,
    );
    expect(['OSv v0.57', 'Booted up in 3 ms', 'Press any key'].some(isFirmwareLine)).toBe(false);
    const line = (text: string): Parameters<typeof goneOn>[1] => ({ number: 1, source: 's', text, partial: false, notes: [] });
    const firmware = goneOn(goneOn(NOTHING_PRINTED, line(''), null), line('No bootable device.'), null);
    expect(firmware).toEqual({ lines: 0, firmwareLine: 'No bootable device.', lastWords: null });
    expect(goneOn(firmware, line('hello'), null).lines).toBe(1);
  });
});
