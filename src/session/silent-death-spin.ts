// No progress with interrupts on: a vCPU goes round a loop that changes no register and prints nothing, while no thread and no
// other vCPU does anything. Computing changes registers between looks; waiting for what never comes does not.

import { X86_64 } from '../arch/x86-64.ts';
import { findPc, findSp, type Registers } from '../model/registers.ts';
import type { GuestThread } from '../model/thread.ts';
import {
  type DeathPattern,
  innermost,
  innermostReal,
  isIdle,
  type Observation,
  type SilentDeath,
  seconds,
} from './silent-death-types.ts';

/** Registers that any work changes: the general ones, which come first in the DWARF ABI. */
const GENERAL = X86_64.dwarfRegisters.slice(0, 16).filter((name) => name !== undefined);
const MIN_LOOKS = 8;
/** A look that falls into an interrupt on top of the loop says nothing; more than one in four is no loop that waits. */
const MAX_INTERRUPTED = 4;

interface Spell {
  readonly since: number;
  /** Everything that must not change: the console, the threads, and each vCPU's loop (null: it idles). */
  readonly world: string;
  readonly loops: readonly (Loop | null)[];
  looks: number;
  interrupted: number;
}

interface Loop {
  readonly where: string;
  readonly registers: string;
}

/** Told after `patienceMs`. A polling idle loop looks the same: unknown systems, and functions listed as idle, are never accused. */
export class NoProgress implements DeathPattern {
  private readonly patienceMs: number;
  private spell: Spell | null = null;

  constructor(patienceMs: number) {
    this.patienceMs = patienceMs;
  }

  reset(): void {
    this.spell = null;
  }

  push(observation: Observation): SilentDeath | null {
    const { at, system } = observation;
    const spell = system === null ? null : this.goOn(observation);
    this.spell = spell;
    if (spell === null) return null;
    const forMs = at - spell.since;
    const enough = spell.looks >= MIN_LOOKS && spell.interrupted * MAX_INTERRUPTED <= spell.looks;
    if (forMs < this.patienceMs || !enough) return null;
    const index = spell.loops.findIndex((loop) => loop !== null);
    const vcpu = observation.vcpus[index]?.vcpu ?? 0;
    const where = spell.loops[index]?.where ?? '';
    const others = [observation.threads.length > 0 ? 'thread' : '', observation.vcpus.length > 1 ? 'vCPU' : ''].filter(
      (word) => word !== '',
    );
    const witnesses = others.length === 0 ? '' : `no other ${others.join(' or ')} did anything, and `;
    return {
      pattern: 'no-progress',
      kind: 'hang',
      message: `no progress\nfor ${seconds(forMs)} vcpu ${String(vcpu)} has gone round in ${where}, interrupts on, without changing a register; ${witnesses}nothing was printed`,
      vcpu,
      threads: [],
      frames: null,
    };
  }

  private goOn(observation: Observation): Spell | null {
    const world = `${String(observation.console?.lines ?? 0)} ${observation.threads.map(keyOfThread).join(' ')}`;
    const before = this.spell?.world === world ? this.spell : null;
    const loops = observation.vcpus.map((_, index) => findLoop(observation, index));
    const isSame = before !== null && loops.every((loop, index) => isSameLoop(loop, before.loops[index]));
    if (isSame) return { ...before, looks: before.looks + 1 };
    if (
      before !== null &&
      before.loops.every((loop, index) => isSameLoop(loops[index], loop) || isInterrupted(observation, index, loop))
    ) {
      return { ...before, looks: before.looks + 1, interrupted: before.interrupted + 1 };
    }
    const isLooping = loops.some((loop) => loop !== null) && loops.every((loop) => loop === null || loop.where !== '');
    return isLooping ? { since: observation.at, world, loops, looks: 1, interrupted: 0 } : null;
  }
}

/** The loop that a vCPU may be in; null: it idles; `where` empty: nobody can say where. */
function findLoop(observation: Observation, index: number): Loop | null {
  if (isIdle(observation, index)) return null;
  const { machine, values } = observation.vcpus[index]?.registers ?? { machine: 'x86_64', values: {} };
  const where = machine === 'x86_64' ? innermostReal(observation.stacks[index]) : null;
  return { where: where ?? '', registers: GENERAL.map((name) => String(values[name])).join(' ') };
}

function isSameLoop(a: Loop | null | undefined, b: Loop | null | undefined): boolean {
  if (a == null || b == null) return a === b;
  return a.where === b.where && a.registers === b.registers;
}

/** An interrupt handler stands on the loop's function. */
function isInterrupted({ stacks }: Observation, index: number, loop: Loop | null): boolean {
  const stack = stacks[index];
  return (
    loop !== null && innermost(stack) !== loop.where && stack?.frames.some((frame) => frame.function === loop.where) === true
  );
}

function keyOfThread({ id, state, registers, cpuTimeNs }: GuestThread): string {
  // The one that spins counts its own time.
  return state === 'running' ? `${id}:running` : [id, state, placeOf(registers), cpuTimeNs ?? ''].join(':');
}

function placeOf(registers: Registers | null): string {
  return registers === null ? '' : `${String(findPc(registers))}/${String(findSp(registers))}`;
}
