// An end that nobody's words tell: a dump of a system that keeps no log in its memory. What is left is the stack of the vCPU that
// died: it ends in a function that the system enters only to stop itself (`deadIn`); what lies behind the crash
// machinery is where it happened, and what the system's functions were called with says whether all was well.

import type { Crash } from '../model/crash.ts';
import type { Frame } from '../model/frame.ts';
import type { GuestExit } from '../model/guest-exit.ts';
import type { Registers, VcpuRegisters } from '../model/registers.ts';
import type { OpenTarget } from '../targets/target.ts';
import type { RawFrame } from '../unwind/walk.ts';
import { findGuiltyFrame, type Machinery, withoutMachinery } from './blame.ts';
import type { Code } from './code.ts';
import { explainSilent, LAST_FRAME, renumber } from './explain-crash.ts';
import type { StackWalker } from './stack-walker.ts';
import { type CrashFacts, NULL_PAGE, nameOfFault } from './title.ts';

/** Handlers of page faults, by the names that systems give them: `do_page_fault`, `ex_pf`, `cpu_trap_14`, `vector_14`. */
const PAGE_FAULT = /page_?fault|(?:^|_)pf(?:$|_)|(?:vector|exception|trap)_?14$/i;
/** Handlers of exceptions that the system does not count as crash machinery: Unikraft's `do_gp_fault`. */
const HANDLER = /fault|trap|exception|divide_error|invalid_op/i;
/** Functions that nobody calls whose work is done. */
const VIOLENT = /abort|assert|panic|crash|fatal|oops|(?:^|_)(?:die|dead|bug)(?:_|$)/i;
const NO_WORDS = 'The dump has no words of the guest';

/** What stopped vCPUs tell: a crash, an orderly end, or that they stopped and nothing says why. */
export type StoppedGuest = { readonly crash: Crash } | { readonly exit: GuestExit } | { readonly remark: string };

/** What a vCPU's stack tells of the guest's end; null when none sits behind a stop of its system. Throws REGISTERS_UNREADABLE. */
export async function explainStop(target: OpenTarget, code: Code, walker: StackWalker): Promise<StoppedGuest | null> {
  for (const file of await target.allRegisters()) {
    const stack = { raw: await walkRaw(target, code, file.registers), frames: await walker.walk(file.registers) };
    const isStopped = stack.frames.some(({ function: name }) => name !== null && code.isDeadIn(name));
    if (isStopped) return explain(file, stack, code, walker);
  }
  return null;
}

interface Walked {
  readonly raw: readonly RawFrame[];
  readonly frames: readonly Frame[];
}

async function walkRaw(target: OpenTarget, code: Code, registers: Registers): Promise<readonly RawFrame[]> {
  return target.memory(registers).walk((memory) => code.unwinder.unwind(registers, memory).frames);
}

async function explain(file: VcpuRegisters, { raw, frames }: Walked, code: Code, walker: StackWalker): Promise<StoppedGuest> {
  const machinery = code.machineryOf(null);
  const told = { witness: 'memory', vcpu: file.vcpu, registers: file.registers, frames } as const;
  const fault = findFault(raw, frames, machinery);
  if (fault !== null) return { crash: await explainSilent({ ...told, ...faultOf(fault, file.registers, frames) }, code, walker) };
  const guilty = findGuiltyFrame(frames, machinery)?.index ?? frames.length;
  const path = frames.slice(0, guilty);
  // Who asked for the stop may be a function of the system too (`osv::poweroff`).
  const meaning = readStops(frames.slice(0, guilty + 1), code);
  const names = namesOf(path);
  if (meaning === null && !names.some((name) => VIOLENT.test(name))) {
    const message = `the guest has stopped itself, through ${names.join(', ')}: whether it ended or died nothing in the dump tells (--console FILE may)`;
    return { remark: message };
  }
  if (meaning !== null && meaning !== 'crash') return { exit: meaning };
  return { crash: await explainSilent({ ...told, kind: 'panic', message: stopWords(names) }, code, walker) };
}

/** What the system's own functions say by being called, or by what they were called with; the outermost knows best. */
function readStops(path: readonly Frame[], { unikernel }: Code): GuestExit | 'crash' | null {
  for (const { function: name, arguments: parameters = [] } of path.toReversed()) {
    const stop = unikernel?.stops?.find((one) => name !== null && one.function.test(name)) ?? null;
    const value =
      stop?.parameter == null ? '' : parameters.find((parameter) => parameter.name === stop.parameter && parameter.known)?.value;
    const meaning = stop === null || value === undefined ? null : stop.explain(value);
    if (meaning !== null) return meaning;
  }
  return null;
}

interface Fault {
  readonly interrupted: RawFrame;
  /** Index of its frame. */
  readonly at: number;
}

/** Where an exception struck that nobody but its handlers dealt with. */
function findFault(raw: readonly RawFrame[], frames: readonly Frame[], machinery: Machinery): Fault | null {
  // What an exception interrupted has its pc exactly; what merely called has a return address.
  const interrupted = raw.slice(1).find(({ exactPc }) => exactPc);
  const at = interrupted === undefined ? -1 : frames.findIndex(({ pc, index }) => index > 0 && pc === interrupted.pc);
  // An assertion in a timer's handler has an interrupted frame behind it too, and somebody's own code before that.
  const before = withoutMachinery(frames.slice(0, Math.max(at, 0)), machinery);
  const isUndealt = before.every(({ function: name }) => name !== null && HANDLER.test(name));
  return interrupted !== undefined && at > 0 && isUndealt ? { interrupted, at } : null;
}

function faultOf({ interrupted, at }: Fault, { machine, values }: Registers, frames: readonly Frame[]) {
  const handlers = namesOf(frames.slice(0, at));
  const isPageFault = handlers.some((name) => PAGE_FAULT.test(name)) || (!namesFault(handlers) && isNearNull(values.cr2));
  return {
    kind: 'fault',
    message: faultWords(handlers, isPageFault),
    faultAddress: findFaultAddress(isPageFault, { machine, values }),
    registers: { machine, values: { ...values, ...interrupted.registers.values } },
    frames: renumber(frames.slice(at)),
  } as const;
}

const NOTHING_KNOWN: CrashFacts = {
  ...{ kind: 'fault', message: '', faultAddress: null, pc: null, sp: null, location: null, frames: [] },
  ...{ unikernel: null, runtime: null },
};

/** A handler of all exceptions (`trap_entry`) does not say which it was. */
function namesFault(handlers: readonly string[]): boolean {
  return nameOfFault({ ...NOTHING_KNOWN, message: wordsOf(handlers) }) !== null;
}

/** Nobody's page faults there are dealt with, but for those of whoever walks past the last frame pointer. */
function isNearNull(address: bigint | undefined): boolean {
  return address !== undefined && address > LAST_FRAME && address < NULL_PAGE;
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
  const what = isPageFault ? 'page fault' : `exception: ${wordsOf(handlers)}`;
  return `${what}\n${NO_WORDS}; its exception went through ${handlers.join(', ')}`;
}

function wordsOf(handlers: readonly string[]): string {
  const words = (handlers.at(-1) ?? 'of a kind that nothing tells').split('_');
  return words.map((word) => MNEMONICS[word] ?? word).join(' ');
}

function stopWords(handlers: readonly string[]): string {
  return `fatal stop in ${handlers.at(-1) ?? 'an unnamed function'}\n${NO_WORDS}; it stopped through ${handlers.join(', ')}`;
}
