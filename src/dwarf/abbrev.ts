// Abbreviation tables (.debug_abbrev; DWARF 5 section 7.5.3): what attributes an entry has and in which forms.
// Decoded as far as the code asked for, since most look-ups want the root's only.

import type { Cursor } from '../bytes/cursor.ts';
import { FORM } from './constants.ts';
import { type Encoding, fixedFormSize } from './forms.ts';
import { type DebugSection, malformed } from './section.ts';

/** One attribute of an abbreviation. `implicitConst` matters for DW_FORM_implicit_const only. */
export interface AttributeSpec {
  readonly name: number;
  readonly form: number;
  readonly implicitConst: number;
}

/** One abbreviation. `fixedSize` is what its attributes take when that never varies, else −1. */
export interface Abbrev {
  readonly code: number;
  readonly tag: number;
  readonly hasChildren: boolean;
  readonly attributes: readonly AttributeSpec[];
  readonly fixedSize: number;
}

/** No producer writes more attributes on one entry than about 30. */
const MAX_ATTRIBUTES = 1024;

/** The abbreviations of one or more units that share an encoding. */
export class AbbrevTable {
  private readonly section: DebugSection;
  private readonly encoding: Encoding;
  private readonly byCode = new Map<number, Abbrev>();
  /** Where the next abbreviation starts; null behind the last. */
  private next: number | null;

  constructor(section: DebugSection, offset: number, encoding: Encoding) {
    this.section = section;
    this.encoding = encoding;
    this.next = offset;
  }

  /** The abbreviation `code`. Throws DWARF_MALFORMED when the table has none, BYTES_OUT_OF_RANGE when it is cut off. */
  get(code: number): Abbrev {
    const known = this.byCode.get(code);
    if (known !== undefined) return known;
    while (this.next !== null) {
      const next = this.decodeNext(this.next);
      if (next?.code === code) return next;
    }
    throw malformed('.debug_abbrev', `no abbreviation ${code}`, { code });
  }

  private decodeNext(at: number): Abbrev | null {
    const { abbrev, end } = this.section.scan(at, (cursor) => ({
      abbrev: decodeAbbrev(cursor, this.encoding),
      end: at + cursor.offset,
    }));
    this.next = abbrev === null ? null : end;
    // The first definition of a code counts, as in readelf and libdw.
    if (abbrev !== null && !this.byCode.has(abbrev.code)) this.byCode.set(abbrev.code, abbrev);
    return abbrev;
  }
}

function decodeAbbrev(cursor: Cursor, encoding: Encoding): Abbrev | null {
  const code = cursor.uleb();
  if (code === 0) return null;
  const tag = cursor.uleb();
  const hasChildren = cursor.u8() !== 0;
  const attributes = decodeAttributes(cursor);
  return { code, tag, hasChildren, attributes, fixedSize: fixedSizeOf(attributes, encoding) };
}

function decodeAttributes(cursor: Cursor): AttributeSpec[] {
  const attributes: AttributeSpec[] = [];
  while (true) {
    const name = cursor.uleb();
    const form = cursor.uleb();
    const implicitConst = form === FORM.implicit_const ? cursor.sleb() : 0;
    if (name === 0 && form === 0) return attributes;
    if (attributes.length >= MAX_ATTRIBUTES) throw malformed('.debug_abbrev', `more than ${MAX_ATTRIBUTES} attributes in one`);
    attributes.push({ name, form, implicitConst });
  }
}

function fixedSizeOf(attributes: readonly AttributeSpec[], encoding: Encoding): number {
  let total = 0;
  for (const { form } of attributes) {
    const size = fixedFormSize(form, encoding);
    if (size < 0) return -1;
    total += size;
  }
  return total;
}
