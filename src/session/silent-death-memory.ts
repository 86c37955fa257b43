// A guest that ran out of memory and tries for ever (seen: OSv 0e34e4dc, whose page pool and its fill thread spin in
// `memory::page_pool::l2::refill` without a word). Told by three witnesses that agree: the functions, the system's own count of
// free memory, and a console that is silent.

import type { Frame } from '../model/frame.ts';
import { formatSize } from '../model/quantity.ts';
import {
  type DeathPattern,
  isIdle,
  type Observation,
  type SilentDeath,
  type SystemHabits,
  seconds,
} from './silent-death-types.ts';

/** Less than a hundredth free is nothing: systems keep more for themselves. */
const NOTHING_LEFT = 100;
const MIN_LOOKS = 4;

interface Spell {
  readonly since: number;
  readonly consoleLines: number;
  /** Looks that found a vCPU at work. Seen: two vCPUs of OSv idle most of the time between two vain attempts. */
  busy: number;
  telling: number;
  best: { readonly vcpu: number; readonly frames: readonly Frame[]; readonly outside: number; readonly where: string };
}

/** Told when for `patienceMs` every vCPU that does anything was in the system's waiting-for-memory code with no memory left. */
export class Starvation implements DeathPattern {
  private readonly patienceMs: number;
  private spell: Spell | null = null;

  constructor(patienceMs: number) {
    this.patienceMs = patienceMs;
  }

  reset(): void {
    this.spell = null;
  }

  push(observation: Observation): SilentDeath | null {
    const { at, system, console } = observation;
    const lines = console?.lines ?? 0;
    if (
      system === null ||
      !isExhausted(system) ||
      this.isElsewhere(observation) ||
      (this.spell?.consoleLines ?? lines) !== lines
    ) {
      this.spell = null;
      return null;
    }
    const found = findStarving(observation, system.starvesIn);
    if (found !== null) {
      this.spell ??= { since: at, consoleLines: lines, busy: 0, telling: 0, best: found };
      this.spell.telling += 1;
      // The thread that wants memory says more than the system's own that looks for it: it has come further.
      if (found.outside > this.spell.best.outside) this.spell.best = found;
    }
    if (this.spell !== null && observation.vcpus.some((_, index) => !isIdle(observation, index))) this.spell.busy += 1;
    return this.spell === null ? null : this.verdict(this.spell, at, system);
  }

  private verdict({ since, busy, telling, best }: Spell, at: number, { memory }: SystemHabits): SilentDeath | null {
    const forMs = at - since;
    if (forMs < this.patienceMs || telling < MIN_LOOKS || telling * 2 < busy || memory === null) return null;
    const left = `${formatSize(memory.freeBytes)} of ${formatSize(memory.totalBytes)} are free`;
    return {
      pattern: 'starvation',
      kind: 'out-of-memory',
      message: `out of memory, and no end to it\nfor ${seconds(forMs)} it tries again and again in ${best.where}: ${left}, and nothing is printed`,
      vcpu: best.vcpu,
      threads: [],
      frames: best.frames,
    };
  }

  // A whole stack that is neither idle nor starving is work. A torn one proves nothing.
  private isElsewhere(observation: Observation): boolean {
    const { stacks, system } = observation;
    return stacks.some(
      (stack, index) =>
        !stack.torn &&
        stack.end === 'outermost' &&
        !isIdle(observation, index) &&
        whereStarving(stack.frames, system?.starvesIn ?? []) < 0,
    );
  }
}

function isExhausted({ memory }: SystemHabits): boolean {
  return memory !== null && memory.freeBytes * NOTHING_LEFT < memory.totalBytes;
}

function findStarving({ vcpus, stacks }: Observation, starvesIn: readonly RegExp[]): Spell['best'] | null {
  for (const [index, { frames }] of stacks.entries()) {
    const at = whereStarving(frames, starvesIn);
    const where = frames[at]?.function;
    if (where == null) continue;
    // What the waiting function is doing just now is another thing at each look, and nobody's fault.
    const telling = frames.slice(at).map((frame, place) => ({ ...frame, index: place }));
    const outside = telling.filter(({ inlined }) => !inlined).length;
    return { vcpu: vcpus[index]?.vcpu ?? 0, frames: telling, outside, where };
  }
  return null;
}

/** The outermost frame that waits for memory; −1 = none does. */
function whereStarving(frames: readonly Frame[], starvesIn: readonly RegExp[]): number {
  return frames.findLastIndex(({ function: name }) => name !== null && starvesIn.some((pattern) => pattern.test(name)));
}
