// Which variant of a Rust enum an object holds (DWARF 5 section 5.7.10): the discriminant, or the niche it hides in, decides.

import type { Contents } from '../dwarf/contents.ts';
import { wordOf } from '../dwarf/location.ts';
import type { Layout, LayoutMember } from '../model/layout.ts';

/** The variant that is there: its name, and the member that holds its fields. */
export interface Variant {
  readonly name: string;
  readonly member: LayoutMember | null;
}

/** Null when the layout has no variants; a text says why the discriminant cannot be read. */
export function findVariant(layout: Extract<Layout, { kind: 'struct' | 'union' }>, contents: Contents): Variant | string | null {
  const [part] = layout.variantParts ?? [];
  if (part === undefined) return null;
  const tag = part.discriminant;
  const size = tag?.layout().size ?? 0;
  const bytes = tag === null ? null : size >= 1 && size <= 16 ? contents.read(tag.offset, size) : 'unknown type';
  if (typeof bytes === 'string') return bytes;
  const value = bytes === null ? null : wordOf(bytes);
  const holds = (low: bigint, high: bigint): boolean =>
    value !== null && BigInt.asUintN(size * 8, low) <= value && value <= BigInt.asUintN(size * 8, high);
  const found =
    part.variants.find(({ values }) => values?.some(({ low, high }) => holds(low, high)) === true) ??
    part.variants.find(({ values }) => values === null);
  const [member] = found?.members ?? [];
  return member === undefined ? null : { name: member.name, member };
}
