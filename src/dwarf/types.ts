// Types of DWARF (section 5) as layouts: what a probe needs to read a variable out of guest memory. Built when asked for;
// typedefs and qualifiers are seen through; declarations are completed from other units.

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import type { Layout, LayoutMember } from '../model/layout.ts';
import { AT, ATE, TAG } from './constants.ts';
import { type Reference, readBigConstant, readConstant, readString } from './forms.ts';
import { attributesOf, type Complain, type DebugInfo, type Die } from './info.ts';
import { NameIndex } from './names.ts';
import { dwarfErrors } from './section.ts';
import { addressIn, bitField, finite, readType, type TypeAttributes } from './type-attributes.ts';
import { type Unit, visitAttributes } from './unit.ts';

/** Typedefs and qualifiers one on another; more is a loop. */
const MAX_HOPS = 64;
/** Members or enumerators of one type; the largest seen is an enum of some ten thousand. */
const MAX_CHILDREN = 65_536;

/** Variables and types of one image. Look-ups give null for what is missing or damaged; damage is told to `complain`. */
export class DwarfTypes {
  private readonly info: DebugInfo;
  private readonly complain: Complain;
  private index: NameIndex | null = null;

  constructor(info: DebugInfo, complain: Complain) {
    this.info = info;
    this.complain = complain;
  }

  /** A variable with a fixed place: its link address and layout. `unit` narrows statics of one name by their source file's path suffix. */
  findVariable(name: string, unit?: string): { readonly address: bigint; readonly layout: Layout } | null {
    return this.attempt(() => {
      for (const die of this.names.find('variable', name)) {
        if (unit !== undefined && !`/${die.unit.root.name ?? ''}`.endsWith(`/${unit}`)) continue;
        const found = this.readVariable(die);
        if (found !== null) return found;
      }
      return null;
    });
  }

  /** A type by its source name. A struct, union or enum comes before a typedef of that name; with the keyword before it no typedef is meant. */
  findType(name: string): Layout | null {
    const tag = /^(?:struct|union|enum|class) (.+)$/.exec(name)?.[1];
    return this.attempt(() => {
      for (const die of this.names.find('tag', tag ?? name)) return this.layoutOf(die);
      if (tag !== undefined) return null;
      for (const die of this.names.find('type', name)) return this.layoutOf(die);
      return null;
    });
  }

  private get names(): NameIndex {
    this.index ??= NameIndex.read(this.info, this.complain);
    return this.index;
  }

  private readVariable(die: Die): { readonly address: bigint; readonly layout: Layout } | null {
    const own = readType(die);
    const address = own.location === null ? null : addressIn(own.location, die.unit);
    if (address === null) return null;
    const declared = own.specification === null ? null : this.info.follow(die.unit, own.specification);
    const type =
      own.type === null && declared !== null
        ? { unit: declared.unit, reference: readType(declared).type }
        : { unit: die.unit, reference: own.type };
    return { address, layout: this.layoutAt(type.unit, type.reference) };
  }

  /** The layout a DW_AT_type refers to; none means `void`. */
  private layoutAt(unit: Unit, reference: Reference | null): Layout {
    const die = reference === null ? null : this.info.follow(unit, reference);
    return die === null ? { kind: 'other', name: 'void', size: 0 } : this.layoutOf(die);
  }

  private layoutOf(start: Die): Layout {
    let typedefName: string | null = null;
    let die = start;
    for (let hops = 0; hops < MAX_HOPS; hops += 1) {
      const type = readType(die);
      if (!SEEN_THROUGH.has(die.entry.abbrev.tag)) return this.concrete(die, type, typedefName);
      if (die.entry.abbrev.tag === TAG.typedef) typedefName ??= type.name;
      const next = type.type === null ? null : this.info.follow(die.unit, type.type);
      if (next === null) return { kind: 'other', name: typedefName ?? 'void', size: 0 };
      die = next;
    }
    return { kind: 'other', name: typedefName ?? '', size: 0 };
  }

  private concrete(die: Die, type: TypeAttributes, typedefName: string | null): Layout {
    const name = type.name ?? typedefName ?? '';
    const size = type.byteSize ?? 0;
    switch (die.entry.abbrev.tag) {
      case TAG.base_type:
        return baseLayout(name, size, type.encoding ?? 0);
      case TAG.pointer_type:
      case TAG.reference_type:
      case TAG.rvalue_reference_type:
        return this.pointer(die, type);
      case TAG.array_type:
        return this.array(die, type);
      case TAG.structure_type:
      case TAG.class_type:
      case TAG.interface_type:
      case TAG.union_type:
        return this.record(die, type, name, size);
      case TAG.enumeration_type:
        return this.enumeration(die, name, size);
      default:
        return { kind: 'other', name, size };
    }
  }

  private pointer({ unit }: Die, { type, byteSize }: TypeAttributes): Layout {
    const target = type === null ? null : this.info.follow(unit, type);
    const targetName = target === null ? 'void' : (this.attempt(() => this.layoutNameOf(target)) ?? '');
    return {
      kind: 'pointer',
      name: `${targetName} *`,
      size: byteSize ?? unit.encoding.addressSize,
      target: () => (type === null ? null : this.attempt(() => this.layoutAt(unit, type))),
    };
  }

  /** The name a pointer's target is written with: found without building its layout, which may be pointers without end. */
  private layoutNameOf(start: Die): string {
    let die: Die | null = start;
    for (let hops = 0; die !== null && hops < MAX_HOPS; hops += 1) {
      const type = readType(die);
      const { tag } = die.entry.abbrev;
      if (type.name !== null) return type.name;
      if (tag === TAG.subroutine_type) return '()';
      if (!SEEN_THROUGH.has(tag) && tag !== TAG.pointer_type) return '';
      if (type.type === null) return 'void';
      die = this.info.follow(die.unit, type.type);
    }
    return '';
  }

  private array(die: Die, { type, byteSize }: TypeAttributes): Layout {
    const counts: (number | null)[] = [];
    for (const child of childrenOf(die)) {
      if (child.entry.abbrev.tag === TAG.subrange_type && counts.length < 16) counts.push(readCount(child));
    }
    const element = this.layoutAt(die.unit, type);
    const dimensions = counts.length === 0 ? [null] : counts;
    const layout = dimensions.reduceRight<Layout>((inner, count) => arrayOf(inner, count), element);
    return byteSize === null || layout.kind !== 'array' ? layout : { ...layout, size: byteSize };
  }

  private record(die: Die, type: TypeAttributes, name: string, size: number): Layout {
    const kind = die.entry.abbrev.tag === TAG.union_type ? 'union' : 'struct';
    if (type.declaration) {
      const definition = this.definitionOf(type, kind);
      return definition ?? { kind: 'other', name, size };
    }
    return { kind, name, size, members: this.membersOf(die) };
  }

  /** A `struct x;` completed by the first definition of that name and kind in any unit. */
  private definitionOf({ name, signature }: TypeAttributes, kind: 'struct' | 'union'): Layout | null {
    const bySignature = signature === null ? null : this.info.followSignature(signature);
    const candidates = bySignature !== null ? [bySignature] : name === null ? [] : this.names.find('tag', name);
    for (const die of candidates) {
      const { tag } = die.entry.abbrev;
      const type = readType(die);
      const size = type.byteSize ?? 0;
      if (type.declaration) continue;
      if (kind === 'union' ? tag === TAG.union_type : RECORDS.has(tag))
        return { kind, name: type.name ?? '', size, members: this.membersOf(die) };
    }
    return null;
  }

  private membersOf(die: Die): LayoutMember[] {
    const members: LayoutMember[] = [];
    for (const child of childrenOf(die)) {
      const { tag } = child.entry.abbrev;
      if (tag !== TAG.member && tag !== TAG.inheritance) continue;
      const member = this.member(child);
      if (member !== null) members.push(member);
    }
    return members;
  }

  private member(die: Die): LayoutMember | null {
    const type = readType(die);
    // A C++ static member has no place in the object.
    if (type.declaration) return null;
    const reference = type.type;
    const layout = (): Layout => this.attempt(() => this.layoutAt(die.unit, reference)) ?? { kind: 'other', name: '', size: 0 };
    const name = type.name ?? (die.entry.abbrev.tag === TAG.inheritance ? layout().name : '');
    const bits = bitField(type, () => layout().size);
    return {
      name,
      layout,
      offset: bits?.storage ?? type.memberLocation ?? 0,
      bits: bits === null ? null : { offset: bits.offset, size: bits.size },
    };
  }

  private enumeration(die: Die, name: string, size: number): Layout {
    const enumerators: { name: string; value: bigint }[] = [];
    for (const child of childrenOf(die)) {
      if (child.entry.abbrev.tag !== TAG.enumerator) continue;
      const { name: enumerator, value } = readEnumerator(child);
      if (enumerator !== null && value !== null) enumerators.push({ name: enumerator, value });
    }
    return { kind: 'enum', name, size, enumerators };
  }

  private attempt<T>(body: () => T): T | null {
    try {
      return dwarfErrors('.debug_info', body);
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      this.complain(error);
      return null;
    }
  }
}

const SEEN_THROUGH: ReadonlySet<number> = new Set([
  TAG.typedef,
  TAG.const_type,
  TAG.volatile_type,
  TAG.restrict_type,
  TAG.atomic_type,
  TAG.immutable_type,
]);
const RECORDS: ReadonlySet<number> = new Set([TAG.structure_type, TAG.class_type, TAG.interface_type]);

function baseLayout(name: string, size: number, encoding: number): Layout {
  switch (encoding) {
    case ATE.float:
      return { kind: 'float', name, size };
    case ATE.signed:
    case ATE.signed_char:
      return { kind: 'integer', name, size, signed: true };
    case ATE.boolean:
    case ATE.unsigned:
    case ATE.unsigned_char:
    case ATE.address:
    case ATE.UTF:
    case ATE.UCS:
    case ATE.ASCII:
      return { kind: 'integer', name, size, signed: false };
    default:
      return { kind: 'other', name, size };
  }
}

function arrayOf(element: Layout, count: number | null): Layout {
  return {
    kind: 'array',
    name: `${element.name} [${count ?? ''}]`,
    size: (count ?? 0) * element.size,
    element: () => element,
    count,
  };
}

/** Elements of a DW_TAG_subrange_type; null for a flexible array or a bound that is computed. */
function readCount({ unit, entry }: Die): number | null {
  const { encoding } = unit;
  const cursor = attributesOf({ unit, entry });
  const bounds = { lower: 0, upper: null as number | null, count: null as number | null };
  visitAttributes(cursor, entry.abbrev, encoding, (spec) => {
    const { name, form } = spec;
    if (name === AT.count) bounds.count = finite(readConstant(cursor, form, spec.implicitConst, encoding));
    else if (name === AT.lower_bound) bounds.lower = finite(readConstant(cursor, form, spec.implicitConst, encoding)) ?? 0;
    else if (name === AT.upper_bound) bounds.upper = readUpperBound(cursor, spec, unit);
  });
  if (bounds.count !== null) return bounds.count;
  return bounds.upper === null ? null : Math.max(0, bounds.upper - bounds.lower + 1);
}

/** Folklore: gcc writes the upper bound of `int a[0]` as −1 in data4 or data8; any other bound is below 2^31. */
function readUpperBound(cursor: Cursor, spec: { form: number; implicitConst: number }, unit: Unit): number | null {
  const value = readBigConstant(cursor, spec, unit.encoding, false);
  if (value === null) return null;
  return value === 0xffff_ffffn || value === 0xffff_ffff_ffff_ffffn ? -1 : finite(Number(value));
}

/** Producers write negative values as sdata, so that data1 to data8 are unsigned: 200 is data1 even where -3 is another value. */
function readEnumerator({ unit, entry }: Die): { name: string | null; value: bigint | null } {
  const cursor = attributesOf({ unit, entry });
  const out = { name: null as string | null, value: null as bigint | null };
  visitAttributes(cursor, entry.abbrev, unit.encoding, (spec) => {
    if (spec.name === AT.name) out.name = readString(cursor, spec.form, unit);
    else if (spec.name === AT.const_value) out.value = readBigConstant(cursor, spec, unit.encoding, false);
  });
  return out;
}

/** The entries right below `die`. */
function* childrenOf({ unit, entry }: Die): Generator<Die> {
  if (!entry.abbrev.hasChildren) return;
  const cursor = attributesOf({ unit, entry });
  visitAttributes(cursor, entry.abbrev, unit.encoding, () => undefined);
  for (let depth = 1, count = 0; depth > 0 && count < MAX_CHILDREN && cursor.remaining > 0; ) {
    const child = unit.entryAt(unit.header.offset + cursor.offset, cursor);
    if (child === null) {
      depth -= 1;
      continue;
    }
    if (depth === 1) {
      yield { unit, entry: child };
      count += 1;
    }
    visitAttributes(cursor, child.abbrev, unit.encoding, () => undefined);
    if (child.abbrev.hasChildren) depth += 1;
  }
}
