// Inlined calls inside one function: its DW_TAG_inlined_subroutine entries (DWARF 5 section 3.3.8), nested as the calls were.

import type { Cursor } from '../bytes/cursor.ts';
import type { Abbrev } from './abbrev.ts';
import { AT, TAG } from './constants.ts';
import { type Reference, readConstant, readReference } from './forms.ts';
import type { FunctionPiece } from './functions.ts';
import { IntervalIndex } from './intervals.ts';
import { dwarfErrors, malformed } from './section.ts';
import { newPcRange, type PcRange, piecesOf, readPcAttribute, skipAttributes, type Unit, visitAttributes } from './unit.ts';

/** One inlined call: what was inlined and where the call stands. Numbers 0 in DWARF are null here. */
export interface InlinedCall {
  /** Offset of the call's own entry in its section. */
  readonly die: number;
  readonly origin: Reference | null;
  readonly callFile: number | null;
  readonly callLine: number | null;
  readonly callColumn: number | null;
}

/** Nested calls one chain may have; compilers stop far earlier. */
const MAX_DEPTH = 512;
const MAX_CALLS = 1 << 18;
const MAX_TRIPLES = 3 << 20;

/** Fields of a call in `InlineTree.fields`: a kernel has a million calls, as objects they would take 100 MB. */
const FIELDS = 7;
const FIELD = { die: 0, origin: 1, file: 2, line: 3, column: 4, parent: 5, depth: 6 } as const;

/** The inlined calls of one function, by address. */
export class InlineTree {
  private readonly fields: Float64Array;
  /** References that are not plain offsets in the unit, by call. */
  private readonly farOrigins: ReadonlyMap<number, Reference>;
  private readonly index: IntervalIndex;

  constructor(fields: Float64Array, farOrigins: ReadonlyMap<number, Reference>, triples: readonly number[]) {
    this.fields = fields;
    this.farOrigins = farOrigins;
    this.index = new IntervalIndex(triples);
  }

  /** Bytes it keeps, about. */
  get cost(): number {
    return this.fields.byteLength + this.index.cost + this.farOrigins.size * 100 + 500;
  }

  /** The calls that `address` is inside of, innermost first. */
  find(address: number): InlinedCall[] {
    const chain: InlinedCall[] = [];
    for (let call = this.deepestAt(address); call >= 0; call = this.field(call, FIELD.parent)) chain.push(this.callAt(call));
    return chain;
  }

  private deepestAt(address: number): number {
    if (this.fields.length === 0) return -1;
    let deepest = -1;
    for (const at of this.index.findAll(address)) {
      const call = this.index.valueAt(at);
      if (deepest < 0 || this.field(call, FIELD.depth) > this.field(deepest, FIELD.depth)) deepest = call;
    }
    return deepest;
  }

  private field(call: number, field: number): number {
    return this.fields[call * FIELDS + field]!;
  }

  private callAt(call: number): InlinedCall {
    const origin = this.field(call, FIELD.origin);
    return {
      die: this.field(call, FIELD.die),
      origin: origin >= 0 ? { kind: 'unit', offset: origin } : (this.farOrigins.get(call) ?? null),
      callFile: known(this.field(call, FIELD.file)),
      callLine: known(this.field(call, FIELD.line)) || null,
      callColumn: known(this.field(call, FIELD.column)) || null,
    };
  }
}

/** What has no value is kept as −1. */
function known(value: number): number | null {
  return value < 0 ? null : value;
}

/** Reads the inlined calls of a function of `unit`. Throws DWARF_TRUNCATED, DWARF_MALFORMED, DWARF_UNKNOWN_FORM. */
export function readInlineTree(unit: Unit, piece: FunctionPiece): InlineTree {
  return dwarfErrors(unit.describe(), () => new InlineReader(unit, piece).read());
}

class InlineReader {
  private readonly unit: Unit;
  private readonly cursor: Cursor;
  private readonly fields: number[] = [];
  private readonly farOrigins = new Map<number, Reference>();
  private readonly triples: number[] = [];

  /** Where the producer says where the function ends, its bytes are read and not the whole unit's. */
  constructor(unit: Unit, { die, dieEnd }: FunctionPiece) {
    this.unit = unit;
    const end = dieEnd > die && dieEnd <= unit.header.end ? dieEnd : unit.header.end;
    this.cursor = unit.header.section.cursor(die, end - die);
  }

  /** Walks the function's entries. `open` holds, for each open level, the call that its entries are in; IN_NESTED in a nested function. */
  read(): InlineTree {
    const { cursor, unit } = this;
    const base = cursor.base;
    const own = this.abbrevAt();
    skipAttributes(cursor, own, unit.encoding);
    const open: number[] = own.hasChildren ? [OWN] : [];
    while (open.length > 0 && !cursor.atEnd) {
      const die = base + cursor.offset;
      const code = cursor.uleb();
      if (code === 0) {
        open.pop();
        continue;
      }
      const abbrev = unit.abbrevs.get(code);
      const parent = open[open.length - 1]!;
      let inside = parent;
      if (abbrev.tag === TAG.inlined_subroutine && parent !== IN_NESTED) inside = this.readCall(abbrev, die, parent);
      else skipAttributes(cursor, abbrev, unit.encoding);
      if (abbrev.hasChildren) open.push(abbrev.tag === TAG.subprogram ? IN_NESTED : inside);
    }
    return new InlineTree(Float64Array.from(this.fields), this.farOrigins, this.triples);
  }

  private abbrevAt(): Abbrev {
    return this.unit.abbrevs.get(this.cursor.uleb());
  }

  private readCall(abbrev: Abbrev, die: number, parent: number): number {
    const { unit, cursor } = this;
    const pc = newPcRange();
    let [origin, file, line, column] = [-1, -1, -1, -1];
    const call = this.fields.length / FIELDS;
    visitAttributes(cursor, abbrev, unit.encoding, (spec) => {
      const constant = (): number => readConstant(cursor, spec.form, spec.implicitConst, unit.encoding) ?? -1;
      if (spec.name === AT.abstract_origin) {
        const reference = readReference(cursor, spec.form, unit.encoding);
        if (reference?.kind === 'unit') origin = reference.offset;
        else if (reference !== null) this.farOrigins.set(call, reference);
      } else if (spec.name === AT.call_file) file = constant();
      else if (spec.name === AT.call_line) line = constant();
      else if (spec.name === AT.call_column) column = constant();
      else readPcAttribute(cursor, spec, unit, pc);
    });
    const depth = parent < 0 ? 0 : this.fields[parent * FIELDS + FIELD.depth]! + 1;
    if (call >= MAX_CALLS || depth >= MAX_DEPTH) throw malformed(unit.describe(), 'too many inlined calls in one function');
    this.fields.push(die, origin, file, line, column, parent, depth);
    this.addRanges(pc, call);
    return call;
  }

  private addRanges(pc: PcRange, call: number): void {
    const pieces = piecesOf(this.unit, pc);
    for (let at = 0; at + 1 < pieces.length; at += 2) this.triples.push(pieces[at]!, pieces[at + 1]!, call);
    if (this.triples.length > MAX_TRIPLES) throw malformed(this.unit.describe(), 'too many ranges of inlined calls');
  }
}

/** The function itself, as the parent of its outermost calls. */
const OWN = -1;
/** Marks entries of a function nested in the one that is read: their calls are that function's. */
const IN_NESTED = -2;
