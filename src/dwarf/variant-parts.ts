// Variant parts of a record (DWARF 5 section 5.7.10): Rust's enums, whose discriminant may be a niche in one of the variants.

import { Cursor } from '../bytes/cursor.ts';
import type { LayoutMember, VariantPart } from '../model/layout.ts';
import { childrenOf } from './children.ts';
import { AT, TAG } from './constants.ts';
import { type Reference, readBigConstant, readBlock, readReference } from './forms.ts';
import { attributesOf, type Die } from './info.ts';
import { visitAttributes } from './unit.ts';

/** Variants of one part; Rust's largest generated enums have some thousand. */
const MAX_VARIANTS = 16_384;
const MAX_VALUES = 1024;

type ReadMember = (die: Die) => LayoutMember | null;

/** The variant parts right below a record. */
export function readVariantParts(record: Die, readMember: ReadMember): VariantPart[] {
  const parts: VariantPart[] = [];
  for (const child of childrenOf(record)) {
    if (child.entry.abbrev.tag === TAG.variant_part && parts.length < 16) parts.push(readPart(child, readMember));
  }
  return parts;
}

function readPart(die: Die, readMember: ReadMember): VariantPart {
  const reference = discriminantOf(die);
  const at = reference?.kind === 'unit' ? die.unit.header.offset + reference.offset : null;
  let discriminant: LayoutMember | null = null;
  const variants: VariantPart['variants'][number][] = [];
  for (const child of childrenOf(die)) {
    if (child.entry.offset === at) discriminant = readMember(child);
    if (child.entry.abbrev.tag === TAG.variant && variants.length < MAX_VARIANTS) variants.push(readVariant(child, readMember));
  }
  return { discriminant, variants };
}

function discriminantOf({ unit, entry }: Die): Reference | null {
  const cursor = attributesOf({ unit, entry });
  let found: Reference | null = null;
  visitAttributes(cursor, entry.abbrev, unit.encoding, ({ name, form }) => {
    if (name === AT.discr) found = readReference(cursor, form, unit.encoding);
  });
  return found;
}

function readVariant(die: Die, readMember: ReadMember): VariantPart['variants'][number] {
  const { unit, entry } = die;
  const cursor = attributesOf(die);
  let values: { low: bigint; high: bigint }[] | null = null;
  visitAttributes(cursor, entry.abbrev, unit.encoding, (spec) => {
    if (spec.name === AT.discr_value) {
      const value = readBigConstant(cursor, spec, unit.encoding, false);
      if (value !== null) values = [{ low: value, high: value }];
    } else if (spec.name === AT.discr_list) {
      const list = readBlock(cursor, spec.form, unit.encoding);
      if (list !== null) values = readList(list);
    }
  });
  const members: LayoutMember[] = [];
  for (const child of childrenOf(die)) {
    const member = child.entry.abbrev.tag === TAG.member ? readMember(child) : null;
    if (member !== null) members.push(member);
  }
  return { values, members };
}

/** DW_DSC_label and DW_DSC_range (7.23); unsigned, as all discriminants seen are. */
function readList(list: Uint8Array): { low: bigint; high: bigint }[] {
  const cursor = new Cursor(list);
  const values: { low: bigint; high: bigint }[] = [];
  while (!cursor.atEnd && values.length < MAX_VALUES) {
    const isRange = cursor.u8() === 1;
    const low = cursor.ulebBig();
    values.push({ low, high: isRange ? cursor.ulebBig() : low });
  }
  return values;
}
