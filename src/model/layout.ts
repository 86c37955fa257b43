// Types as a debugger sees them: names, sizes, member offsets. DWARF supplies them; probes read memory through them.

/** A C-like type. Sizes and offsets in bytes. */
export type Layout =
  | { readonly kind: 'integer'; readonly name: string; readonly size: number; readonly signed: boolean }
  | { readonly kind: 'float'; readonly name: string; readonly size: number }
  | { readonly kind: 'pointer'; readonly name: string; readonly size: number; readonly target: () => Layout | null }
  | {
      readonly kind: 'array';
      readonly name: string;
      readonly size: number;
      readonly element: () => Layout;
      readonly count: number | null;
    }
  | { readonly kind: 'struct' | 'union'; readonly name: string; readonly size: number; readonly members: readonly LayoutMember[] }
  | {
      readonly kind: 'enum';
      readonly name: string;
      readonly size: number;
      readonly enumerators: readonly { readonly name: string; readonly value: bigint }[];
    }
  | { readonly kind: 'other'; readonly name: string; readonly size: number };

/** A member. `bits` is set for a bit-field: offset from the least significant bit of the containing little-endian storage at `offset`. */
export interface LayoutMember {
  readonly name: string;
  readonly offset: number;
  readonly layout: () => Layout;
  readonly bits: { readonly offset: number; readonly size: number } | null;
}

/** Where a probe looks up names. All answers are null when the image has no such thing: presence is tested, never a version. */
export interface TypeSource {
  /** A global or static variable with its run-time address and type. `unit` narrows equal names by a path suffix. */
  findVariable(name: string, unit?: string): { readonly address: bigint; readonly layout: Layout } | null;
  /** A struct, union, enum, typedef or base type by its name as written in the source (`struct` keyword left out). */
  findType(name: string): Layout | null;
}
