// Our stack against gdb's at one stop, and who is right where they differ: the program is let run out of the last
// frame that both have, and where it comes to is true.

import { getArchitecture } from '../../src/arch/machines.ts';
import type { StackEnd } from '../../src/model/frame.ts';
import { findSp } from '../../src/model/registers.ts';
import type { RawStack } from '../../src/unwind/unwinder.ts';
import type { RawFrame } from '../../src/unwind/walk.ts';
import type { GdbSession, OracleFrame, OracleStop } from './gdb-session.ts';

/** `longer`: ours goes on where gdb's ends; `less`: it ends before gdb's; `different`: one of the two is wrong. */
export type Verdict = 'equal' | 'longer' | 'less' | 'different';

/** Where the program really went when it left the last frame that both stacks have. */
export type Proof = 'ours' | 'gdb' | 'neither came' | `another: ${string}`;

/** One stop, compared. */
export interface Comparison {
  readonly verdict: Verdict;
  /** Index of the first frame that is not in both. */
  readonly at: number;
  readonly theirs: readonly OracleFrame[];
  readonly ours: readonly RawFrame[];
  readonly end: StackEnd;
  readonly gdbEnd: string;
}

/** Compares frame by frame: pc, and the stack pointer where ours knows it. Nothing is compared beyond `limit` frames. */
export function compareStacks(stop: OracleStop, stack: RawStack, limit: number): Comparison {
  // gdb shows a return address of 0, which is put there to end a stack, as one more frame.
  const zero = stop.frames.findIndex(({ pc }, index) => pc === 0n && index > 0);
  const theirs = stop.frames.slice(0, Math.min(limit, zero < 0 ? limit : zero));
  const ours = stack.frames.slice(0, limit);
  let at = 0;
  while (at < theirs.length && at < ours.length && isSameFrame(theirs[at]!, ours[at]!)) at += 1;
  const verdict =
    at < theirs.length && at < ours.length ? 'different' : at < theirs.length ? 'less' : at < ours.length ? 'longer' : 'equal';
  return { verdict, at, theirs, ours, end: stack.end, gdbEnd: stop.end };
}

function isSameFrame(theirs: OracleFrame, ours: RawFrame): boolean {
  const sp = findSp(ours.registers);
  // A gdb that is not told the mask of pointer authentication shows return addresses with their codes.
  const pc = getArchitecture(ours.registers.machine).stripPointer(theirs.pc);
  return pc === ours.pc && (sp === null || sp === theirs.sp);
}

/**
 * Runs the program on to find out who is right: to the last frame that is in both, and out of that one by single steps. The
 * stop is gone afterwards. Null where there is nothing to find out.
 */
export function prove(session: GdbSession, { verdict, at, theirs, ours }: Comparison, seconds: number): Proof | null {
  const agreed = theirs[at - 1];
  if (verdict === 'equal' || agreed === undefined) return null;
  if (at > 1 && session.runTo(agreed.pc, agreed.sp, seconds) === null) return 'neither came';
  const place = session.stepOut(seconds);
  if (place === null) return 'neither came';
  const [mine, gdbs] = [ours[at], theirs[at]];
  const isThere = (pc: bigint, sp: bigint | null): boolean => pc === place.pc && (sp === null || sp === place.sp);
  if (mine !== undefined && isThere(mine.pc, findSp(mine.registers))) return 'ours';
  if (gdbs !== undefined && isThere(gdbs.pc, gdbs.sp)) return 'gdb';
  return `another: ${hex(place.pc)} sp ${hex(place.sp)}`;
}

/** A comparison in lines, for a report: the frames around the difference. */
export function formatComparison(
  { at, theirs, ours, end, gdbEnd }: Comparison,
  name: (pc: bigint, exact: boolean) => string,
): string {
  const lines: string[] = [];
  for (let index = Math.max(0, at - 3); index < Math.min(at + 3, Math.max(ours.length, theirs.length)); index += 1) {
    const [mine, gdbs] = [ours[index], theirs[index]];
    const left =
      mine === undefined
        ? `(ends: ${end})`
        : `${hex(mine.pc)} sp ${hex(findSp(mine.registers))} ${name(mine.pc, mine.exactPc)} ${mine.trust}`;
    const right = gdbs === undefined ? `(ends: ${gdbEnd})` : `${hex(gdbs.pc)} sp ${hex(gdbs.sp)} ${gdbs.name ?? '?'}`;
    lines.push(`${index === at ? '*' : ' '}${index}  ours ${left}  |  gdb ${right}`);
  }
  return lines.join('\n');
}

function hex(value: bigint | null): string {
  return value === null ? '?' : value.toString(16);
}
