// Which unit covers an address: .debug_aranges where the compiler wrote it, the address table of .gdb_index or the units' root
// entries for those it does not speak of.

import { UnidbgError } from '../model/error.ts';
import { AddressRanges } from './aranges.ts';
import type { CodeMap } from './code-map.ts';
import { IntervalIndex } from './intervals.ts';
import type { DebugSections } from './section.ts';
import type { Unit } from './unit.ts';

/** Where the index gets units from; damage is told to `complain`. */
export interface UnitSource {
  readonly offsets: () => Float64Array;
  readonly findUnit: (offset: number) => Unit | null;
  /** What a debugger's index says of the code of units: start, end, unit, … Throws DWARF_*. */
  readonly listedCode: () => number[];
  /** Where the code of the unit at `offset` is, as start, end, … Throws DWARF_*. */
  readonly readCode: (offset: number) => number[];
  readonly complain: (error: UnidbgError) => void;
}

/** Finds units of one file's .debug_info by address (offsets from the image's origin). */
export class UnitIndex {
  private readonly sections: DebugSections;
  private readonly code: CodeMap;
  private readonly source: UnitSource;
  private aranges: AddressRanges | null = null;
  private roots: IntervalIndex | null = null;

  constructor(sections: DebugSections, code: CodeMap, source: UnitSource) {
    this.sections = sections;
    this.code = code;
    this.source = source;
  }

  /** The unit with the smallest listed range around `address`, or null. */
  likeliest(address: number): Unit | null {
    const offset = this.attempt(() => this.listed().findUnit(address)) ?? -1;
    return offset < 0 ? null : this.source.findUnit(offset);
  }

  /** Units that may cover `address`, the likeliest first. */
  *all(address: number): Generator<Unit> {
    const likeliest = this.likeliest(address);
    if (likeliest !== null) yield likeliest;
    const listed = this.attempt(() => this.listed().findUnits(address)) ?? [];
    for (const offset of [...listed, ...smallestFirst(this.unlisted(), address)]) {
      const unit = offset === likeliest?.header.offset ? null : this.source.findUnit(offset);
      if (unit !== null) yield unit;
    }
  }

  private listed(): AddressRanges {
    this.aranges ??= new AddressRanges(this.sections, this.code);
    return this.aranges;
  }

  private unlisted(): IntervalIndex {
    if (this.roots !== null) return this.roots;
    const listed = new Set(this.attempt(() => this.listed().units));
    const indexed = listed.size === this.source.offsets().length ? [] : (this.attempt(() => this.source.listedCode()) ?? []);
    const triples: number[] = [];
    for (let at = 0; at + 2 < indexed.length; at += 3) {
      if (!listed.has(indexed[at + 2]!)) triples.push(indexed[at]!, indexed[at + 1]!, indexed[at + 2]!);
    }
    for (let at = 2; at < indexed.length; at += 3) listed.add(indexed[at]!);
    for (const offset of this.source.offsets()) {
      const pieces = listed.has(offset) ? null : this.attempt(() => this.source.readCode(offset));
      for (let at = 0; pieces !== null && at + 1 < pieces.length; at += 2) triples.push(pieces[at]!, pieces[at + 1]!, offset);
    }
    this.roots = new IntervalIndex(this.code.keepCode(triples));
    return this.roots;
  }

  private attempt<T>(body: () => T): T | null {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      this.source.complain(error);
      return null;
    }
  }
}

function smallestFirst(index: IntervalIndex, address: number): number[] {
  const size = (position: number): number => index.endAt(position) - index.startAt(position);
  const positions = index.findAll(address).sort((a, b) => size(a) - size(b) || a - b);
  return positions.map((position) => index.valueAt(position));
}
