// A crash that nobody's words tell: a dump of a system that keeps no log in its memory. What is left is the stack of the vCPU that
// died: it ends in a function that the system enters only after its own fatal stop (`deadIn`), and what lies behind the crash
// machinery is where it happened.

import type { Crash } from '../model/crash.ts';
import type { Frame } from '../model/frame.ts';
import type { Registers, VcpuRegisters } from '../model/registers.ts';
import type { OpenTarget } from '../targets/target.ts';
import { toFrames } from '../unwind/stack.ts';
import type { RawFrame } from '../unwind/walk.ts';
import { findGuiltyFrame, withoutMachinery } from './blame.ts';
import type { Code } from './code.ts';
import { explainSilent, LAST_FRAME, renumber } from './explain-crash.ts';
import type { StackWalker } from './stack-walker.ts';

/** Handlers of page faults, by the names that systems give them: `do_page_fault`, `ex_pf`, `cpu_trap_14`, `vector_14`. */
const PAGE_FAULT = /page_?fault|(?:^|_)pf(?:$|_)|(?:vector|exception|trap)_?14$/i;
/** Handlers of exceptions that the system does not count as crash machinery: Unikraft's `do_gp_fault`. */
const HANDLER = /fault|trap|exception|divide_error|invalid_op/i;
const NO_WORDS = 'The dump has no words of the guest';

/** The crash that a vCPU's stack tells; null when none sits behind a fatal stop of its system. Throws REGISTERS_UNREADABLE. */
export async function findCrashInStacks(target: OpenTarget, code: Code, walker: StackWalker): Promise<Crash | null> {
  for (const { vcpu, registers } of await target.allRegisters()) {
    const walk = await walkRaw(target, code, registers);
    const isDead = walk.frames.some(({ function: name }) => name !== null && code.isDeadIn(name));
    if (isDead) return explain({ vcpu, registers }, walk, code, walker);
  }
  return null;
}

interface Walked {
  readonly raw: readonly RawFrame[];
  readonly frames: readonly Frame[];
}

async function walkRaw(target: OpenTarget, code: Code, registers: Registers): Promise<Walked> {
  return target.memory(registers).walk((memory) => {
    const { frames: raw } = code.unwinder.unwind(registers, memory);
    return { raw, frames: toFrames(raw, code.symbolizer, []) };
  });
}

function explain({ vcpu, registers }: VcpuRegisters, { raw, frames }: Walked, code: Code, walker: StackWalker): Promise<Crash> {
  const machinery = code.machineryOf(null);
  // What an exception interrupted has its pc exactly; what merely called has a return address.
  const interrupted = raw.slice(1).find(({ exactPc }) => exactPc) ?? null;
  const from = interrupted === null ? -1 : frames.findIndex(({ pc, index }) => index > 0 && pc === interrupted.pc);
  const before = withoutMachinery(frames.slice(0, Math.max(from, 0)), machinery);
  // An assertion in a timer's handler has an interrupted frame behind it too, and somebody's own code before that.
  const isFault = interrupted !== null && from > 0 && before.every(({ function: name }) => name !== null && HANDLER.test(name));
  const told = { witness: 'memory', vcpu, registers, frames } as const;
  if (!isFault) {
    const stops = namesOf(frames.slice(0, findGuiltyFrame(frames, machinery)?.index ?? frames.length));
    return explainSilent({ ...told, kind: 'panic', message: stopWords(stops) }, code, walker);
  }
  const handlers = namesOf(frames.slice(0, from));
  const isPageFault = handlers.some((name) => PAGE_FAULT.test(name));
  const faultAddress = findFaultAddress(isPageFault, registers);
  const values = { ...registers.values, ...interrupted.registers.values };
  const at = { ...told, registers: { machine: registers.machine, values }, frames: renumber(frames.slice(from)) };
  return explainSilent({ ...at, kind: 'fault', message: faultWords(handlers, isPageFault), faultAddress }, code, walker);
}

function namesOf(frames: readonly Frame[]): readonly string[] {
  return frames.flatMap(({ function: name }) => name ?? []);
}

/**
 * CR2 is of the last page fault: this one's if a handler of such is on the stack. Not so near 0: what prints a backtrace may read through
 * the last frame pointer, which is null (seen: OSv).
 */
function findFaultAddress(isPageFault: boolean, { values }: Registers): bigint | null {
  const { cr2 } = values;
  return isPageFault && cr2 !== undefined && cr2 > LAST_FRAME ? cr2 : null;
}

/** What handlers' names abbreviate (Intel SDM vol. 3, table 7-1). */
const MNEMONICS: Readonly<Record<string, string>> = {
  de: 'divide error',
  ud: 'invalid opcode',
  df: 'double fault',
  gp: 'general protection',
};

/** The handler next to the fault says which it was (`asm_trap_gp_fault`): its name is read like a text. */
function faultWords(handlers: readonly string[], isPageFault: boolean): string {
  const words = (handlers.at(-1) ?? 'of a kind that nothing tells').split('_').map((word) => MNEMONICS[word] ?? word);
  const what = isPageFault ? 'page fault' : `exception: ${words.join(' ')}`;
  return `${what}\n${NO_WORDS}; its exception went through ${handlers.join(', ')}`;
}

function stopWords(handlers: readonly string[]): string {
  return `fatal stop in ${handlers.at(-1) ?? 'an unnamed function'}\n${NO_WORDS}; it stopped through ${handlers.join(', ')}`;
}
