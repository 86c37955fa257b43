// Abbreviation tables (.debug_abbrev; DWARF 5 section 7.5.3): what attributes an entry has and in which forms.
// Decoded as far as the code asked for, since most look-ups want the root's only. A kernel has 2,000 tables of 250
// abbreviations each, but only some thousand different ones: equal ones are one object, and a table is a list of references.

import type { Cursor } from '../bytes/cursor.ts';
import { errorCode } from '../model/error.ts';
import { AT, FORM } from './constants.ts';
import { type Encoding, fixedFormSize } from './forms.ts';
import { type DebugSection, malformed } from './section.ts';

/** One attribute of an abbreviation. `size`: bytes its value takes when that never varies, else −1. `implicitConst` matters for DW_FORM_implicit_const only. */
export interface AttributeSpec {
  readonly name: number;
  readonly form: number;
  readonly size: number;
  readonly implicitConst: number;
}

/** One abbreviation. */
export interface Abbrev {
  readonly tag: number;
  readonly hasChildren: boolean;
  readonly attributes: readonly AttributeSpec[];
  /** What its attributes take when that never varies, else −1. */
  readonly fixedSize: number;
  /** Has DW_AT_low_pc or DW_AT_ranges. */
  readonly hasCode: boolean;
  /** Bytes from the first attribute to DW_AT_sibling when that never varies and it is a DW_FORM_ref4, else −1. */
  readonly siblingAt: number;
}

/** No producer writes more attributes on one entry than about 30. */
const MAX_ATTRIBUTES = 1024;
/** Codes beyond this are kept in a map: producers number from 1 without gaps. */
const MAX_LISTED = 1 << 16;

/** Bytes that are looked through at once. */
const WINDOW = 4 * 1024;
/** Different abbreviations remembered; a kernel has 3,000. */
const MAX_POOL = 1 << 16;

/** Different abbreviations of the units that share an encoding, by a hash of their bytes. */
export type AbbrevPool = Map<number, PooledAbbrev>;

interface PooledAbbrev {
  readonly bytes: Uint8Array;
  readonly abbrev: Abbrev;
}

/** The abbreviations of one or more units that share an encoding. */
export class AbbrevTable {
  private readonly section: DebugSection;
  private readonly encoding: Encoding;
  private readonly pool: AbbrevPool;
  private readonly listed: (Abbrev | undefined)[] = [];
  private readonly others = new Map<number, Abbrev>();
  /** Where the next abbreviation starts. */
  private next: number;
  private isComplete = false;

  constructor(section: DebugSection, offset: number, encoding: Encoding, pool: AbbrevPool = new Map()) {
    this.section = section;
    this.encoding = encoding;
    this.next = offset;
    this.pool = pool;
  }

  /** The abbreviation `code`. Throws DWARF_MALFORMED when the table has none, BYTES_OUT_OF_RANGE when it is cut off. */
  get(code: number): Abbrev {
    const known = code < MAX_LISTED ? this.listed[code] : this.others.get(code);
    return known ?? this.decodeUpTo(code);
  }

  private decodeUpTo(code: number): Abbrev {
    let window = WINDOW;
    while (!this.isComplete) {
      const from = this.next;
      const length = Math.min(window, this.section.size - from);
      const cursor = this.section.cursor(from, length);
      try {
        for (let found = -1; found !== 0; found = this.decodeNext(cursor, from)) if (found === code) return this.get(code);
      } catch (error) {
        // The window ends in a declaration: go on from its start, in a larger one when that was the first.
        if (errorCode(error) !== 'BYTES_OUT_OF_RANGE' || length < window) throw error;
        window = this.next === from ? window * 16 : WINDOW;
      }
    }
    throw malformed('.debug_abbrev', `no abbreviation ${code}`, { code });
  }

  /** Decodes one declaration and gives its code, 0 for the end of the table. `base`: where the cursor's bytes start in the section. */
  private decodeNext(cursor: Cursor, base: number): number {
    const code = cursor.uleb();
    if (code === 0) {
      this.isComplete = true;
      return 0;
    }
    const abbrev = this.pooled(cursor);
    this.next = base + cursor.offset;
    this.keep(code, abbrev);
    return code;
  }

  private pooled(cursor: Cursor): Abbrev {
    const start = cursor.offset;
    const hash = skipDeclaration(cursor);
    const end = cursor.offset;
    const known = this.pool.get(hash);
    if (known !== undefined && isAt(known.bytes, cursor.bytes, start, end)) return known.abbrev;
    cursor.seek(start);
    const abbrev = decodeAbbrev(cursor, this.encoding);
    if (this.pool.size >= MAX_POOL) this.pool.clear();
    // Of two with one hash the later is kept: the earlier is decoded again wherever else it stands.
    this.pool.set(hash, { bytes: cursor.bytes.slice(start, end), abbrev });
    return abbrev;
  }

  /** The first definition of a code counts, as in readelf and libdw. */
  private keep(code: number, abbrev: Abbrev): void {
    if (code >= MAX_LISTED) {
      if (!this.others.has(code)) this.others.set(code, abbrev);
      return;
    }
    this.listed[code] ??= abbrev;
  }
}

/** Moves past a declaration and gives a hash of its bytes (FNV-1a). A kernel has half a million, so this is one loop. */
function skipDeclaration(cursor: Cursor): number {
  const start = cursor.offset;
  cursor.skipLeb();
  cursor.skip(1);
  for (let name = -1, form = -1; name !== 0 || form !== 0; ) {
    name = cursor.uleb();
    form = cursor.uleb();
    if (form === FORM.implicit_const) cursor.skipLeb();
  }
  const { bytes, offset } = cursor;
  let hash = FNV_OFFSET;
  for (let at = start; at < offset; at += 1) hash = Math.imul(hash ^ bytes[at]!, FNV_PRIME);
  return hash;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

function isAt(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  for (let at = 0; at < known.length; at += 1) if (known[at] !== bytes[start + at]) return false;
  return true;
}

function decodeAbbrev(cursor: Cursor, encoding: Encoding): Abbrev {
  const tag = cursor.uleb();
  const hasChildren = cursor.u8() !== 0;
  const attributes = decodeAttributes(cursor, encoding);
  let fixedSize = 0;
  let siblingAt = -1;
  for (const { name, form, size } of attributes) {
    if (name === AT.sibling && form === FORM.ref4) siblingAt = fixedSize;
    fixedSize = size < 0 || fixedSize < 0 ? -1 : fixedSize + size;
  }
  const hasCode = attributes.some(({ name }) => name === AT.low_pc || name === AT.ranges);
  return { tag, hasChildren, attributes, fixedSize, siblingAt, hasCode };
}

function decodeAttributes(cursor: Cursor, encoding: Encoding): AttributeSpec[] {
  const attributes: AttributeSpec[] = [];
  while (true) {
    const name = cursor.uleb();
    const form = cursor.uleb();
    const implicitConst = form === FORM.implicit_const ? cursor.sleb() : 0;
    if (name === 0 && form === 0) return attributes;
    if (attributes.length >= MAX_ATTRIBUTES) throw malformed('.debug_abbrev', `more than ${MAX_ATTRIBUTES} attributes in one`);
    attributes.push({ name, form, size: fixedFormSize(form, encoding), implicitConst });
  }
}
