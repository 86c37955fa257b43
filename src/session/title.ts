// What happened, in the words a person would use: `null dereference in handle_request (server.c:41)`.

import { formatAddress } from '../model/address.ts';
import type { CrashKind } from '../model/crash.ts';
import type { Frame } from '../model/frame.ts';
import { findGuiltyFrame, type Machinery } from './blame.ts';

/** The facts that a crash's title and signature are made of. */
export interface CrashFacts {
  readonly kind: CrashKind;
  readonly message: string;
  readonly faultAddress: bigint | null;
  readonly pc: bigint | null;
  readonly sp: bigint | null;
  readonly location: { readonly file: string; readonly line: number | null; readonly function: string | null } | null;
  readonly frames: readonly Frame[];
  readonly unikernel: string | null;
  readonly runtime: string | null;
}

/** Below this a faulting address is "null plus a field's offset". */
export const NULL_PAGE = 0x1000n;
/** So many frames of mostly the same functions are a runaway recursion. */
const DEEP = 64;
/** A frame may be large: the fault is still "at the stack" so far from sp. */
export const NEAR_STACK = 0x10000n;
/** Functions that call each other in a runaway recursion, at most. */
const MAX_CYCLE = 8;

/** `null dereference in handle_request (server.c:41)`. */
export function titleOf(facts: CrashFacts, machinery: Machinery): string {
  const what = whatHappened(facts);
  const guilty = findGuilty(facts, machinery);
  if (guilty?.function != null) return `${what} in ${guilty.function}${place(guilty.file, guilty.line)}`;
  if (guilty?.file != null) return `${what} at ${basename(guilty.file)}${guilty.line === null ? '' : `:${guilty.line}`}`;
  if (facts.location !== null) {
    const { file, line, function: name } = facts.location;
    return name === null
      ? `${what} at ${basename(file)}${line === null ? '' : `:${line}`}`
      : `${what} in ${name}${place(file, line)}`;
  }
  // Where a run time gave up for want of memory, its own `abort` is no place to look at.
  const isRuntimes = facts.kind === 'out-of-memory' && facts.runtime !== null;
  return facts.pc === null || isRuntimes ? what : `${what} at ${formatAddress(facts.pc)}`;
}

/** The frame to blame; null without one that has a name. Who jumps to nowhere is the caller of nowhere. */
export function findGuilty(facts: CrashFacts, machinery: Machinery): Frame | null {
  const { frames, pc, faultAddress } = facts;
  const isNowhere = pc !== null && pc === faultAddress && frames[0]?.pc === pc && frames[0].function === null;
  return findGuiltyFrame(isNowhere ? frames.slice(1) : frames, machinery);
}

/** The first half of a title: what it was, without where. */
export function whatHappened(facts: CrashFacts): string {
  switch (facts.kind) {
    case 'fault':
      return nameOfFault(facts) ?? firstWords(facts.message);
    case 'out-of-memory':
      return 'out of memory';
    case 'assert': {
      const expression = findAssertion(facts.message);
      return expression === null ? 'assertion failed' : `assertion ${expression} failed`;
    }
    case 'abort':
      return 'abort';
    case 'hang':
    case 'panic':
    case 'exception':
      return facts.message.split('\n')[0]?.slice(0, 160) ?? facts.kind;
  }
}

/** Which fault it was; null when the guest did not say enough: `page fault` alone, without an address. */
export function nameOfFault({ message, faultAddress, pc, sp, frames }: CrashFacts): string | null {
  if (/stack overflow|guard page/i.test(message) || ranOffStack(faultAddress, sp, frames)) return 'stack overflow';
  if (/divi(?:de|sion)|#DE\b/i.test(message)) return 'divide error';
  if (/invalid[ _]op|undefined op|#UD\b|illegal instruction/i.test(message)) return 'invalid opcode';
  if (/general protection|\bGPF\b|#GP\b/i.test(message)) return 'general protection fault';
  if (/double fault|#DF\b/i.test(message)) return 'double fault';
  if (/^triple fault/i.test(message)) return 'triple fault';
  if (/execut\w* null pointer/i.test(message)) return 'jump to null';
  if (faultAddress === null) return null;
  if (pc !== null && pc === faultAddress) return faultAddress < NULL_PAGE ? 'jump to null' : 'wild jump';
  return faultAddress < NULL_PAGE ? 'null dereference' : 'bad memory access';
}

/** The expression that did not hold, at most 120 characters; null when the text has none. */
export function findAssertion(message: string): string | null {
  const contract = /^(?:(?:Expects|Ensures) failed: (.{1,120})|assertion (.{1,120}) failed$)/
    .exec(message)
    ?.slice(1)
    .find(Boolean);
  if (contract !== undefined) return contract;
  const line = message.split('\n')[0] ?? '';
  const said =
    /(?:assert(?:ion)?(?:\s+failed|\s+failure)?)[\s:]*(?:[`'](.+?)['`]|"(.+?)"|(.+?))(?:\s+failed\b.*|\s+at\s.*|\s+\(.*)?$/i.exec(
      line,
    );
  const expression = said?.[1] ?? said?.[2] ?? said?.[3];
  return expression === undefined || /^fail(?:ed|ure)$/i.test(expression) ? null : expression.slice(0, 120);
}

/** The functions of a runaway recursion, sorted; empty when the stack is none. */
export function findRecursion(frames: readonly Frame[]): readonly string[] {
  if (frames.length < DEEP) return [];
  const counts = new Map<string, number>();
  for (const { function: name } of frames) if (name !== null) counts.set(name, (counts.get(name) ?? 0) + 1);
  const often = [...counts].filter(([, count]) => count >= frames.length / (2 * MAX_CYCLE)).map(([name]) => name);
  return often.length > MAX_CYCLE ? [] : often.sort();
}

/** A fault beside the stack pointer at the end of a deep recursion: the guest ran off its stack and does not know it. */
function ranOffStack(faultAddress: bigint | null, sp: bigint | null, frames: readonly Frame[]): boolean {
  if (faultAddress === null || sp === null || findRecursion(frames).length === 0) return false;
  const distance = faultAddress > sp ? faultAddress - sp : sp - faultAddress;
  return distance < NEAR_STACK;
}

function firstWords(message: string): string {
  const line = (message.split('\n')[0] ?? '').trim();
  if (/page fault|#PF\b/i.test(line)) return 'page fault';
  if (/simd exception/i.test(line)) return 'SIMD exception';
  return line === '' ? 'fault' : line.slice(0, 100);
}

function place(file: string | null, line: number | null): string {
  return file === null ? '' : ` (${basename(file)}${line === null ? '' : `:${line}`})`;
}

function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
