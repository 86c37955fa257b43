// Inlined calls inside one function: its DW_TAG_inlined_subroutine entries (DWARF 5 section 3.3.8), nested as the calls were.

import type { Cursor } from '../bytes/cursor.ts';
import { AT, TAG } from './constants.ts';
import { type Reference, readConstant, readReference } from './forms.ts';
import { type Die } from './info.ts';
import { IntervalIndex } from './intervals.ts';
import { decodeRangeList } from './ranges.ts';
import { dwarfErrors, malformed } from './section.ts';
import { highPcOf, newPcRange, readPcAttribute, skipAttributes, type Unit, visitAttributes } from './unit.ts';

/** One inlined call: what was inlined and where the call stands. Numbers 0 in DWARF are null here. */
export interface InlinedCall {
  /** Offset of the entry in .debug_info. */
  readonly die: number;
  readonly origin: Reference | null;
  readonly callFile: number | null;
  readonly callLine: number | null;
  readonly callColumn: number | null;
  /** Position of the call this one was inlined into, −1 for the function itself. */
  readonly parent: number;
  readonly depth: number;
}

/** Nested calls one chain may have; compilers stop far earlier. */
const MAX_DEPTH = 512;
const MAX_CALLS = 1 << 18;
const MAX_TRIPLES = 3 << 20;

/** The inlined calls of one function, by address. */
export class InlineTree {
  private readonly calls: readonly InlinedCall[];
  private readonly index: IntervalIndex;

  constructor(calls: readonly InlinedCall[], triples: readonly number[]) {
    this.calls = calls;
    this.index = new IntervalIndex(triples);
  }

  /** Bytes it keeps, about. */
  get cost(): number {
    return this.calls.length * 120 + this.index.count * 32 + 200;
  }

  /** The calls that `address` is inside of, innermost first. */
  find(address: number): InlinedCall[] {
    let deepest = -1;
    this.index.visit(address, (at) => {
      const call = this.index.values[at]!;
      if (deepest < 0 || this.calls[call]!.depth > this.calls[deepest]!.depth) deepest = call;
    });
    const chain: InlinedCall[] = [];
    for (let call = deepest; call >= 0; call = this.calls[call]!.parent) chain.push(this.calls[call]!);
    return chain;
  }
}

/** Reads the inlined calls below the function `die`. Throws DWARF_TRUNCATED, DWARF_MALFORMED, DWARF_UNKNOWN_FORM. */
export function readInlineTree(die: Die): InlineTree {
  return dwarfErrors(die.unit.describe(), () => new InlineReader(die.unit).read(die));
}

class InlineReader {
  private readonly unit: Unit;
  private readonly calls: InlinedCall[] = [];
  private readonly triples: number[] = [];

  constructor(unit: Unit) {
    this.unit = unit;
  }

  /** Walks the entries below `die`. `open` holds, for each open level, the call that its entries are in; −2 in a nested function. */
  read({ entry }: Die): InlineTree {
    const cursor = this.unit.cursor();
    cursor.seek(entry.attributes - this.unit.header.offset);
    skipAttributes(cursor, entry.abbrev, this.unit.encoding);
    const open: number[] = entry.abbrev.hasChildren ? [-1] : [];
    while (open.length > 0 && cursor.remaining > 0) {
      const offset = this.unit.header.offset + cursor.offset;
      const code = cursor.uleb();
      if (code === 0) {
        open.pop();
        continue;
      }
      const abbrev = this.unit.abbrevs.get(code);
      const parent = open[open.length - 1]!;
      let inside = parent;
      if (abbrev.tag === TAG.inlined_subroutine && parent !== IN_NESTED)
        inside = this.readCall(cursor, { offset, abbrev, attributes: this.unit.header.offset + cursor.offset }, parent);
      else skipAttributes(cursor, abbrev, this.unit.encoding);
      if (abbrev.hasChildren) open.push(abbrev.tag === TAG.subprogram ? IN_NESTED : inside);
    }
    return new InlineTree(this.calls, this.triples);
  }

  private readCall(cursor: Cursor, entry: Die['entry'], parent: number): number {
    const { unit } = this;
    const pc = newPcRange();
    let origin: Reference | null = null;
    const site = { file: null as number | null, line: null as number | null, column: null as number | null };
    visitAttributes(cursor, entry.abbrev, unit.encoding, (spec) => {
      const constant = (): number | null => readConstant(cursor, spec.form, spec.implicitConst, unit.encoding);
      if (spec.name === AT.abstract_origin) origin = readReference(cursor, spec.form, unit.encoding);
      else if (spec.name === AT.call_file) site.file = constant();
      else if (spec.name === AT.call_line) site.line = constant();
      else if (spec.name === AT.call_column) site.column = constant();
      else readPcAttribute(cursor, spec, unit, pc);
    });
    const call = this.calls.length;
    const depth = parent < 0 ? 0 : this.calls[parent]!.depth + 1;
    if (call >= MAX_CALLS || depth >= MAX_DEPTH) throw malformed(unit.describe(), 'too many inlined calls in one function');
    this.calls.push({
      ...{ die: entry.offset, origin, callFile: site.file, parent, depth },
      ...{ callLine: site.line === 0 ? null : site.line, callColumn: site.column === 0 ? null : site.column },
    });
    this.addRanges(pc, call);
    return call;
  }

  private addRanges(pc: ReturnType<typeof newPcRange>, call: number): void {
    const pieces: number[] = [];
    const high = highPcOf(pc);
    if (pc.rangesOffset !== null) decodeRangeList(this.unit, pc.rangesOffset, this.unit.root.lowPc, pieces);
    else if (pc.low !== null && high !== null) pieces.push(pc.low, high);
    for (let at = 0; at + 1 < pieces.length; at += 2) this.triples.push(pieces[at]!, pieces[at + 1]!, call);
    if (this.triples.length > MAX_TRIPLES) throw malformed(this.unit.describe(), 'too many ranges of inlined calls');
  }
}

/** Marks entries of a function nested in the one that is read: their calls are that function's. */
const IN_NESTED = -2;
