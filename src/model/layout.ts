// Types as a debugger sees them: names, sizes, member offsets. DWARF supplies them; probes read memory through them.

import type { Memory } from './target.ts';

/** A C-like type. Sizes and offsets in bytes. */
export type Layout =
  | {
      readonly kind: 'integer';
      readonly name: string;
      readonly size: number;
      readonly signed: boolean;
      /** Left out: a plain number. */
      readonly is?: 'boolean' | 'character';
    }
  | { readonly kind: 'float'; readonly name: string; readonly size: number }
  /** Two floats of half the size: real and imaginary part. */
  | { readonly kind: 'complex'; readonly name: string; readonly size: number }
  | {
      readonly kind: 'pointer';
      readonly name: string;
      readonly size: number;
      readonly target: () => Layout | null;
      /** C++ references; left out: a pointer. */
      readonly is?: 'reference' | 'rvalue-reference';
    }
  | {
      readonly kind: 'array';
      readonly name: string;
      readonly size: number;
      readonly element: () => Layout;
      readonly count: number | null;
      /** Bytes from one element to the next where that is not the element's size. */
      readonly stride?: number;
    }
  | {
      readonly kind: 'struct' | 'union';
      readonly name: string;
      readonly size: number;
      readonly members: readonly LayoutMember[];
      /** Parts that hold one variant or another, as a discriminant says: Rust's enums, Pascal's records. */
      readonly variantParts?: readonly VariantPart[];
    }
  | {
      readonly kind: 'enum';
      readonly name: string;
      readonly size: number;
      readonly enumerators: readonly { readonly name: string; readonly value: bigint }[];
      /** Its enumerators are written `name::enumerator` (C++ enum class). */
      readonly scoped?: true;
      readonly signed?: true;
    }
  /** A C++ pointer to a member: an offset, or (`ofFunction`) an address and an adjustment. */
  | { readonly kind: 'member-pointer'; readonly name: string; readonly size: number; readonly ofFunction: boolean }
  | { readonly kind: 'function'; readonly name: string; readonly size: number }
  | { readonly kind: 'other'; readonly name: string; readonly size: number };

/** A member. `bits` is set for a bit-field: offset from the least significant bit of the containing storage at `offset`, read in the file's byte order. */
export interface LayoutMember {
  readonly name: string;
  readonly offset: number;
  readonly layout: () => Layout;
  readonly bits: { readonly offset: number; readonly size: number } | null;
  /** A base class. Where a virtual one lies only the object knows: `offset` is 0 and `locate` tells. */
  readonly base?: 'direct' | 'virtual';
  /** The member's address from the object's, for what is computed at run time. Null when memory does not say. */
  readonly locate?: (object: bigint, memory: Memory) => bigint | null;
  /** Made by the compiler: a table pointer. */
  readonly artificial?: true;
}

/** Which variant an object holds: the one whose values the discriminant has, else the one without values. */
export interface VariantPart {
  readonly discriminant: LayoutMember | null;
  readonly variants: readonly {
    /** Inclusive, as unsigned numbers of the discriminant's size; null: any other value. */
    readonly values: readonly { readonly low: bigint; readonly high: bigint }[] | null;
    readonly members: readonly LayoutMember[];
  }[];
}

/** Where a probe looks up names. All answers are null when the image has no such thing: presence is tested, never a version. */
export interface TypeSource {
  /**
   * A global or static variable with its run-time address and type; `function::variable` and `Class::member` name statics inside
   * those. `unit` narrows equal names by a path suffix.
   */
  findVariable(name: string, unit?: string): { readonly address: bigint; readonly layout: Layout } | null;
  /** A struct, union, enum, typedef or base type by its name as written in the source (`struct` keyword left out). */
  findType(name: string): Layout | null;
}
