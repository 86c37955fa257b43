// Why an answer of a peer may differ from ours. A rule looks at the evidence (dumps of the debug info and of the symbol table), not at
// the two answers alone, and takes its fault away from the peer's answer; the rules that make it ours name the difference. What no
// rules explain is a mismatch.

import { posix } from 'node:path';
import { type Answer, type Frame, firstDifference } from './answers.ts';
import type { Claim, ClaimedFrame } from './claims.ts';
import type { DumpedAranges } from './dumped-aranges.ts';
import type { DumpedSymbol, DumpedSymbols } from './dumped-symbols.ts';
import { hasPlaces, isClaim, isClaimed } from './judge.ts';
import type { Peer } from './peers.ts';

/** One difference, with all that is known of its address. */
export interface Difference {
  readonly address: bigint;
  readonly ours: Answer;
  readonly theirs: Answer;
  readonly peer: Peer['name'];
  readonly claims: readonly Claim[];
  readonly symbols: DumpedSymbols;
  readonly aranges: DumpedAranges;
}

/** Who is right where a rule holds. */
export type Verdict = 'unidbg' | 'both' | 'the peer';

export interface Rule {
  readonly name: string;
  readonly peers: readonly Peer['name'][];
  readonly right: Verdict;
  readonly reason: string;
  /** The peer's answer with what the rule explains made ours; null when the rule does not hold. */
  readonly amend: (difference: Difference) => Answer | null;
}

const ALL: readonly Peer['name'][] = ['llvm-symbolizer', 'eu-addr2line', 'addr2line'];

/** What compilers put behind the name of a copy or a part of a function. */
const PART = /\.(?:cold|part|constprop|isra|lto_priv|llvm)(?:\.\d+)*(?:@.*)?$/;

/** Rules on the name of the function around all calls; they amend nothing else. */
const NAME_RULES: readonly Rule[] = [
  {
    name: 'aliases',
    peers: ALL,
    right: 'both',
    reason:
      'several symbols stand at the address (C1 and C2 constructors, aliases); unidbg prefers the one that the debug info names',
    amend: (difference) => {
      const [own, their] = symbolsNamed(difference);
      return own.some((a) => their.some((b) => a.address === b.address)) ? withOurName(difference) : null;
    },
  },
  {
    name: 'symbol of a part',
    peers: ALL,
    right: 'both',
    reason:
      'the debug info calls the function f, the symbol table this copy or part of it f.cold, f.part.0, f.constprop.0, f.isra.0',
    amend: (difference) => {
      const [, their] = symbolsNamed(difference);
      const isPart = their.some((symbol) => PART.test(symbol.name) && difference.symbols.contains(symbol, difference.address));
      return isPart ? withOurName(difference) : null;
    },
  },
  {
    name: 'no linker name in the debug info',
    peers: ALL,
    right: 'both',
    reason:
      'gcc gives functions over local types and copies of static ones no DW_AT_linkage_name: the peer says the source name, unidbg the symbol',
    amend: (difference) => {
      const their = difference.theirs.at(-1)?.function;
      const isPlain = ourClaims(difference).some(
        ({ frames }) => frames.at(-1)!.names.linkage === null && frames.at(-1)!.names.plain === their,
      );
      return isPlain ? withOurName(difference) : null;
    },
  },
  {
    name: 'nearest label',
    peers: ALL,
    right: 'both',
    reason: 'assembly: the peer names the label before the address, unidbg the function whose size holds it',
    amend: (difference) => {
      const { symbols, address } = difference;
      const [own, their] = symbolsNamed(difference);
      const isNearest =
        own.some((symbol) => symbols.contains(symbol, address)) &&
        their.some((symbol) => symbols.isNearestBefore(symbol, address));
      return isNearest ? withOurName(difference) : null;
    },
  },
];

/** Rules on single fields of frames. */
const FIELD_RULES: readonly Rule[] = [
  {
    name: 'compilation directory twice',
    peers: ALL,
    right: 'unidbg',
    reason: 'directory 0 of a line table is the compilation directory; where that is relative the peer puts it before itself',
    amend: (difference) => {
      const { ours, theirs } = difference;
      const directories = ourClaims(difference).map(({ unit }) => unit.directory ?? '/');
      const isTwice = (own: string | null, their: string | null): boolean =>
        own !== null && directories.some((directory) => !directory.startsWith('/') && posix.join(directory, own) === their);
      return amendFrames(ours, theirs, (own, their) => (isTwice(own.file, their.file) ? { ...their, file: own.file } : their));
    },
  },
  {
    name: 'first file of the unit',
    peers: ['addr2line'],
    right: 'unidbg',
    reason: 'addr2line 2.40 counts the files of a DWARF 5 line table from 1: file 1 is printed as the unit’s own',
    amend: (difference) => {
      const { ours, theirs } = difference;
      const names = ourClaims(difference).map(({ unit }) => posix.basename(unit.name ?? '?'));
      const isUnits = (file: string | null): boolean => file !== null && names.includes(posix.basename(file));
      return amendFrames(ours, theirs, (own, their) =>
        isUnits(their.file) && own.line === their.line ? { ...their, file: own.file } : their,
      );
    },
  },
  {
    name: 'calls named after the function around them',
    peers: ['addr2line'],
    right: 'unidbg',
    reason:
      'addr2line 2.40 names an inlined call without a linker name after the function, or the symbol, that it is inlined into',
    amend: (difference) => {
      const { ours, theirs, address, symbols } = difference;
      if (ourClaims(difference).length === 0 || ours.length < 2) return null;
      const outer = theirs.at(-1)?.function ?? null;
      const isAround = (name: string | null): boolean =>
        name === outer || symbols.named(name).some((symbol) => symbols.contains(symbol, address));
      return amendFrames(ours, theirs, (own, their) => (isAround(their.function) ? { ...their, function: own.function } : their));
    },
  },
];

/** Rules that explain an answer as a whole. */
const ANSWER_RULES: readonly Rule[] = [
  {
    name: 'unit not in .debug_aranges',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason:
      'eu-addr2line finds units by .debug_aranges alone, which Go, clang and assemblers do not write: it says the symbol and no line',
    amend: (difference) => {
      const { ours, theirs, aranges, address } = difference;
      const isBare = theirs.length <= 1 && theirs.every(({ file }) => file === null);
      return isBare && !aranges.covers(address) && ourClaims(difference).length > 0 ? ours : null;
    },
  },
  {
    name: 'symbol that ended before',
    peers: ALL,
    right: 'unidbg',
    reason: 'the peer names a symbol although its size ends before the address, or it is in another section',
    amend: ({ ours, theirs, symbols, address, claims }) => {
      const [their] = theirs;
      const isOutside = (symbol: DumpedSymbol): boolean =>
        symbol.section !== symbols.sectionOf(address) || (symbol.size > 0n && symbol.address + symbol.size <= address);
      const isNowhere = claims.every(({ frames }) => frames.every(({ entry }) => entry === null));
      if (theirs.length !== 1 || their!.function === null || !isNowhere || !symbols.named(their!.function).every(isOutside))
        return null;
      if (ours.length > 0) return ours[0]!.function === null ? [{ ...their!, function: null }] : null;
      // addr2line adds the file that the symbol is of.
      return their!.line === null ? [] : [{ ...their!, function: null }];
    },
  },
  {
    name: 'symbol that holds the address',
    peers: ALL,
    right: 'unidbg',
    reason:
      'no debug info: a symbol’s size holds the address, but a smaller one stands at its start or in it, and the peer gives up',
    amend: (difference) => {
      const { ours, theirs, symbols, address } = difference;
      const isHeld = symbolsNamed(difference)[0].some((symbol) => symbols.contains(symbol, address));
      return theirs.length === 0 && ours.length === 1 && ours[0]!.file === null && isRowOnly(difference) && isHeld ? ours : null;
    },
  },
  {
    name: 'label beside a symbol that ended',
    peers: ALL,
    right: 'the peer',
    reason:
      'a symbol without size and one with stand at the same place, and the address is behind the end of the latter: unidbg names the former',
    amend: (difference) => {
      const { ours, theirs, symbols, address } = difference;
      const isLabel = symbolsNamed(difference)[0].some((symbol) => symbol.size === 0n && symbols.hasEndedBeside(symbol, address));
      return theirs.length === 0 && ours.length === 1 && ours[0]!.file === null && isRowOnly(difference) && isLabel ? ours : null;
    },
  },
  {
    name: 'file of a symbol',
    peers: ALL,
    right: 'both',
    reason: 'no line table row: the peer prints the STT_FILE of the symbol, which is no path and has no line',
    amend: ({ ours, theirs, claims }) => {
      const isNoPlace = ours.length === 1 && ours[0]!.file === null && theirs.length === 1 && theirs[0]!.line === null;
      const isNoRow = claims.every(({ row }) => row === null || row.line === 0);
      return isNoPlace && isNoRow && theirs[0]!.file?.includes('/') === false ? [{ ...theirs[0]!, file: null }] : null;
    },
  },
  {
    name: 'padding',
    peers: ALL,
    right: 'both',
    reason:
      'no function holds the address and no unit lists it, but a line table goes on over it: alignment between two functions',
    amend: (difference) => {
      const { ours, theirs, claims } = difference;
      const place = ours.length === 0 ? theirs : ours;
      const isRow = place.length === 1 && claims.some(({ frames }) => hasPlaces(place, frames));
      return isRowOnly(difference) && (ours.length === 0 || theirs.length === 0) && isRow ? ours : null;
    },
  },
  {
    name: 'units or calls that overlap',
    peers: ALL,
    right: 'both',
    reason:
      'the debug info says two things of the address (functions merged by the linker, two calls with the same range); each reader takes one',
    amend: (difference) => {
      const { ours, theirs, claims, symbols, address } = difference;
      return ourClaims(difference).length > 0 && isClaimed(theirs, claims, symbols, address) ? ours : null;
    },
  },
  {
    name: 'behind the end of a sequence',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason:
      'eu-addr2line 0.188 gives the last row before the address, also where that row is the end of its sequence and says so',
    amend: ({ ours, theirs, claims }) => {
      const [inner, ...callers] = theirs;
      const isNoRow = claims.every(({ row }) => row === null) && (ours[0]?.file ?? null) === null;
      if (!isNoRow || inner === undefined || inner.file === null) return null;
      const isNothing = ours.length === 0 && inner.function === null && callers.length === 0;
      return isNothing ? [] : [{ ...inner, file: null, line: null, column: null }, ...callers];
    },
  },
  {
    name: 'calls where no function is',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason:
      'eu-addr2line 0.188 prints callers for an address that is in no function (alignment), those of an inlined call elsewhere in the unit',
    amend: (difference) => {
      const { ours, theirs } = difference;
      const isInner = ours.length === 0 || firstDifference(ours, theirs.slice(0, 1)) === null;
      return isRowOnly(difference) && theirs.length > 1 && theirs[0]!.function === null && isInner ? ours : null;
    },
  },
  {
    name: 'callers left out',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason: 'eu-addr2line 0.188 leaves out calls that are the only thing the debug info says of the address',
    amend: (difference) => {
      const { ours, theirs } = difference;
      return isOursAlone(difference) && theirs.length < ours.length && isPartOf(theirs, ours) ? ours : null;
    },
  },
  {
    name: 'callers added',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason: 'eu-addr2line 0.188 prints calls that the debug info has elsewhere, not at the address',
    amend: (difference) => {
      const { ours, theirs } = difference;
      return isOursAlone(difference) && theirs.length > ours.length && isPartOf(ours, theirs) ? ours : null;
    },
  },
  {
    name: 'callers of another call',
    peers: ['eu-addr2line'],
    right: 'unidbg',
    reason: 'eu-addr2line 0.188 swaps callers when one function is inlined twice',
    amend: (difference) => {
      const { ours, theirs } = difference;
      return isOursAlone(difference) && ours.length > 1 && firstDifference(ours.slice(0, 1), theirs.slice(0, 1)) === null
        ? ours
        : null;
    },
  },
];

export const RULES: readonly Rule[] = [...NAME_RULES, ...FIELD_RULES, ...ANSWER_RULES];

/** The rules that together explain a difference, in the order they were needed; null when something is left. */
export function explain(difference: Difference): readonly Rule[] | null {
  const { ours } = difference;
  const used: Rule[] = [];
  let { theirs } = difference;
  for (const rule of RULES) {
    const amended = rule.peers.includes(difference.peer) ? rule.amend({ ...difference, theirs }) : null;
    if (amended === null || firstDifference(theirs, amended) === null) continue;
    used.push(rule);
    theirs = amended;
    if (firstDifference(ours, theirs) === null) return used;
  }
  return null;
}

/** Their answer with our name for the function around all calls, where ours is what the debug info says or it says nothing. */
function withOurName(difference: Difference): Answer | null {
  const { ours, theirs, claims } = difference;
  const own = ours.at(-1);
  const their = theirs.at(-1);
  if (own === undefined || their === undefined || (claims.length > 0 && ourClaims(difference).length === 0)) return null;
  return [...theirs.slice(0, -1), { ...their, function: own.function }];
}

/** The symbols of our name and of theirs for the function around all calls. */
function symbolsNamed({ ours, theirs, symbols }: Difference): readonly [readonly DumpedSymbol[], readonly DumpedSymbol[]] {
  return [symbols.named(ours.at(-1)?.function ?? null), symbols.named(theirs.at(-1)?.function ?? null)];
}

function amendFrames(ours: Answer, theirs: Answer, amend: (own: Frame, their: Frame) => Frame): Answer | null {
  return ours.length === theirs.length ? theirs.map((their, index) => amend(ours[index]!, their)) : null;
}

/** The claims that our answer is. */
function ourClaims({ ours, claims, symbols, address }: Difference): readonly Claim[] {
  return claims.filter((claim) => isClaim(ours, claim, symbols, address));
}

/** Whether our answer is the only thing that the debug info says. */
function isOursAlone(difference: Difference): boolean {
  const { claims } = difference;
  return claims.length > 0 && ourClaims(difference).length === claims.length;
}

/** Whether the debug info says no more than which line the code behind a function's end is counted to. */
function isRowOnly({ claims }: Difference): boolean {
  return claims.every(
    ({ frames }: { readonly frames: readonly ClaimedFrame[] }) => frames.length === 1 && frames[0]!.entry === null,
  );
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
