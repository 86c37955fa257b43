// Types of DWARF (section 5) as layouts. Built when asked for; typedefs and qualifiers are seen through; declarations are
// completed from other units.

import { UnidbgError } from '../model/error.ts';
import type { Layout, LayoutMember } from '../model/layout.ts';
import type { Memory } from '../model/target.ts';
import { type BoundReader, readArrayBounds } from './array-bounds.ts';
import { childrenOf } from './children.ts';
import { AT, ATE, TAG } from './constants.ts';
import { evaluateExpression } from './expression.ts';
import { type Reference, readBigConstant, readString } from './forms.ts';
import { attributesOf, type Complain, type DebugInfo, type Die } from './info.ts';
import { wordOf } from './location.ts';
import type { Names } from './names.ts';
import { dwarfErrors, malformed } from './section.ts';
import { bitField, readType, type TypeAttributes } from './type-attributes.ts';
import { type Unit, visitAttributes } from './unit.ts';
import { readVariantParts } from './variant-parts.ts';

/** Typedefs and qualifiers one on another; more is a loop. */
const MAX_HOPS = 64;
/** Types that are built one inside another at once: elements of arrays, underlying types. More is a loop. */
const MAX_NESTING = 32;

/** Builds layouts of one image's types. `bounds` computes what the running function decides: sizes of its arrays. */
export class LayoutReader {
  private readonly info: DebugInfo;
  private readonly names: Names;
  private readonly complain: Complain;
  private readonly bounds: BoundReader | null;
  private nesting = 0;

  constructor(input: { info: DebugInfo; names: Names; complain: Complain; bounds: BoundReader | null }) {
    this.info = input.info;
    this.names = input.names;
    this.complain = input.complain;
    this.bounds = input.bounds;
  }

  /** The layout a DW_AT_type refers to; none means `void`. Throws DWARF_*. */
  layoutAt(unit: Unit, reference: Reference | null): Layout {
    const die = reference === null ? null : this.info.follow(unit, reference);
    return die === null ? { kind: 'other', name: 'void', size: 0 } : this.layoutOf(die);
  }

  /** The layout of a type's entry. Throws DWARF_*. */
  layoutOf(start: Die): Layout {
    if (this.nesting >= MAX_NESTING) throw malformed(start.unit.describe(), `types nested deeper than ${MAX_NESTING}`);
    this.nesting += 1;
    try {
      return this.build(start);
    } finally {
      this.nesting -= 1;
    }
  }

  private build(start: Die): Layout {
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
        return this.pointer(die, type);
      case TAG.reference_type:
        return { ...this.pointer(die, type), is: 'reference' };
      case TAG.rvalue_reference_type:
        return { ...this.pointer(die, type), is: 'rvalue-reference' };
      case TAG.ptr_to_member_type:
        return this.memberPointer(die, type, name);
      case TAG.array_type:
        return this.array(die, type);
      case TAG.structure_type:
      case TAG.class_type:
      case TAG.interface_type:
      case TAG.union_type:
        return this.record(die, type, name, size);
      case TAG.enumeration_type:
        return this.enumeration(die, type, name, size);
      case TAG.subroutine_type:
      case TAG.subprogram:
        return { kind: 'function', name: name === '' ? '()' : name, size: 0 };
      default:
        return { kind: 'other', name, size };
    }
  }

  private pointer({ unit }: Die, { type, byteSize }: TypeAttributes): Extract<Layout, { kind: 'pointer' }> {
    const target = type === null ? null : this.info.follow(unit, type);
    const targetName = target === null ? 'void' : (this.guard(() => this.targetName(target)) ?? '');
    return {
      kind: 'pointer',
      name: `${targetName} *`,
      size: byteSize ?? unit.encoding.addressSize,
      target: () => (type === null ? null : this.attempt(() => this.layoutAt(unit, type))),
    };
  }

  /** The name a pointer's target is written with: found without building its layout, which may be pointers without end. */
  private targetName(start: Die): string {
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

  private memberPointer(die: Die, { type, byteSize }: TypeAttributes, name: string): Layout {
    const target = type === null ? null : this.info.follow(die.unit, type);
    const ofFunction = target?.entry.abbrev.tag === TAG.subroutine_type;
    const { addressSize } = die.unit.encoding;
    return { kind: 'member-pointer', name, size: byteSize ?? (ofFunction ? 2 * addressSize : addressSize), ofFunction };
  }

  private array(die: Die, { type, byteSize }: TypeAttributes): Layout {
    const bounds = readArrayBounds(die, this.bounds);
    const element = this.layoutAt(die.unit, type);
    const dimensions = bounds.length === 0 ? [{ count: null, stride: null }] : bounds;
    const layout = dimensions.reduceRight<Layout>((inner, { count, stride }) => arrayOf(inner, count, stride), element);
    return byteSize === null || layout.kind !== 'array' ? layout : { ...layout, size: byteSize };
  }

  private record(die: Die, type: TypeAttributes, name: string, size: number): Layout {
    const kind = die.entry.abbrev.tag === TAG.union_type ? 'union' : 'struct';
    // What is in a type unit is only named here: GCC's stub says the signature, not that it is a declaration.
    if (!type.declaration && type.signature === null) return this.recordOf(die, kind, name, size);
    return this.definitionOf(die, type, kind) ?? { kind: 'other', name, size };
  }

  private recordOf(die: Die, kind: 'struct' | 'union', name: string, size: number): Layout {
    const record = { kind, name, size, members: this.membersOf(die) };
    const variantParts = readVariantParts(die, (member) => this.member(member));
    return variantParts.length === 0 ? record : { ...record, variantParts };
  }

  /** A `struct x;` completed by the first definition of that name and kind in any unit. */
  private definitionOf(declared: Die, { name, signature }: TypeAttributes, kind: 'struct' | 'union'): Layout | null {
    const bySignature = signature === null ? null : this.info.followSignature(signature);
    const candidates = bySignature !== null ? [bySignature] : name === null ? [] : this.names.findDefinitions(declared, name);
    for (const die of candidates) {
      const { tag } = die.entry.abbrev;
      const type = readType(die);
      if (type.declaration) continue;
      if (kind === 'union' ? tag === TAG.union_type : RECORDS.has(tag)) {
        return this.recordOf(die, kind, type.name ?? '', type.byteSize ?? 0);
      }
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
    const { unit } = die;
    const type = readType(die);
    const { littleEndian } = unit.header.section;
    // A C++ static member has no place in the object (DWARF 4 and before: external, but a member).
    if (type.declaration || type.external) return null;
    const reference = type.type;
    const layout = (): Layout => this.attempt(() => this.layoutAt(unit, reference)) ?? { kind: 'other', name: '', size: 0 };
    const isBase = die.entry.abbrev.tag === TAG.inheritance;
    const name = type.name ?? (isBase ? this.baseName(unit, reference) : '');
    const bits = bitField(type, () => layout().size, littleEndian);
    const expression = type.memberExpression;
    return {
      name,
      layout,
      offset: bits?.storage ?? type.memberLocation ?? 0,
      bits: bits === null ? null : { offset: bits.offset, size: bits.size },
      ...(isBase ? { base: type.virtual ? ('virtual' as const) : ('direct' as const) } : {}),
      ...(expression === null
        ? {}
        : { locate: (object: bigint, memory: Memory) => this.locate(expression, unit, object, memory) }),
      ...(type.artificial ? { artificial: true as const } : {}),
    };
  }

  private baseName(unit: Unit, reference: Reference | null): string {
    const base = reference === null ? null : this.info.follow(unit, reference);
    return base === null ? '' : this.targetName(base);
  }

  /** Where a member is that its object's table knows of: the expression starts with the object's address (5.7.3). */
  private locate(expression: Uint8Array, unit: Unit, object: bigint, memory: Memory): bigint | null {
    return this.attempt(() =>
      evaluateExpression(
        expression,
        {
          addressSize: unit.encoding.addressSize,
          register: () => null,
          readMemory: (address, size) => {
            const bytes = memory.read(address, size);
            return bytes === null ? null : wordOf(bytes);
          },
          loadBias: 0n,
          cfa: null,
        },
        [object],
      ),
    );
  }

  private enumeration(die: Die, type: TypeAttributes, name: string, size: number): Layout {
    const underlying = type.type === null ? null : this.info.follow(die.unit, type.type);
    const base = underlying === null ? null : this.layoutOf(underlying);
    const enumerators: { name: string; value: bigint }[] = [];
    for (const child of childrenOf(die)) {
      if (child.entry.abbrev.tag !== TAG.enumerator) continue;
      const { name: enumerator, value } = readEnumerator(child);
      if (enumerator !== null && value !== null) enumerators.push({ name: enumerator, value });
    }
    const signed = base?.kind === 'integer' ? base.signed : enumerators.some(({ value }) => value < 0n);
    return {
      kind: 'enum',
      name,
      size: size === 0 ? (base?.size ?? 0) : size,
      enumerators,
      ...(type.scoped ? { scoped: true as const } : {}),
      ...(signed ? { signed: true as const } : {}),
    };
  }

  /** Damage inside a layout that is being built spoils it as a whole: caught on each level, a loop would cost its breadth to the power of its depth. */
  private attempt<T>(body: () => T): T | null {
    return this.nesting > 0 ? body() : this.guard(body);
  }

  private guard<T>(body: () => T): T | null {
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
  const integer = { kind: 'integer', name, size } as const;
  switch (encoding) {
    case ATE.float:
      return { kind: 'float', name, size };
    case ATE.complex_float:
      return { kind: 'complex', name, size };
    case ATE.signed:
      return { ...integer, signed: true };
    case ATE.signed_char:
      return { ...integer, signed: true, is: 'character' };
    case ATE.boolean:
      return { ...integer, signed: false, is: 'boolean' };
    case ATE.unsigned:
    case ATE.address:
      return { ...integer, signed: false };
    case ATE.unsigned_char:
    case ATE.UTF:
    case ATE.UCS:
    case ATE.ASCII:
      return { ...integer, signed: false, is: 'character' };
    default:
      return { kind: 'other', name, size };
  }
}

function arrayOf(element: Layout, count: number | null, stride: number | null): Layout {
  return {
    kind: 'array',
    name: `${element.name} [${count ?? ''}]`,
    size: (count ?? 0) * (stride ?? element.size),
    element: () => element,
    count,
    ...(stride === null || stride === element.size ? {} : { stride }),
  };
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
