// Deaths without a word, found from the VM's state, registers, stacks and threads alone. Fed one observation per look; says a
// verdict once. What is certain is said at once, what could be a busy healthy guest only after a patience. The patterns that
// need a system's habits (no progress, starvation, stuck boot) have files of their own.

import { findPc, type Registers } from '../model/registers.ts';
import type { GuestThread } from '../model/thread.ts';
import { StuckBoot } from './silent-death-boot.ts';
import { Starvation } from './silent-death-memory.ts';
import { NoProgress } from './silent-death-spin.ts';
import { type DeathPattern, innermost, type Observation, type SilentDeath, seconds } from './silent-death-types.ts';

const INTERRUPT_FLAG = 0x200n;

/** Watches for all patterns. `patienceMs`: so long a vCPU may spin with interrupts off; less certain patterns take a multiple of it. */
export class SilentDeathDetector {
  private readonly patterns: readonly DeathPattern[];
  private readonly told = new Set<string>();

  constructor({ patienceMs }: { readonly patienceMs: number }) {
    this.patterns = [
      new DeadHalt(),
      new Deadlock(),
      new Livelock(patienceMs),
      new Starvation(patienceMs),
      new NoProgress(3 * patienceMs),
      new StuckBoot(6 * patienceMs),
    ];
  }

  /** Starts over: the guest was reset. */
  reset(): void {
    this.told.clear();
    for (const pattern of this.patterns) pattern.reset();
  }

  push(observation: Observation): SilentDeath | null {
    // Each sees each observation, whatever another says of it.
    const verdicts = this.patterns.map((pattern) => pattern.push(observation));
    const found = verdicts.find((verdict) => verdict !== null && !this.told.has(verdict.pattern)) ?? null;
    if (found === null) return null;
    this.told.add(found.pattern);
    return isBeforeFirstWord(observation) ? { ...found, message: asStuckBoot(found.message) } : found;
  }
}

// Every vCPU executes HLT with interrupts off: only an NMI or a reset can ever wake it. Two observations, because a context
// switch may pass through that state for some instructions.
class DeadHalt implements DeathPattern {
  private since: number | null = null;

  reset(): void {
    this.since = null;
  }

  push(observation: Observation): SilentDeath | null {
    const { at, vcpus, stacks, console } = observation;
    // Seen: Solo5 says `solo5_exit(0) called` and, with nothing to switch it off, halts like this. That is no death.
    if (!isDeadHalt(observation) || console?.lastWords != null) this.since = null;
    else this.since ??= at;
    if (this.since === null || at === this.since) return null;
    const where = innermost(stacks[0]);
    return {
      pattern: 'dead-halt',
      kind: 'hang',
      message: `dead halt\nEvery vCPU is halted with interrupts off${where === null ? '' : `, in ${where}`}: nothing but a reset can wake it`,
      vcpu: vcpus[0]?.vcpu ?? null,
      threads: [],
      frames: null,
    };
  }
}

// Threads that wait for each other in a circle never go on. Seen in two observations running, to exclude a torn read.
class Deadlock implements DeathPattern {
  private seen: string | null = null;

  reset(): void {
    this.seen = null;
  }

  push({ threads }: Observation): SilentDeath | null {
    const cycle = findWaitCycle(threads);
    const key = cycle === null ? null : cycle.map((thread) => thread.id).join(',');
    const seenBefore = key !== null && this.seen === key;
    this.seen = key;
    if (cycle === null || !seenBefore) return null;
    const names = cycle.map((thread) => thread.name).join(' and ');
    const chain = cycle.map(
      (thread) => `${thread.name} waits for ${thread.waitingFor ?? 'a lock'} held by ${nameOf(threads, thread.blockedBy)}`,
    );
    return {
      pattern: 'deadlock',
      kind: 'hang',
      message: [`deadlock between ${names}`, ...chain].join('\n'),
      vcpu: null,
      threads: cycle.map((thread) => thread.id),
      frames: null,
    };
  }
}

// A vCPU that runs with interrupts off, in the same function, for as long as our patience: no timer, no device and no
// scheduler can get at it any more.
class Livelock implements DeathPattern {
  private readonly patienceMs: number;
  private spin: { readonly since: number; readonly key: string } | null = null;

  constructor(patienceMs: number) {
    this.patienceMs = patienceMs;
  }

  reset(): void {
    this.spin = null;
  }

  push({ at, vcpus, stacks }: Observation): SilentDeath | null {
    const index = vcpus.findIndex(({ registers }) => interruptsOff(registers) && registers.values.halted !== 1n);
    const stuck = vcpus[index];
    if (stuck === undefined) {
      this.spin = null;
      return null;
    }
    const where = innermost(stacks[index]);
    const key = `${stuck.vcpu} ${where ?? String((findPc(stuck.registers) ?? 0n) >> 8n)}`;
    if (this.spin?.key !== key) this.spin = { since: at, key };
    const forMs = at - this.spin.since;
    if (forMs < this.patienceMs) return null;
    return {
      pattern: 'livelock',
      kind: 'hang',
      message: `vcpu ${stuck.vcpu} spins with interrupts off\nfor ${seconds(forMs)}${where === null ? '' : `, always in ${where}`}`,
      vcpu: stuck.vcpu,
      threads: [],
      frames: null,
    };
  }
}

/** Whether nothing but a reset can wake any vCPU. */
export function isDeadHalt({ vcpus }: Pick<Observation, 'vcpus'>): boolean {
  return vcpus.length > 0 && vcpus.every(({ registers }) => registers.values.halted === 1n && interruptsOff(registers));
}

/** A cycle in "is blocked by", or null. */
export function findWaitCycle(threads: readonly GuestThread[]): readonly GuestThread[] | null {
  const byId = new Map(threads.map((thread) => [thread.id, thread]));
  for (const start of threads) {
    const path: GuestThread[] = [];
    for (let at: GuestThread | undefined = start; at?.blockedBy != null; at = byId.get(at.blockedBy)) {
      if (path.includes(at)) return path.slice(path.indexOf(at));
      path.push(at);
    }
  }
  return null;
}

function nameOf(threads: readonly GuestThread[], id: string | null): string {
  return threads.find((thread) => thread.id === id)?.name ?? `thread ${id ?? '?'}`;
}

function interruptsOff(registers: Registers): boolean {
  const flags = registers.values.eflags;
  return registers.machine === 'x86_64' && flags !== undefined && (flags & INTERRUPT_FLAG) === 0n;
}

/** The guest's whole console is before us, and there is nothing on it but firmware. */
function isBeforeFirstWord({ console }: Observation): boolean {
  return console !== null && console.isWhole && console.lines === 0;
}

function asStuckBoot(message: string): string {
  const [title = '', ...rest] = message.split('\n');
  const told = title.startsWith('stuck boot') ? title : `stuck boot: ${title}`;
  return [told, ...rest, 'The guest has printed nothing since it started'].join('\n');
}
