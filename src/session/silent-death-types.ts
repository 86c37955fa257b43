// What is seen of a guest at one look, as far as deaths without a word are found by it, and what is said of one.

import type { CrashKind } from '../model/crash.ts';
import type { Frame, Stack } from '../model/frame.ts';
import type { Registers } from '../model/registers.ts';
import type { GuestThread } from '../model/thread.ts';

/** What one look saw. */
export interface Observation {
  /** Milliseconds, of any clock that does not jump. */
  readonly at: number;
  readonly vcpus: readonly { readonly vcpu: number; readonly registers: Registers }[];
  /** Stacks of the vCPUs, in their order; without frames where none could be walked. */
  readonly stacks: readonly Pick<Stack, 'frames' | 'torn' | 'end'>[];
  readonly threads: readonly GuestThread[];
  /** Null when no console can be read. */
  readonly console: ConsoleProgress | null;
  /** Null when the system is not known: then nothing is said that a system's habits could explain. */
  readonly system: SystemHabits | null;
}

/** How far the console has come. */
export interface ConsoleProgress {
  /** Lines that are not the firmware's. */
  readonly lines: number;
  /** It is read from its first byte: no line means that there was none. */
  readonly isWhole: boolean;
  /** The firmware's last line; null when it said nothing. */
  readonly firmwareLine: string | null;
  /** The first line that was the system's last words (`CrashTexts.halt`): what halts after it has ended. */
  readonly lastWords: string | null;
}

/** What a system does when all is well, and when memory ends. */
export interface SystemHabits {
  /** Whether an idle vCPU sits in this function. */
  readonly isIdleIn: (functionName: string) => boolean;
  /** `Unikernel.starvesIn`. */
  readonly starvesIn: readonly RegExp[];
  /** What memory is left by the system's own count; null when it does not say. */
  readonly memory: { readonly freeBytes: number; readonly totalBytes: number } | null;
}

/** A silent death: what is wrong, in our words. `vcpu` whose stack tells most. */
export interface SilentDeath {
  readonly pattern: 'dead-halt' | 'deadlock' | 'livelock' | 'no-progress' | 'starvation' | 'stuck-boot';
  readonly kind: CrashKind;
  readonly message: string;
  readonly vcpu: number | null;
  /** Threads whose stacks tell it, for a deadlock. */
  readonly threads: readonly string[];
  /** The stack that tells it, where it is of an earlier moment than this; null = walk the vCPU. */
  readonly frames: readonly Frame[] | null;
}

/** One pattern of silent death: fed one observation per look, says a verdict again and again while it holds. */
export interface DeathPattern {
  /** Starts over: the guest was reset. */
  reset(): void;
  push(observation: Observation): SilentDeath | null;
}

/** Innermost function of a stack; null where unknown. */
export function innermost(stack: Pick<Stack, 'frames'> | undefined): string | null {
  return stack?.frames[0]?.function ?? null;
}

/** The real function (not one inlined into it) that a stack is in; null where unknown. */
export function innermostReal(stack: Pick<Stack, 'frames'> | undefined): string | null {
  return stack?.frames.find(({ inlined }) => !inlined)?.function ?? null;
}

/** Whether the vCPU at `index` waits for an interrupt or runs its system's idle loop. */
export function isIdle({ vcpus, stacks, system }: Observation, index: number): boolean {
  if (vcpus[index]?.registers.values.halted === 1n) return true;
  return stacks[index]?.frames.some((frame) => frame.function !== null && system?.isIdleIn(frame.function) === true) === true;
}

/** Seconds, for a sentence. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(0)} s`;
}
