// Deaths without a word, found from the VM's state, registers and threads alone. Fed one observation per tick; says a
// verdict once. What is certain is said at once, what could be a busy healthy guest only after `patienceMs`.

import type { Registers } from '../model/registers.ts';
import { findPc } from '../model/registers.ts';
import type { GuestThread } from '../model/thread.ts';

/** What one tick saw. */
export interface Observation {
  readonly at: number;
  readonly vcpus: readonly { readonly vcpu: number; readonly registers: Registers }[];
  /** Innermost function of each vCPU, null where unknown, in the order of `vcpus`. */
  readonly functions: readonly (string | null)[];
  readonly threads: readonly GuestThread[];
}

/** A silent death: what is wrong, in our words. `vcpu` whose stack tells most. */
export interface SilentDeath {
  readonly pattern: 'dead-halt' | 'deadlock' | 'livelock';
  readonly message: string;
  readonly vcpu: number | null;
  /** Threads whose stacks tell it, for a deadlock. */
  readonly threads: readonly string[];
}

const INTERRUPT_FLAG = 0x200n;

/** Watches for dead halt, deadlock and livelock. */
export class SilentDeathDetector {
  private readonly patienceMs: number;
  private livelock: { since: number; key: string } | null = null;
  private halted: { since: number } | null = null;
  private cycle: { key: string } | null = null;
  private readonly told = new Set<string>();

  constructor(options: { readonly patienceMs: number }) {
    this.patienceMs = options.patienceMs;
  }

  /** Starts over: the guest was reset, resumed by a debugger, or somebody stopped it. */
  reset(): void {
    this.livelock = null;
    this.halted = null;
    this.cycle = null;
  }

  push(observation: Observation): SilentDeath | null {
    const found = this.findDeadHalt(observation) ?? this.findDeadlock(observation) ?? this.findLivelock(observation);
    if (found === null || this.told.has(found.pattern)) return null;
    this.told.add(found.pattern);
    return found;
  }

  // Every vCPU executes HLT with interrupts off: only an NMI or a reset can ever wake it. Two observations, because
  // a context switch may pass through that state for some instructions.
  private findDeadHalt({ at, vcpus, functions }: Observation): SilentDeath | null {
    const dead = vcpus.length > 0 && vcpus.every(({ registers }) => registers.values.halted === 1n && interruptsOff(registers));
    if (!dead) this.halted = null;
    else this.halted ??= { since: at };
    if (this.halted === null || at === this.halted.since) return null;
    const where = functions[0] ?? null;
    return {
      pattern: 'dead-halt',
      message: `dead halt\nEvery vCPU is halted with interrupts off${where === null ? '' : `, in ${where}`}: nothing but a reset can wake it`,
      vcpu: vcpus[0]?.vcpu ?? null,
      threads: [],
    };
  }

  // Threads that wait for each other in a circle never go on. Seen in two observations running, to exclude a torn read.
  private findDeadlock({ threads }: Observation): SilentDeath | null {
    const cycle = findWaitCycle(threads);
    const key = cycle === null ? null : cycle.map((thread) => thread.id).join(',');
    const seenBefore = key !== null && this.cycle?.key === key;
    this.cycle = key === null ? null : { key };
    if (cycle === null || !seenBefore) return null;
    const names = cycle.map((thread) => thread.name).join(' and ');
    const chain = cycle.map(
      (thread) => `${thread.name} waits for ${thread.waitingFor ?? 'a lock'} held by ${nameOf(threads, thread.blockedBy)}`,
    );
    return {
      pattern: 'deadlock',
      message: [`deadlock between ${names}`, ...chain].join('\n'),
      vcpu: null,
      threads: cycle.map((thread) => thread.id),
    };
  }

  // A vCPU that runs with interrupts off, in the same function, for as long as our patience: no timer, no device and no
  // scheduler can get at it any more. With interrupts on it may be honest work, so nothing is said.
  private findLivelock({ at, vcpus, functions }: Observation): SilentDeath | null {
    const index = vcpus.findIndex(({ registers }) => interruptsOff(registers) && registers.values.halted !== 1n);
    const stuck = vcpus[index];
    if (stuck === undefined) {
      this.livelock = null;
      return null;
    }
    const pc = findPc(stuck.registers);
    const key = `${stuck.vcpu} ${functions[index] ?? String((pc ?? 0n) >> 8n)}`;
    if (this.livelock?.key !== key) this.livelock = { since: at, key };
    const forMs = at - this.livelock.since;
    if (forMs < this.patienceMs) return null;
    const where = functions[index] ?? null;
    return {
      pattern: 'livelock',
      message: `vcpu ${stuck.vcpu} spins with interrupts off\nfor ${(forMs / 1000).toFixed(0)} s${where === null ? '' : `, always in ${where}`}`,
      vcpu: stuck.vcpu,
      threads: [],
    };
  }
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
