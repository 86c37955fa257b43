// Whether an answer is what the debug info says, by its dumps.

import { type Answer, type Frame, firstDifference } from './answers.ts';
import type { Claim, ClaimedFrame } from './claims.ts';
import type { DumpedSymbol, DumpedSymbols } from './dumped-symbols.ts';

/** Whether an answer is one of the claims; a function without a linker's name in the debug info may have its symbol's. */
export function isClaimed(answer: Answer, claims: readonly Claim[], symbols: DumpedSymbols, address: bigint): boolean {
  return claims.some((claim) => isClaim(answer, claim, symbols, address));
}

/** Whether an answer is this claim. */
export function isClaim(answer: Answer, { frames }: Claim, symbols: DumpedSymbols, address: bigint): boolean {
  return hasPlaces(answer, frames) && answer.every((frame, index) => isNameOf(frame.function, frames[index]!, symbols, address));
}

/** Whether an answer has no place where the debug info has no function, only perhaps a row that goes on over alignment. */
export function saysLess(answer: Answer, claims: readonly Claim[]): boolean {
  return answer.every(({ file }) => file === null) && claims.every(({ frames }) => frames.every(({ entry }) => entry === null));
}

/** Whether files, lines and columns are those of the claim, frame by frame. */
export function hasPlaces(answer: Answer, frames: readonly ClaimedFrame[]): boolean {
  const nameless = (list: readonly Omit<Frame, 'function'>[]): Answer =>
    list.map(({ file, line, column }) => ({ function: null, file, line, column }));
  return firstDifference(nameless(answer), nameless(frames)) === null;
}

function isNameOf(name: string | null, frame: ClaimedFrame, symbols: DumpedSymbols, address: bigint): boolean {
  const { names, entry } = frame;
  if (name === (names.linkage ?? names.plain)) return true;
  if (name === null || names.linkage !== null || entry?.isInlined === true) return false;
  const start = entry?.ranges[0]?.[0];
  const isIts = (symbol: DumpedSymbol): boolean =>
    symbol.address === start ||
    (entry === null && (symbols.contains(symbol, address) || symbols.isNearestBefore(symbol, address)));
  return symbols.named(name).some(isIts);
}
