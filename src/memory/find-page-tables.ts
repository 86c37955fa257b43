// The page tables of a guest whose registers nobody kept, found in its memory: a page is the root of them if they map the addresses at which
// bytes of the guest's images must stand to pages with those bytes. (Volatility finds a guest's DTB in this way, by landmarks of its own.)
// x86: 5-level, 4-level, PAE and 32-bit tables, and memory that is not translated.

import type { Address } from '../model/address.ts';
import type { Machine } from '../model/machine.ts';
import type { Registers } from '../model/registers.ts';
import { getTranslation, type ReadEntry } from './page-walk.ts';

/** Guest-physical memory [start, end) to search. */
export interface SearchedMemory {
  readonly start: number;
  readonly end: number;
  /** Fills `into`; false when a byte is not readable. */
  readonly read: (address: number, into: Uint8Array) => boolean;
}

/** Bytes that the guest has at a virtual address. */
export interface KnownBytes {
  readonly address: Address;
  readonly bytes: Uint8Array;
}

/** `registers` have only what translates: `cr0 cr3 cr4 efer`. */
export interface FoundPageTables {
  readonly registers: Registers;
  /** For people: `4-level page tables at 0x152000`. */
  readonly what: string;
  /** How many of the known bytes stand where they must. */
  readonly matched: number;
}

interface Mode {
  readonly title: string;
  readonly machine: Machine;
  /** The bits of an address from here on choose the root's entry. */
  readonly shift: bigint;
  readonly entries: number;
  readonly entryBytes: 4 | 8;
  /** Bits of a root's entry that must be clear. */
  readonly clear: number;
  /** Roots are aligned to so many bytes. */
  readonly alignment: number;
  readonly cr4: bigint;
  readonly efer: bigint;
}

const LONG = { machine: 'x86_64', entries: 512, entryBytes: 8, alignment: 4096, efer: 0x500n } as const;
/** PAE and LA57 of CR4; a large page cannot be an entry of level 4 or 5 (bit 7 is reserved). */
const LONG_MODES: readonly Mode[] = [
  { ...LONG, title: '4-level page tables', shift: 39n, clear: 0x80, cr4: 0x20n },
  { ...LONG, title: '5-level page tables', shift: 48n, clear: 0x80, cr4: 0x1020n },
];
const SHORT = { machine: 'i386', efer: 0n } as const;
const SHORT_MODES: readonly Mode[] = [
  { ...SHORT, title: 'PAE page tables', shift: 30n, entries: 4, entryBytes: 8, clear: 0x1e6, alignment: 32, cr4: 0x20n },
  { ...SHORT, title: '32-bit page tables', shift: 22n, entries: 1024, entryBytes: 4, clear: 0, alignment: 4096, cr4: 0x10n },
];
const PAGING_ON = 0x8000_0001n;

/** Landmarks that are looked at: more prove nothing more. */
const MAX_LANDMARKS = 32;
/** Landmarks that a candidate may fail before it is given up. */
const TRIES = 4;
/** Translations of one search: in memory that is full of what looks like page tables it ends here, with the best so far. */
const MAX_WALKS = 100_000;
const STEP = 1024 * 1024;
const PAGE = 4096;
const END_BYTES = 512 * 1024 * 1024;

/** The tables that fit best: most known bytes, then most entries in use; null when none of the bytes is found at its address. */
export function findPageTables(memory: SearchedMemory, known: readonly KnownBytes[]): FoundPageTables | null {
  const landmarks = known.slice(0, MAX_LANDMARKS);
  const isShort = landmarks.every(({ address }) => address < 1n << 32n);
  const untranslated = {
    registers: UNTRANSLATED,
    what: 'memory that is not translated',
    matched: countMatches(memory, UNTRANSLATED, landmarks),
  };
  for (const modes of isShort ? [LONG_MODES, SHORT_MODES] : [LONG_MODES]) {
    for (const ranges of stagesOf(memory)) {
      const found = search(memory, ranges, landmarks, modes);
      // Tables that map addresses to themselves say more than none.
      if (found !== null && found.matched >= untranslated.matched) return found;
    }
  }
  return untranslated.matched > 0 ? untranslated : null;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** Both ends of memory first: allocators take from one of them, and reading many gigabytes takes its time. What is between only if need be. */
function stagesOf({ start, end }: SearchedMemory): readonly (readonly Range[])[] {
  if (end - start <= 2 * END_BYTES) return [[{ start, end }]];
  const middle = { start: start + END_BYTES, end: end - END_BYTES };
  return [
    [
      { start, end: middle.start },
      { start: middle.end, end },
    ],
    [middle],
  ];
}

const UNTRANSLATED: Registers = { machine: 'x86_64', values: { cr0: 1n, cr3: 0n, cr4: 0n, efer: 0n } };

function search(
  memory: SearchedMemory,
  ranges: readonly Range[],
  landmarks: readonly KnownBytes[],
  modes: readonly Mode[],
): FoundPageTables | null {
  const budget = { walks: MAX_WALKS };
  const searches = modes.map((mode) => ({ mode, offsets: rootOffsets(mode, landmarks), best: null as Candidate | null }));
  for (const { at, bytes } of stepsOf(memory, ranges)) {
    if (budget.walks <= 0) break;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (const one of searches) {
      const { mode, offsets } = one;
      for (let root = 0; root < bytes.length && budget.walks > 0; root += mode.alignment) {
        if (!offsets.some((offset) => mayPoint(view, root + offset, mode, memory))) continue;
        const registers = registersOf(mode, at + root);
        const matched = countMatches(memory, registers, landmarks, budget);
        if (matched === 0) continue;
        const used = countUsed(view, root, mode);
        if (one.best !== null && !isBetter(matched, used, one.best)) continue;
        one.best = { registers, what: `${mode.title} at 0x${(at + root).toString(16)}`, matched, used };
      }
    }
  }
  const [usual, other] = searches.map(({ best }) => best);
  if (usual == null || other == null) return usual ?? other ?? null;
  return other.matched > usual.matched || (other.matched === usual.matched && leadsTo(memory, other, usual)) ? other : usual;
}

interface Candidate extends FoundPageTables {
  /** Entries of the root that are in use: tables of an earlier stage of booting map less. */
  readonly used: number;
}

function isBetter(matched: number, used: number, best: Candidate): boolean {
  return matched > best.matched || (matched === best.matched && used > best.used);
}

/**
 * Whether the one's root has the other's as an entry: then the other are the lower levels of the one. A large page of 4-level tables, read
 * as a level higher, is a larger page: the same root can look like both, and 5 levels need proof.
 */
function leadsTo(memory: SearchedMemory, one: Candidate, other: Candidate): boolean {
  const readEntry = entryReader(memory);
  const [root, target] = [one.registers.values['cr3']!, other.registers.values['cr3']!];
  return Array.from({ length: 512 }, (_, index) => readEntry(root + BigInt(8 * index), 8)).some(
    (entry) => entry !== null && (entry & 1n) !== 0n && (entry & 0xf_ffff_ffff_f000n) === target,
  );
}

/** The memory in steps; pages that cannot be read are zeros. */
function* stepsOf(
  memory: SearchedMemory,
  ranges: readonly Range[],
): Generator<{ readonly at: number; readonly bytes: Uint8Array }> {
  const step = new Uint8Array(STEP);
  for (const { start, end } of ranges) {
    for (let at = start; at < end; at += STEP) {
      const bytes = step.subarray(0, Math.floor(Math.min(STEP, end - at) / PAGE) * PAGE);
      if (!memory.read(at, bytes)) readPages(memory, at, bytes);
      yield { at, bytes };
    }
  }
}

function readPages(memory: SearchedMemory, at: number, bytes: Uint8Array): void {
  for (let page = 0; page < bytes.length; page += PAGE) {
    const part = bytes.subarray(page, page + PAGE);
    if (!memory.read(at + page, part)) part.fill(0);
  }
}

/** Where in a root the entries stand that translate the landmarks' addresses. */
function rootOffsets({ shift, entries, entryBytes }: Mode, landmarks: readonly KnownBytes[]): number[] {
  return [...new Set(landmarks.map(({ address }) => Number((address >> shift) & BigInt(entries - 1)) * entryBytes))];
}

/** Whether the entry is present and points into the memory at hand. */
function mayPoint(view: DataView, offset: number, { entryBytes, clear }: Mode, { start, end }: SearchedMemory): boolean {
  if (offset + entryBytes > view.byteLength) return false;
  const low = view.getUint32(offset, true);
  if ((low & 1) === 0 || (low & clear) !== 0) return false;
  const high = entryBytes === 8 ? view.getUint32(offset + 4, true) & 0xf_ffff : 0;
  const target = high * 2 ** 32 + (low - (low & 0xfff));
  return target >= start && target < end;
}

function registersOf({ machine, cr4, efer }: Mode, root: number): Registers {
  return { machine, values: { cr0: PAGING_ON, cr3: BigInt(root), cr4, efer } };
}

function countUsed(view: DataView, root: number, { entries, entryBytes }: Mode): number {
  let used = 0;
  for (let index = 0; index < entries; index += 1) {
    const offset = root + index * entryBytes;
    if (offset < view.byteLength) used += view.getUint8(offset) & 1;
  }
  return used;
}

function countMatches(
  memory: SearchedMemory,
  registers: Registers,
  landmarks: readonly KnownBytes[],
  budget = { walks: MAX_LANDMARKS },
): number {
  const translate = getTranslation(registers);
  const readEntry = entryReader(memory);
  let matched = 0;
  for (const [index, { address, bytes }] of landmarks.entries()) {
    if (matched === 0 && index >= TRIES) return 0;
    budget.walks -= 1;
    const physical = translate(address, readEntry);
    if (physical !== null && holds(memory, Number(physical), bytes)) matched += 1;
  }
  return matched;
}

function entryReader(memory: SearchedMemory): ReadEntry {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  return (address, size) => {
    const at = Number(address);
    if (at < memory.start || !memory.read(at, bytes.subarray(0, size))) return null;
    return size === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
  };
}

/** Whether the bytes stand there, as many of them as one page has: the next page may lie elsewhere. */
function holds(memory: SearchedMemory, at: number, bytes: Uint8Array): boolean {
  const there = new Uint8Array(Math.min(bytes.length, 4096 - (at % 4096)));
  return there.length > 0 && memory.read(at, there) && Buffer.compare(there, bytes.subarray(0, there.length)) === 0;
}
