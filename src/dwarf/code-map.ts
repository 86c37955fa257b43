// Which offsets of an image are code. Linkers leave the debug info of discarded sections in place with addresses of 0, 1 or
// −1 (DWARF 5 says nothing of it; lld calls them tombstones); in a position-independent image 0 is inside the file's headers.

import { PF_X, PT_LOAD, SHF_ALLOC, SHF_EXECINSTR } from '../elf/constants.ts';
import type { ElfFile } from '../elf/file.ts';

/** Code of one image, as offsets from its origin. */
export interface CodeMap {
  readonly isCode: (offset: number) => boolean;
  /** Keeps those (start, end, value) triples whose start is code. */
  readonly keepCode: (triples: readonly number[]) => number[];
}

/**
 * Sections that hold instructions, and other loaded sections of executable segments (boot code in odd sections);
 * the executable segments themselves where the section headers were stripped.
 */
export function codeMapOf(file: ElfFile): CodeMap {
  const segments = file.segments
    .filter((segment) => segment.type === PT_LOAD && (segment.flags & PF_X) !== 0)
    .map((segment) => rangeOf(file, segment.virtualAddress, segment.memorySize));
  const sections = file.sections
    .filter((section) => (section.flags & SHF_ALLOC) !== 0 && section.size > 0)
    .map((section) => ({ ...rangeOf(file, section.address, section.size), executable: (section.flags & SHF_EXECINSTR) !== 0 }))
    .filter((section) => section.executable || segments.some((s) => s.start <= section.start && section.start < s.end));
  const ranges = merge(sections.length > 0 ? sections : segments);
  const starts = ranges.map(({ start }) => start);
  const ends = ranges.map(({ end }) => end);
  const isCode = (offset: number): boolean => {
    for (let index = 0; index < starts.length; index += 1) {
      if (starts[index]! <= offset && offset < ends[index]!) return true;
    }
    return false;
  };
  return {
    isCode,
    keepCode(triples) {
      const kept: number[] = [];
      for (let at = 0; at + 2 < triples.length; at += 3) {
        if (isCode(triples[at]!)) kept.push(triples[at]!, triples[at + 1]!, triples[at + 2]!);
      }
      return kept;
    },
  };
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function rangeOf(file: ElfFile, address: bigint, size: number): Range {
  const start = Number(address - file.origin);
  return { start, end: start + size };
}

function merge(ranges: readonly Range[]): Range[] {
  const merged: { start: number; end: number }[] = [];
  for (const range of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last !== undefined && range.start <= last.end) last.end = Math.max(last.end, range.end);
    else merged.push({ start: range.start, end: range.end });
  }
  return merged;
}
