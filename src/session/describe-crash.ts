// What a crash means: which frame is guilty, the title a person would write, and a signature that is the same for the same bug.

import { createHash } from 'node:crypto';
import { formatAddress } from '../model/address.ts';
import type { CrashKind } from '../model/crash.ts';
import type { Frame } from '../model/frame.ts';

/** The facts a title is made of. */
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
const NULL_PAGE = 0x1000n;
/** So many frames of mostly one function are a runaway recursion. */
const DEEP = 64;
/** A frame may be large: the fault is still "at the stack" so far from sp. */
const NEAR_STACK = 0x10000n;

/** The guilty frame: the first named one that is not the crash machinery's (a trap handler, `abort`, a panic printer). */
export function findGuiltyFrame(frames: readonly Frame[], machinery: readonly RegExp[]): Frame | null {
  return withoutMachinery(frames, machinery)[0] ?? frames.find((frame) => frame.function !== null) ?? null;
}

/** Named frames that are not crash machinery. What was inlined into machinery is machinery too: its own name tells nothing. */
export function withoutMachinery(frames: readonly Frame[], machinery: readonly RegExp[]): readonly Frame[] {
  const matches = ({ function: name }: Frame): boolean => name !== null && machinery.some((pattern) => pattern.test(name));
  return frames.filter((frame, index) => {
    const real = frame.inlined ? frames.slice(index).find((outer) => !outer.inlined && outer.pc === frame.pc) : frame;
    return frame.function !== null && !matches(frame) && (real === undefined || !matches(real));
  });
}

/** `null dereference in handle_request (server.c:41)`. */
export function titleOf(facts: CrashFacts, machinery: readonly RegExp[]): string {
  const what = whatHappened(facts);
  const guilty = findGuiltyFrame(facts.frames, machinery);
  if (guilty?.function != null) return `${what} in ${guilty.function}${place(guilty.file, guilty.line)}`;
  if (facts.location !== null) {
    const { file, line, function: name } = facts.location;
    return name === null
      ? `${what} at ${basename(file)}${line === null ? '' : `:${line}`}`
      : `${what} in ${name}${place(file, line)}`;
  }
  return facts.pc === null ? what : `${what} at ${formatAddress(facts.pc)}`;
}

/** 16 hex digits, stable over addresses, load bias, line shifts and vCPU numbers: kind, words of the message, guilty functions. */
export function signatureOf(facts: CrashFacts, machinery: readonly RegExp[]): string {
  const functions = withoutMachinery(facts.frames, machinery)
    .map((frame) => normaliseFunction(frame.function ?? ''))
    .slice(0, 4);
  // Without a name in the stack, module and offset tell bugs apart: "all unknown" must not become one bucket.
  const fallback = facts.frames.slice(0, 4).map((frame) => `${frame.module ?? '?'}+${formatAddress(frame.pc & 0xfffn)}`);
  const parts = [
    facts.kind,
    facts.unikernel ?? '',
    facts.runtime ?? '',
    normaliseWords(whatHappened(facts)),
    ...(functions.length > 0 ? functions : fallback),
  ];
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 16);
}

function whatHappened(facts: CrashFacts): string {
  switch (facts.kind) {
    case 'fault':
      return faultInWords(facts);
    case 'out-of-memory':
      return 'out of memory';
    case 'assert': {
      const expression =
        /(?:assert(?:ion)?(?:\s+failed|\s+failure)?)[\s:]*[`'"]?(.+?)[`'"]?(?:\s+failed\b.*|\s+at\s.*|\s*\(.*)?$/i.exec(
          facts.message,
        )?.[1];
      return expression === undefined || /^fail(?:ed|ure)$/i.test(expression)
        ? 'assertion failed'
        : `assertion ${expression.slice(0, 120)} failed`;
    }
    case 'abort':
      return 'abort';
    case 'hang':
    case 'panic':
    case 'exception':
      return facts.message.split('\n')[0]?.slice(0, 160) ?? facts.kind;
  }
}

function faultInWords({ message, faultAddress, pc, sp, frames }: CrashFacts): string {
  if (/stack overflow|guard page/i.test(message) || ranOffStack(faultAddress, sp, frames)) return 'stack overflow';
  if (/divi(?:de|sion)|#DE\b/i.test(message)) return 'divide error';
  if (/invalid op|undefined op|#UD\b|illegal instruction/i.test(message)) return 'invalid opcode';
  if (/general protection|#GP\b/i.test(message)) return 'general protection fault';
  if (/double fault|#DF\b/i.test(message)) return 'double fault';
  if (/^triple fault/i.test(message)) return 'triple fault';
  if (faultAddress === null) return /page fault|#PF\b/i.test(message) ? 'page fault' : firstWords(message);
  if (pc !== null && pc === faultAddress) return faultAddress < NULL_PAGE ? 'jump to null' : 'wild jump';
  if (faultAddress < NULL_PAGE) return 'null dereference';
  return 'bad memory access';
}

/** A fault beside the stack pointer at the end of a deep recursion: the guest ran off its stack and does not know it. */
function ranOffStack(faultAddress: bigint | null, sp: bigint | null, frames: readonly Frame[]): boolean {
  if (faultAddress === null || sp === null || frames.length < DEEP) return false;
  const distance = faultAddress > sp ? faultAddress - sp : sp - faultAddress;
  const innermost = frames.filter((frame) => frame.function !== null && frame.function === frames[DEEP / 2]?.function);
  return distance < NEAR_STACK && innermost.length >= frames.length / 2;
}

function firstWords(message: string): string {
  const line = (message.split('\n')[0] ?? '').trim();
  return line === '' ? 'fault' : line.slice(0, 100);
}

function place(file: string | null, line: number | null): string {
  return file === null ? '' : ` (${basename(file)}${line === null ? '' : `:${line}`})`;
}

function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Compiler-made name parts differ from build to build: `.constprop.0`, `.isra.3`, OCaml's `_517`. */
function normaliseFunction(name: string): string {
  return name.replace(/\.(?:constprop|isra|part|cold|lto_priv|llvm)(?:\.\d+)?/g, '').replace(/_\d+$/, '');
}

function normaliseWords(text: string): string {
  return text
    .replace(/0x[0-9a-f]+/gi, 'ADDR')
    .replace(/\b[0-9a-f]{8,16}\b/gi, 'ADDR')
    .replace(/\b\d+\b/g, 'NUM');
}
