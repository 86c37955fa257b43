// Functions of a unit by address: its DW_TAG_subprogram entries that have code (DWARF 5 section 3.3).
// First only the outer levels are walked, skipping by DW_AT_sibling; an address that this does not find (functions nested
// in functions or types: GNU C, Rust, D) is looked for once more in a walk over everything.

import type { Cursor } from '../bytes/cursor.ts';
import type { Abbrev } from './abbrev.ts';
import { AT, TAG } from './constants.ts';
import { readReference } from './forms.ts';
import { IntervalIndex } from './intervals.ts';
import { dwarfErrors, malformed } from './section.ts';
import { newPcRange, piecesOf, readPcAttribute, readSibling, skipAttributes, type Unit, visitAttributes } from './unit.ts';

/** A function's entry and the piece of its code that was asked for. Addresses are offsets from the image's origin. */
export interface FunctionPiece {
  /** Offset of the entry in its section. */
  readonly die: number;
  /** Offset behind the entry and all below it; 0 when the producer does not say. */
  readonly dieEnd: number;
  /** The function's entry point; null in another piece of it (gcc's `.cold` part), where a distance from it would mislead. */
  readonly entry: number | null;
}

/** Ranges one unit's functions may have in all: a bound for hostile files, far above any compiler's. */
const MAX_TRIPLES = 3 << 20;

/** The functions of one unit by address. */
export class UnitFunctions {
  private readonly index: IntervalIndex;
  private readonly functions: FoundFunctions;

  constructor(functions: FoundFunctions) {
    this.functions = functions;
    this.index = new IntervalIndex(functions.triples);
    functions.triples.length = 0;
  }

  /** Bytes it keeps. */
  get cost(): number {
    return this.index.cost + this.functions.dies.length * 24 + 200;
  }

  /** The innermost function whose code holds `address`, or null. */
  find(address: number): FunctionPiece | null {
    const at = this.index.findSmallest(address);
    if (at < 0) return null;
    const number = this.index.valueAt(at);
    const { dies, dieEnds, entries } = this.functions;
    const start = this.index.startAt(at);
    return { die: dies[number]!, dieEnd: dieEnds[number]!, entry: entries[number] === start ? start : null };
  }
}

/** What a walk found. `triples`: start, end and number of the function, of each piece of code. */
interface FoundFunctions {
  readonly triples: number[];
  readonly dies: number[];
  readonly dieEnds: number[];
  /** Start of the first piece: DWARF 5 section 2.18 takes it for the entry point. */
  readonly entries: number[];
}

/**
 * Reads a unit's functions: those on the outer levels, or `everywhere`. Throws DWARF_TRUNCATED, DWARF_MALFORMED,
 * DWARF_UNKNOWN_FORM.
 */
export function readFunctions(unit: Unit, isCode: (address: number) => boolean, everywhere: boolean): UnitFunctions {
  return dwarfErrors(unit.describe(), () => new UnitFunctions(new FunctionReader(unit, isCode, everywhere).read()));
}

class FunctionReader {
  private readonly unit: Unit;
  private readonly isCode: (address: number) => boolean;
  private readonly everywhere: boolean;
  private readonly cursor: Cursor;
  private readonly found: FoundFunctions = { triples: [], dies: [], dieEnds: [], entries: [] };

  constructor(unit: Unit, isCode: (address: number) => boolean, everywhere: boolean) {
    this.unit = unit;
    this.isCode = isCode;
    this.everywhere = everywhere;
    this.cursor = unit.cursor();
  }

  read(): FoundFunctions {
    const { unit, cursor, everywhere } = this;
    const base = unit.header.offset;
    cursor.seek(unit.header.root - base);
    const { length } = cursor;
    let depth = 0;
    do {
      if (cursor.offset >= length) break;
      const die = cursor.offset;
      const code = cursor.uleb();
      if (code === 0) {
        depth -= 1;
        continue;
      }
      const abbrev = unit.abbrevs.get(code);
      const sibling = this.visit(abbrev, base + die);
      if (!abbrev.hasChildren) continue;
      if (sibling > 0 && !everywhere && !CONTAINERS.has(abbrev.tag)) skipTo(unit, cursor, sibling, base + die);
      else depth += 1;
    } while (depth > 0);
    return this.found;
  }

  /** Moves past an entry, taking its code if it is a function; gives its DW_AT_sibling (a section offset) if that is needed, else 0. */
  private visit(abbrev: Abbrev, die: number): number {
    const { cursor, unit } = this;
    if (abbrev.tag === TAG.subprogram && abbrev.hasCode) return this.visitFunction(abbrev, die);
    const start = cursor.offset;
    const isSkipped = abbrev.hasChildren && !this.everywhere && !CONTAINERS.has(abbrev.tag);
    const sibling = isSkipped ? readSibling(cursor, abbrev, unit) : 0;
    if (sibling > 0) return sibling;
    cursor.seek(start);
    skipAttributes(cursor, abbrev, unit.encoding);
    return 0;
  }

  private visitFunction(abbrev: Abbrev, die: number): number {
    const { cursor, unit } = this;
    const pc = newPcRange();
    let sibling = 0;
    visitAttributes(cursor, abbrev, unit.encoding, (spec) => {
      if (spec.name !== AT.sibling) readPcAttribute(cursor, spec, unit, pc);
      else {
        const reference = readReference(cursor, spec.form, unit.encoding);
        if (reference?.kind === 'unit') sibling = unit.header.offset + reference.offset;
      }
    });
    const pieces = piecesOf(unit, pc);
    if (pieces.length > 0) this.add(pieces, die, abbrev.hasChildren ? sibling : unit.header.offset + cursor.offset);
    return sibling;
  }

  private add(pieces: readonly number[], die: number, dieEnd: number): void {
    const { triples, dies, dieEnds, entries } = this.found;
    for (let at = 0; at + 1 < pieces.length; at += 2) {
      if (this.isCode(pieces[at]!)) triples.push(pieces[at]!, pieces[at + 1]!, dies.length);
    }
    if (triples.length > MAX_TRIPLES) throw malformed(this.unit.describe(), 'too many ranges of functions');
    dies.push(die);
    dieEnds.push(dieEnd);
    entries.push(pieces[0]!);
  }
}

/** Entries whose children are worth walking for functions in the first walk. */
const CONTAINERS: ReadonlySet<number> = new Set([
  TAG.compile_unit,
  TAG.partial_unit,
  TAG.skeleton_unit,
  TAG.namespace,
  TAG.module,
]);

/** Moves to a sibling; one that does not lie ahead would make the walk endless. */
export function skipTo(unit: Unit, cursor: Cursor, sibling: number, die: number): void {
  const target = sibling - unit.header.offset;
  if (target < cursor.offset || target > cursor.length) {
    throw malformed(unit.describe(), `the sibling of the entry at 0x${die.toString(16)} is at 0x${sibling.toString(16)}`);
  }
  cursor.seek(target);
}
