// Typed reads: a value in guest memory with its layout from DWARF, walked by member names. Everything that can fail
// (no such symbol, no such member, unmapped memory) gives null, so whoever reads tests for presence at the end of a path.

import type { Layout, TypeSource } from '../model/layout.ts';
import type { Memory } from '../model/target.ts';

/** A place in guest memory and what lies there. */
export class TypedValue {
  readonly address: bigint;
  readonly layout: Layout;
  private readonly memory: Memory;
  private readonly bits: { readonly offset: number; readonly size: number } | null;

  constructor(memory: Memory, address: bigint, layout: Layout, bits: { offset: number; size: number } | null = null) {
    this.memory = memory;
    this.address = address;
    this.layout = layout;
    this.bits = bits;
  }

  /** A member of a struct or union, `a.b.c` for nested ones; members of anonymous structs and unions and of base classes are found too. */
  member(path: string): TypedValue | null {
    const [name, ...rest] = path.split('.');
    const found = this.findMember(this, name ?? '', 0);
    return rest.length === 0 ? found : (found?.member(rest.join('.')) ?? null);
  }

  /** Element `index` of an array. Not checked against its length: trailing arrays have none. */
  element(index: number): TypedValue | null {
    if (this.layout.kind !== 'array') return null;
    const element = inner(this.layout, this.layout.element);
    return element === null ? null : new TypedValue(this.memory, this.address + BigInt(index * element.size), element);
  }

  /** What a pointer points at; null for a null pointer, an unknown type, or no pointer. */
  dereference(): TypedValue | null {
    if (this.layout.kind !== 'pointer') return null;
    const target = inner(this.layout, this.layout.target);
    const address = this.integer();
    return target === null || address === null || address === 0n ? null : new TypedValue(this.memory, address, target);
  }

  /** Element `index` of an array, or of what a pointer points at as C indexes it. Not checked against any length. */
  at(index: number): TypedValue | null {
    if (this.layout.kind === 'array') return this.element(index);
    const first = this.dereference();
    return first === null ? null : new TypedValue(this.memory, first.address + BigInt(index * first.layout.size), first.layout);
  }

  /** The same place seen as another type: C's cast of a pointer, for what is declared as `void` or bytes. */
  as(layout: Layout): TypedValue {
    return new TypedValue(this.memory, this.address, layout);
  }

  /** The same type at another address. */
  moved(address: bigint): TypedValue {
    return new TypedValue(this.memory, address, this.layout);
  }

  /** The structure of type `layout` whose member `name` this is: C's container_of. Null when it has no such member. */
  container(layout: Layout, name: string): TypedValue | null {
    const inside = this.as(layout).member(name);
    return inside === null ? null : new TypedValue(this.memory, this.address - (inside.address - this.address), layout);
  }

  /** An integer, enum, pointer or bit-field, exact. */
  integer(): bigint | null {
    const { layout } = this;
    if (layout.kind !== 'integer' && layout.kind !== 'enum' && layout.kind !== 'pointer') return null;
    const bytes = layout.size > 8 ? null : this.memory.read(this.address, layout.size);
    if (bytes === null) return null;
    let value = 0n;
    for (let index = bytes.length - 1; index >= 0; index -= 1) value = (value << 8n) | BigInt(bytes[index]!);
    const size = this.bits?.size ?? layout.size * 8;
    value = BigInt.asUintN(size, value >> BigInt(this.bits?.offset ?? 0));
    return layout.kind === 'integer' && layout.signed ? BigInt.asIntN(size, value) : value;
  }

  /** Any number: integers as above, floats too unless infinite or not a number. Exact up to 2^53. */
  number(): number | null {
    if (this.layout.kind !== 'float') {
      const integer = this.integer();
      return integer === null ? null : Number(integer);
    }
    const bytes = this.memory.read(this.address, this.layout.size);
    if (bytes === null) return null;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const value = this.layout.size === 8 ? view.getFloat64(0, true) : this.layout.size === 4 ? view.getFloat32(0, true) : NaN;
    return Number.isFinite(value) ? value : null;
  }

  /** The name of an enum's value, or the number as text where it has none. */
  enumerator(): string | null {
    const value = this.integer();
    if (value === null || this.layout.kind !== 'enum') return null;
    return this.layout.enumerators.find((entry) => entry.value === value)?.name ?? String(value);
  }

  /** A `char[]` or `char *` up to its NUL, at most `most` bytes; bytes that are not printable ASCII become `?`. */
  text(most = 64): string | null {
    const address = this.layout.kind === 'pointer' ? this.integer() : this.address;
    if (address === null || address === 0n) return null;
    const size = this.layout.kind === 'array' && this.layout.size > 0 ? Math.min(most, this.layout.size) : most;
    // A string at the end of mapped memory is read up to the page's end.
    const bytes = this.memory.read(address, size) ?? this.memory.read(address, Math.min(size, 4096 - Number(address & 0xfffn)));
    if (bytes === null) return null;
    const end = bytes.indexOf(0);
    return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end))
      .toString('latin1')
      .replace(/[^\x20-\x7e]/g, '?');
  }

  private findMember(within: TypedValue, name: string, depth: number): TypedValue | null {
    const { layout } = within;
    if ((layout.kind !== 'struct' && layout.kind !== 'union') || depth > 4) return null;
    for (const member of layout.members) {
      if (member.name !== name && member.name !== '' && member.base !== 'direct') continue;
      const value = new TypedValue(
        this.memory,
        within.address + BigInt(member.offset),
        inner(member, member.layout) ?? NO_LAYOUT,
        member.bits,
      );
      if (member.name === name) return value;
      const nested = this.findMember(value, name, depth + 1);
      if (nested !== null) return nested;
    }
    return null;
  }
}

/** A global or static variable by name, or null when the image has none or no type for it. */
export function findGlobal(
  guest: { readonly types: TypeSource; readonly memory: Memory },
  name: string,
  unit?: string,
): TypedValue | null {
  const variable = findOnce(guest.types, name, unit);
  return variable === null ? null : new TypedValue(guest.memory, variable.address, variable.layout);
}

type Variable = ReturnType<TypeSource['findVariable']>;

/** Probes ask for the same names at each sample; what images hold does not change. */
const variables = new WeakMap<TypeSource, Map<string, Variable>>();

function findOnce(types: TypeSource, name: string, unit = ''): Variable {
  const known = variables.get(types) ?? new Map<string, Variable>();
  variables.set(types, known);
  const key = `${unit} ${name}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const variable = types.findVariable(name, unit === '' ? undefined : unit);
  known.set(key, variable);
  return variable;
}

const NO_LAYOUT: Layout = { kind: 'other', name: '', size: 0 };

/** Layouts inside layouts are built from DWARF each time they are asked for: what was asked of this one before. */
const built = new WeakMap<object, Layout | null>();

function inner(of: object, build: () => Layout | null): Layout | null {
  const known = built.get(of);
  if (known !== undefined) return known;
  const layout = build();
  built.set(of, layout);
  return layout;
}

/** Follows `link` from `first` until null, a repetition, or `most` steps: a hostile guest's list never holds us. All are of `first`'s type. */
export function* walkList(first: TypedValue | null, link: string, most: number): Generator<TypedValue> {
  const seen = new Set<bigint>();
  for (let at = first; first !== null && at !== null && !seen.has(at.address) && seen.size < most; ) {
    seen.add(at.address);
    yield at;
    const next: bigint = at.member(link)?.integer() ?? 0n;
    at = next === 0n ? null : first.moved(next);
  }
}

/** The nodes of a tree below and with `root`, each once, at most `most`. `links` gives a node's pointers to its children, null ones too. */
export function* walkTree(
  root: TypedValue | null,
  links: (node: TypedValue) => readonly (TypedValue | null)[],
  most: number,
): Generator<TypedValue> {
  const seen = new Set<bigint>();
  const left = [root?.address ?? 0n];
  while (root !== null && left.length > 0 && seen.size < most) {
    const address = left.pop() ?? 0n;
    if (address === 0n || seen.has(address)) continue;
    seen.add(address);
    const node = root.moved(address);
    left.push(...links(node).map((link) => link?.integer() ?? 0n));
    yield node;
  }
}
