// Functions of a unit by address: its DW_TAG_subprogram entries that have code (DWARF 5 section 3.3).
// First only the outer levels are walked, skipping by DW_AT_sibling; an address that this does not find (functions nested
// in functions or types: GNU C, Rust, D) is looked for once more in a walk over everything.

import type { Cursor } from '../bytes/cursor.ts';
import type { Abbrev } from './abbrev.ts';
import { AT, TAG } from './constants.ts';
import { readReference } from './forms.ts';
import { IntervalIndex } from './intervals.ts';
import { decodeRangeList } from './ranges.ts';
import { dwarfErrors, malformed } from './section.ts';
import { highPcOf, newPcRange, readPcAttribute, skipAttributes, type Unit, visitAttributes } from './unit.ts';

/** A function's entry and the piece of its code that was asked for. Addresses are offsets from the image's origin. */
export interface FunctionPiece {
  /** Offset of the entry in .debug_info. */
  readonly die: number;
  /** The function's entry point; null in another piece of it (gcc's `.cold` part), where a distance from it would mislead. */
  readonly entry: number | null;
}

/** Ranges one unit's functions may have in all: a bound for hostile files, far above any compiler's. */
const MAX_TRIPLES = 3 << 20;

/** The functions of one unit, read when first asked for. */
export class UnitFunctions {
  private readonly unit: Unit;
  private readonly isCode: (address: number) => boolean;
  private outer: IntervalIndex | null = null;
  private all: IntervalIndex | null = null;
  /** Start of the first piece of each function that has several: DWARF 5 section 2.18 takes it for the entry point. */
  private readonly entries = new Map<number, number>();

  constructor(unit: Unit, isCode: (address: number) => boolean) {
    this.unit = unit;
    this.isCode = isCode;
  }

  /** Bytes it keeps: its unit's, about. */
  get cost(): number {
    return this.unit.cost;
  }

  /** The innermost function whose code holds `address`, or null. */
  find(address: number): FunctionPiece | null {
    this.outer ??= this.read(false);
    const piece = this.pieceAt(this.outer, address);
    if (piece !== null) return piece;
    this.all ??= this.read(true);
    return this.pieceAt(this.all, address);
  }

  private pieceAt(index: IntervalIndex, address: number): FunctionPiece | null {
    const at = index.findSmallest(address);
    if (at < 0) return null;
    const die = index.values[at]!;
    const start = index.starts[at]!;
    return { die, entry: (this.entries.get(die) ?? start) === start ? start : null };
  }

  private read(everything: boolean): IntervalIndex {
    const triples: number[] = [];
    dwarfErrors(this.unit.describe(), () => {
      walk(this.unit, everything, (pieces, die) => {
        if (pieces.length > 2) this.entries.set(die, pieces[0]!);
        for (let at = 0; at + 1 < pieces.length; at += 2) {
          if (this.isCode(pieces[at]!)) triples.push(pieces[at]!, pieces[at + 1]!, die);
        }
        if (triples.length > MAX_TRIPLES) throw malformed(this.unit.describe(), 'too many ranges of functions');
      });
    });
    return new IntervalIndex(triples);
  }
}

/** Told of a function: its code as start, end, start, end, …, and its entry's offset. */
type Found = (pieces: readonly number[], die: number) => void;

function walk(unit: Unit, everything: boolean, found: Found): void {
  const cursor = unit.cursor();
  const base = unit.header.offset;
  cursor.seek(unit.header.root - base);
  let depth = 0;
  do {
    if (cursor.remaining === 0) return;
    const die = base + cursor.offset;
    const code = cursor.uleb();
    if (code === 0) {
      depth -= 1;
      continue;
    }
    const abbrev = unit.abbrevs.get(code);
    const next = visitEntry(unit, cursor, abbrev, die, found);
    if (!abbrev.hasChildren) continue;
    if (!everything && next > 0 && !CONTAINERS.has(abbrev.tag)) skipTo(unit, cursor, next, die);
    else depth += 1;
  } while (depth > 0);
}

/** Entries whose children are worth walking for functions in the first walk. */
const CONTAINERS: ReadonlySet<number> = new Set([
  TAG.compile_unit,
  TAG.partial_unit,
  TAG.skeleton_unit,
  TAG.namespace,
  TAG.module,
]);

/** Reads an entry's code if it is a function; gives its DW_AT_sibling as an offset in the section, 0 when it has none. */
function visitEntry(unit: Unit, cursor: Cursor, abbrev: Abbrev, die: number, found: Found): number {
  const isFunction = abbrev.tag === TAG.subprogram;
  if (!isFunction && !abbrev.hasChildren) {
    skipAttributes(cursor, abbrev, unit.encoding);
    return 0;
  }
  const pc = newPcRange();
  let sibling = 0;
  visitAttributes(cursor, abbrev, unit.encoding, (spec) => {
    if (spec.name === AT.sibling) {
      const reference = readReference(cursor, spec.form, unit.encoding);
      if (reference?.kind === 'unit') sibling = unit.header.offset + reference.offset;
    } else if (isFunction) {
      readPcAttribute(cursor, spec, unit, pc);
    }
  });
  const pieces: number[] = [];
  const high = highPcOf(pc);
  if (pc.rangesOffset !== null) decodeRangeList(unit, pc.rangesOffset, unit.root.lowPc, pieces);
  else if (pc.low !== null && high !== null) pieces.push(pc.low, high);
  if (pieces.length > 0) found(pieces, die);
  return sibling;
}

/** Moves to a sibling; one that does not lie ahead would make the walk endless. */
export function skipTo(unit: Unit, cursor: Cursor, sibling: number, die: number): void {
  const target = sibling - unit.header.offset;
  if (target < cursor.offset || target > cursor.length) {
    throw malformed(unit.describe(), `the sibling of the entry at 0x${die.toString(16)} is at 0x${sibling.toString(16)}`);
  }
  cursor.seek(target);
}
