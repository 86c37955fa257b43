// Why an answer of a peer may differ from ours. Each rule looks at the evidence (the dumps of the debug info and of the symbol table), not
// only at the two answers; the first that holds names the difference. What no rule explains is a mismatch.

import { posix } from 'node:path';
import { type Answer, type Frame, firstDifference } from './answers.ts';
import type { Claim, ClaimedFrame } from './claims.ts';
import type { DumpedSymbol, DumpedSymbols } from './dumped-symbols.ts';
import type { Peer } from './peers.ts';

/** One difference, with all that is known of its address. */
export interface Difference {
  readonly address: bigint;
  readonly ours: Answer;
  readonly theirs: Answer;
  readonly peer: Peer['name'];
  readonly claims: readonly Claim[];
  readonly symbols: DumpedSymbols;
}

/** Who is right where a rule holds. */
export type Verdict = 'unidbg' | 'the peer' | 'both';

export interface Rule {
  readonly name: string;
  readonly peers: readonly Peer['name'][];
  readonly right: Verdict;
  readonly reason: string;
  readonly holds: (difference: Difference) => boolean;
}

const ALL: readonly Peer['name'][] = ['llvm-symbolizer', 'eu-addr2line', 'addr2line'];

/** Whether an answer is one of the claims, names included; a function without a linker's name in the debug info may have its symbol's. */
export function isClaimed(answer: Answer, claims: readonly Claim[], symbols: DumpedSymbols, address: bigint): boolean {
  return claims.some((claim) => matches(answer, claim, symbols, address));
}

/** Whether an answer has no place because the debug info has no function there, only perhaps a row that goes on over alignment. */
export function saysLess(answer: Answer, claims: readonly Claim[]): boolean {
  return answer.every(({ file }) => file === null) && claims.every(({ frames }) => frames.every(({ entry }) => entry === null));
}

function matches(answer: Answer, { frames }: Claim, symbols: DumpedSymbols, address: bigint): boolean {
  if (!hasPlaces(answer, frames)) return false;
  return answer.every((frame, index) => isNameOf(frame.function, frames[index]!, symbols, address));
}

function hasPlaces(answer: Answer, frames: readonly ClaimedFrame[]): boolean {
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

/** Whether only the outermost function's names differ. */
function isOuterName({ ours, theirs }: Difference): boolean {
  const other = ours.map((frame, index) =>
    index === ours.length - 1 ? { ...frame, function: theirs.at(-1)?.function ?? null } : frame,
  );
  return ours.length > 0 && firstDifference(other, theirs) === null;
}

function isOursClaimed({ ours, claims, symbols, address }: Difference): boolean {
  return isClaimed(ours, claims, symbols, address);
}

/** The claims that our answer is. */
function ourClaims({ ours, claims, symbols, address }: Difference): readonly Claim[] {
  return claims.filter((claim) => matches(ours, claim, symbols, address));
}

/** Whether our answer is the only thing that the debug info says. */
function isOursAlone(difference: Difference): boolean {
  const { claims } = difference;
  return claims.length > 0 && ourClaims(difference).length === claims.length;
}

/** Whether an answer says no more than which line the code behind a function's end is counted to. */
function isRowOnly({ claims }: Difference): boolean {
  return claims.every(({ frames }) => frames.length === 1 && frames[0]!.entry === null);
}

function baseName(path: string | null): string {
  return path === null ? '?' : posix.basename(path);
}

/** Whether the functions of one answer, and the places, are among those of the other in the same order. */
function isPartOf(part: Answer, whole: Answer): boolean {
  const nameOf = (frame: Frame): string => frame.function ?? '';
  const placeOf = (frame: Frame): string => `${frame.file ?? ''}:${frame.line ?? ''}`;
  return [nameOf, placeOf].every((say) => {
    let at = 0;
    for (const frame of whole) if (at < part.length && say(frame) === say(part[at]!)) at += 1;
    return at === part.length;
  });
}

/** What compilers put behind the name of a copy or a part of a function. */
const PART = /\.(?:cold|part|constprop|isra|lto_priv|llvm)(?:\.\d+)*(?:@.*)?$/;

export const RULES: readonly Rule[] = [
  {
    name: 'aliases',
    peers: ALL,
    right: 'both',
    reason:
      'several symbols stand at the address (C1 and C2 constructors, aliases); unidbg prefers the one that the debug info names',
    holds: (difference) => {
      const { ours, theirs, symbols } = difference;
      const [own, their] = [ours, theirs].map((answer) => symbols.named(answer.at(-1)?.function ?? null));
      const isSupported = difference.claims.length === 0 || isOursClaimed(difference);
      return isOuterName(difference) && isSupported && own!.some((a) => their!.some((b) => a.address === b.address));
    },
  },
  {
    name: 'symbol of a part',
    peers: ALL,
    right: 'both',
    reason:
      'the debug info calls the function f, the symbol table this copy or part of it f.cold, f.part.0, f.constprop.0, f.isra.0',
    holds: (difference) => {
      const { ours, theirs, symbols, address } = difference;
      const [own, their] = [ours.at(-1)?.function ?? null, theirs.at(-1)?.function ?? null];
      if (!isOuterName(difference) || !isOursClaimed(difference) || own === null || their === null) return false;
      return PART.test(their) && symbols.named(their).some((symbol) => symbols.contains(symbol, address));
    },
  },
  {
    name: 'no linker name in the debug info',
    peers: ALL,
    right: 'both',
    reason:
      'gcc gives functions over local types and copies of static ones no DW_AT_linkage_name: the peer says the source name, unidbg the symbol',
    holds: (difference) => {
      const { theirs, claims, address, symbols } = difference;
      const plain = (frame: ClaimedFrame | undefined): string | null =>
        frame?.names.linkage === null ? frame.names.plain : null;
      const isPlain = claims.some(
        (claim) => matches(theirs, claim, symbols, address) && plain(claim.frames.at(-1)) === theirs.at(-1)?.function,
      );
      return isOuterName(difference) && isOursClaimed(difference) && isPlain;
    },
  },
  {
    name: 'nearest label',
    peers: ALL,
    right: 'both',
    reason: 'assembly: the peer names the label before the address, unidbg the function whose size holds it',
    holds: (difference) => {
      const { ours, theirs, symbols, address } = difference;
      const own = symbols.named(ours.at(-1)?.function ?? null).some((symbol) => symbols.contains(symbol, address));
      const near = symbols.named(theirs.at(-1)?.function ?? null).some((symbol) => symbols.isNearestBefore(symbol, address));
      return isOuterName(difference) && isOursClaimed(difference) && own && near;
    },
  },
  {
    name: 'symbol that ended before',
    peers: ALL,
    right: 'unidbg',
    reason: 'the peer names a symbol although its size ends before the address, or it is in another section',
    holds: ({ ours, theirs, symbols, address, claims, peer }) => {
      const name = theirs.at(-1)?.function ?? null;
      const without = theirs.map((frame) => ({ ...frame, function: null }));
      const said = theirs.length === 1 && (theirs[0]!.line === null || peer === 'addr2line') ? [] : without;
      const isOutside = (symbol: DumpedSymbol): boolean =>
        symbol.section !== symbols.sectionOf(address) || (symbol.size > 0n && symbol.address + symbol.size <= address);
      const isSame = firstDifference(ours, ours.length === 0 ? said : without) === null;
      const isNothing = claims.every(({ frames }) => frames.every(({ entry }) => entry === null));
      return theirs.length === 1 && isNothing && isSame && name !== null && symbols.named(name).every(isOutside);
    },
  },
  {
    name: 'padding',
    peers: ALL,
    right: 'both',
    reason:
      'no function holds the address and no unit lists it, but a line table goes on over it: alignment between two functions',
    holds: (difference) => {
      const { ours, theirs, claims } = difference;
      const place = ours.length === 0 ? theirs : ours;
      const isRow = claims.some(({ frames }) => place.length === 1 && hasPlaces(place, frames));
      return isRowOnly(difference) && (ours.length === 0 || theirs.length === 0) && isRow;
    },
  },
  {
    name: 'units or calls that overlap',
    peers: ALL,
    right: 'both',
    reason:
      'the debug info says two things of the address (functions merged by the linker, two calls with the same range); each reader takes one',
    holds: (difference) => {
      const { theirs, claims, symbols, address } = difference;
      const isTheirs = claims.some((claim) => matches(theirs, claim, symbols, address));
      return claims.length > 1 && isOursClaimed(difference) && isTheirs;
    },
  },
  {
    name: 'file of a symbol',
    peers: ALL,
    right: 'both',
    reason: 'no line table row: the peer prints the STT_FILE of the symbol, which is no path and has no line',
    holds: (difference) => {
      const { ours, theirs, claims } = difference;
      const isNoPlace = ours.length === 1 && ours[0]!.file === null && theirs.length === 1 && theirs[0]!.line === null;
      const isNoRow = claims.every(({ row }) => row === null || row.line === 0);
      const [own, their] = [ours[0]?.function ?? '', theirs[0]?.function ?? ''];
      return isNoPlace && isNoRow && theirs[0]!.file?.includes('/') === false && (own === their || their.startsWith(`${own}.`));
    },
  },
  {
    name: 'first file of the unit',
    peers: ['addr2line'],
    right: 'unidbg',
    reason: 'addr2line 2.40 counts the files of a DWARF 5 line table from 1: file 1 is printed as the unit’s own',
    holds: (difference) => {
      const { ours, theirs, claims, symbols, address } = difference;
      const isFirst = (frame: Frame, their: Frame, claim: Claim): boolean =>
        frame.file === their.file || (their.file?.endsWith(baseName(claim.unit.name)) === true && frame.line === their.line);
      const same = ours.map((frame, index) => ({ ...frame, file: theirs[index]?.file ?? null }));
      const isOnlyFile = firstDifference(same, theirs) === null;
      const mine = claims.filter((claim) => matches(ours, claim, symbols, address));
      return isOnlyFile && mine.some((claim) => ours.every((frame, index) => isFirst(frame, theirs[index]!, claim)));
    },
  },
  {
    name: 'calls named after the function around them',
    peers: ['addr2line'],
    right: 'unidbg',
    reason: 'addr2line 2.40 names an inlined call without a linker name after the function that it is inlined into',
    holds: (difference) => {
      const { ours, theirs } = difference;
      const isOuter = (frame: Frame, their: Frame): boolean =>
        frame.function === their.function || their.function === theirs.at(-1)!.function;
      const same = ours.map((frame, index) => ({
        ...frame,
        function: theirs[index]?.function ?? null,
        file: theirs[index]?.file ?? null,
      }));
      return (
        isOursClaimed(difference) &&
        firstDifference(same, theirs) === null &&
        ours.every((frame, index) => isOuter(frame, theirs[index]!))
      );
    },
  },
  {
    name: 'behind the end of a sequence',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason:
      'eu-addr2line 0.188 gives the last row before the address, also where that row is the end of its sequence and says so',
    holds: ({ ours, theirs, claims }) =>
      claims.length === 0 && ours.length === 0 && theirs.length === 1 && theirs[0]!.function === null,
  },
  {
    name: 'calls where no function is',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason:
      'eu-addr2line 0.188 prints callers for an address that is in no function (alignment), those of an inlined call elsewhere in the unit',
    holds: (difference) => {
      const { ours, theirs } = difference;
      const isInner = ours.length === 0 || firstDifference(ours, [theirs[0]!]) === null;
      return isRowOnly(difference) && theirs.length > 1 && theirs[0]!.function === null && isInner;
    },
  },
  {
    name: 'callers left out',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason: 'eu-addr2line 0.188 leaves callers out that the debug info has',
    holds: (difference) =>
      isOursAlone(difference) &&
      difference.theirs.length < difference.ours.length &&
      isPartOf(difference.theirs, difference.ours),
  },
  {
    name: 'callers added',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason:
      'eu-addr2line 0.188 prints the callers of another call of the same function, as the entry it found lies in the abstract instance',
    holds: (difference) =>
      isOursAlone(difference) &&
      difference.theirs.length > difference.ours.length &&
      isPartOf(difference.ours, difference.theirs),
  },
  {
    name: 'callers of another call',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason: 'eu-addr2line 0.188 swaps callers when one function is inlined twice',
    holds: (difference) => {
      const { ours, theirs } = difference;
      return isOursAlone(difference) && ours.length > 1 && firstDifference([ours[0]!], [theirs[0]!]) === null;
    },
  },
];

/** The rule that explains a difference, or null. */
export function explain(difference: Difference): Rule | null {
  return RULES.find((rule) => rule.peers.includes(difference.peer) && rule.holds(difference)) ?? null;
}
