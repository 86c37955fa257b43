// Dimensions of arrays (DWARF 5 sections 5.5 and 5.13): constant bounds, and those that the running function computes
// (variable-length arrays): an expression, or the entry of a variable that holds them.

import type { Cursor } from '../bytes/cursor.ts';
import { childrenOf } from './children.ts';
import { AT, FORM, TAG } from './constants.ts';
import { type Reference, readBigConstant, readBlock, readConstant, readReference } from './forms.ts';
import { attributesOf, type Die } from './info.ts';
import { finite } from './type-attributes.ts';
import { type Unit, visitAttributes } from './unit.ts';

/** What computes a bound where it is not constant. */
export interface BoundReader {
  readonly evaluate: (expression: Uint8Array, unit: Unit) => bigint | null;
  readonly integerOf: (reference: Reference, unit: Unit) => bigint | null;
}

/** One dimension. `count` is null for a flexible array and for bounds that nobody computed. */
export interface ArrayBound {
  readonly count: number | null;
  /** Bytes from one element to the next, where the array says so. */
  readonly stride: number | null;
  /** The running program decides how many. */
  readonly isVariable: boolean;
}

/** Fortran stops at 15. */
const MAX_DIMENSIONS = 16;
/** An array of more elements is nonsense. */
const MAX_COUNT = 2 ** 48;

/** The dimensions of a DW_TAG_array_type, outermost first. */
export function readArrayBounds(array: Die, reader: BoundReader | null = null): ArrayBound[] {
  const bounds: ArrayBound[] = [];
  for (const child of childrenOf(array)) {
    const { tag } = child.entry.abbrev;
    if (bounds.length >= MAX_DIMENSIONS) break;
    if (tag === TAG.subrange_type || tag === TAG.generic_subrange) bounds.push(readBound(child, reader));
    else if (tag === TAG.enumeration_type) bounds.push({ count: null, stride: null, isVariable: false });
  }
  return bounds;
}

interface Numbers {
  lower: number;
  upper: number | null;
  count: number | null;
  stride: number | null;
  isVariable: boolean;
}

function readBound({ unit, entry }: Die, reader: BoundReader | null): ArrayBound {
  const { encoding } = unit;
  const cursor = attributesOf({ unit, entry });
  const bounds: Numbers = { lower: 0, upper: null, count: null, stride: null, isVariable: false };
  visitAttributes(cursor, entry.abbrev, encoding, (spec) => {
    switch (spec.name) {
      case AT.count:
        bounds.count = readNumber(cursor, spec, unit, reader);
        bounds.isVariable ||= isComputed(spec.form);
        break;
      case AT.lower_bound:
        bounds.lower = finite(readConstant(cursor, spec.form, spec.implicitConst, encoding)) ?? 0;
        break;
      case AT.upper_bound:
        bounds.upper = readNumber(cursor, spec, unit, reader);
        bounds.isVariable ||= isComputed(spec.form);
        break;
      case AT.byte_stride:
        bounds.stride = finite(readConstant(cursor, spec.form, spec.implicitConst, encoding));
        break;
      case AT.bit_stride: {
        const bits = finite(readConstant(cursor, spec.form, spec.implicitConst, encoding));
        bounds.stride = bits !== null && bits % 8 === 0 ? bits / 8 : null;
        break;
      }
    }
  });
  const { lower, upper, count, stride, isVariable } = bounds;
  return { count: sane(count ?? (upper === null ? null : upper - lower + 1)), stride, isVariable };
}

function sane(count: number | null): number | null {
  if (count === null || count > MAX_COUNT) return null;
  return Math.max(0, count);
}

const REFERENCES: ReadonlySet<number> = new Set([FORM.ref1, FORM.ref2, FORM.ref4, FORM.ref8, FORM.ref_udata, FORM.ref_addr]);
const BLOCKS: ReadonlySet<number> = new Set([FORM.exprloc, FORM.block, FORM.block1, FORM.block2, FORM.block4]);

function isComputed(form: number): boolean {
  return REFERENCES.has(form) || BLOCKS.has(form);
}

/** Folklore: gcc writes the upper bound of `int a[0]` as −1 in data4 or data8; any other bound is below 2^31. */
function readNumber(
  cursor: Cursor,
  spec: { readonly form: number; readonly implicitConst: number },
  unit: Unit,
  reader: BoundReader | null,
): number | null {
  const { form } = spec;
  if (REFERENCES.has(form)) {
    const reference = readReference(cursor, form, unit.encoding);
    return reference === null ? null : signed(reader?.integerOf(reference, unit) ?? null);
  }
  if (BLOCKS.has(form)) {
    const expression = readBlock(cursor, form, unit.encoding);
    return expression === null ? null : signed(reader?.evaluate(expression, unit) ?? null);
  }
  const value = readBigConstant(cursor, spec, unit.encoding, false);
  if (value === null) return null;
  return value === 0xffff_ffffn || value === 0xffff_ffff_ffff_ffffn ? -1 : finite(Number(value));
}

/** A bound computed in a word: −1 is an empty array's. */
function signed(value: bigint | null): number | null {
  return value === null ? null : Number(BigInt.asIntN(64, value));
}
