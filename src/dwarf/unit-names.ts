// The names of one unit: one pass over the children of its root, skipping what is below them by DW_AT_sibling. Namespaces are
// entered, functions and types are not. A kernel has ten million such entries, nearly all of them types that some unit before had
// too, so an abbreviation is looked at once, for all entries that have it, and no name becomes a string.

import type { Cursor } from '../bytes/cursor.ts';
import type { Abbrev } from './abbrev.ts';
import { AT, FORM, TAG } from './constants.ts';
import { findStringOffset, readFlag, readReference, readString } from './forms.ts';
import { skipTo } from './functions.ts';
import { type NameNumber, type NameTable, NO_NAME } from './name-table.ts';
import { isPlain } from './qualified-names.ts';
import { readSibling, skipAttributes, type Unit, visitAttributes } from './unit.ts';
import type { NameKind } from './units-by-name.ts';

const KINDS: Readonly<Record<number, NameKind>> = {
  [TAG.variable]: 'variable',
  [TAG.base_type]: 'type',
  [TAG.structure_type]: 'tag',
  [TAG.class_type]: 'tag',
  [TAG.union_type]: 'tag',
  [TAG.enumeration_type]: 'tag',
  [TAG.typedef]: 'type',
  [TAG.interface_type]: 'tag',
};

/** What the names of entries with that tag mean; null when they are not in an index. */
export function kindOfTag(tag: number): NameKind | null {
  return KINDS[tag] ?? null;
}

const MAX_NAMESPACE_DEPTH = 64;

/** Takes what a pass finds. */
export interface NameSink {
  readonly table: NameTable;
  /** A definition of `name` is at offset `offset` of the section that the unit is in. */
  readonly add: (kind: NameKind, name: NameNumber, offset: number) => void;
  /** The full name of a member that is declared in a class at `offset`: classes are not entered, and few such names are asked for. */
  readonly nameOfMember: (offset: number) => string | null;
}

/** What is done with all entries of one abbreviation. */
interface Plan {
  readonly abbrev: Abbrev;
  readonly kind: NameKind | null;
  readonly isSpace: boolean;
  /** A definition whose name is its first attribute, or a declaration that matters to nobody. */
  readonly isSimple: boolean;
  readonly isDeclaration: boolean;
}

/** Tells `sink` the names that `unit` defines; `buffer` is room for its bytes. Throws DWARF_*, BYTES_OUT_OF_RANGE; what came before the damage was told. */
export function readUnitNames(unit: Unit, sink: NameSink, buffer: Uint8Array): void {
  new UnitNames(unit, sink, buffer).read();
}

class UnitNames {
  private readonly unit: Unit;
  private readonly sink: NameSink;
  private readonly cursor: Cursor;
  /** .debug_str is the one that the table's offsets are of. */
  private readonly sharesStrings: boolean;
  private readonly isPlain: boolean;
  private readonly plans: (Plan | undefined)[] = [];
  /** Names of the declared variables by offset: a definition elsewhere refers to them (DW_AT_specification). */
  private readonly declared = new Map<number, NameNumber>();

  constructor(unit: Unit, sink: NameSink, buffer: Uint8Array) {
    const { section, offset, end } = unit.header;
    this.unit = unit;
    this.sink = sink;
    this.cursor = section.passingCursor(offset, end - offset, buffer);
    this.sharesStrings = sink.table.isOf(unit.sections.find('debug_str'));
    this.isPlain = isPlain(unit);
  }

  read(): void {
    const { unit, cursor } = this;
    const { length } = cursor;
    const base = unit.header.offset;
    cursor.seek(unit.header.root - base);
    if (cursor.atEnd) return;
    const code = cursor.uleb();
    if (code === 0) return;
    const root = unit.abbrevs.get(code);
    skipAttributes(cursor, root, unit.encoding);
    const prefixes: NameNumber[] = root.hasChildren ? [NO_NAME] : [];
    while (prefixes.length > 0 && cursor.offset < length) {
      const die = base + cursor.offset;
      const code = cursor.uleb();
      if (code === 0) prefixes.pop();
      else this.visit(this.plans[code] ?? this.plan(code), die, prefixes);
    }
  }

  private plan(code: number): Plan {
    const abbrev = this.unit.abbrevs.get(code);
    const { attributes, tag } = abbrev;
    const kind = kindOfTag(tag);
    const isSpace = tag === TAG.namespace || tag === TAG.module;
    const declaration = attributes.find(({ name }) => name === AT.declaration);
    const isDeclaration = declaration?.form === FORM.flag_present;
    const isNamed = attributes[0]?.name === AT.name && attributes[0].form !== FORM.indirect;
    // What a declared variable is called is asked of its entry, where its language has no namespaces.
    const isIdle = isDeclaration && (kind !== 'variable' || this.isPlain);
    const isSimple = kind !== null && (isIdle || (isNamed && declaration === undefined));
    const plan = { abbrev, kind, isSpace, isSimple, isDeclaration };
    if (code < MAX_PLANS) this.plans[code] = plan;
    return plan;
  }

  private visit(plan: Plan, die: number, prefixes: NameNumber[]): void {
    const { cursor, unit } = this;
    const { abbrev, kind } = plan;
    const start = cursor.offset;
    if (plan.isSimple) {
      if (!plan.isDeclaration) {
        const name = this.readName(abbrev.attributes[0]!.form, prefixes[prefixes.length - 1]!);
        if (name !== NO_NAME) this.sink.add(kind!, name, die);
        cursor.seek(start);
      }
    } else if (kind !== null || plan.isSpace) {
      const seen = this.readEntry(abbrev, prefixes[prefixes.length - 1]!);
      if (kind !== null) this.addEntry(kind, die, seen);
      if (plan.isSpace && abbrev.hasChildren && prefixes.length < MAX_NAMESPACE_DEPTH) {
        prefixes.push(seen.name === NO_NAME ? prefixes[prefixes.length - 1]! : seen.name);
        return;
      }
      cursor.seek(start);
    }
    if (abbrev.hasChildren) this.skipChildren(abbrev, die);
    else skipAttributes(cursor, abbrev, unit.encoding);
  }

  private addEntry(kind: NameKind, die: number, { name, declaration, specification }: SeenEntry): void {
    if (kind !== 'variable') {
      if (name !== NO_NAME && !declaration) this.sink.add(kind, name, die);
      return;
    }
    const full = name === NO_NAME ? this.declaredName(specification) : name;
    if (full === NO_NAME) return;
    if (declaration) this.declared.set(die, full);
    else this.sink.add(kind, full, die);
  }

  /** What a definition elsewhere completes: a variable of a namespace, or a static member of a class. */
  private declaredName(offset: number): NameNumber {
    if (offset === 0) return NO_NAME;
    const known = this.declared.get(offset);
    if (known !== undefined) return known;
    if (this.isPlain) return this.nameAt(offset);
    const member = this.sink.nameOfMember(offset);
    return member === null ? NO_NAME : this.sink.table.ofText(NO_NAME, member);
  }

  /** The name of another entry of the unit, in a language where nothing is part of it but DW_AT_name. */
  private nameAt(offset: number): NameNumber {
    const { cursor, unit } = this;
    const { offset: start, end } = unit.header;
    if (offset < unit.header.root || offset >= end) return NO_NAME;
    const here = cursor.offset;
    cursor.seek(offset - start);
    const code = cursor.uleb();
    const { name } = code === 0 ? NOTHING : this.readEntry(unit.abbrevs.get(code), NO_NAME);
    cursor.seek(here);
    return name;
  }

  private readEntry(abbrev: Abbrev, prefix: NameNumber): SeenEntry {
    const { cursor, unit } = this;
    const seen: SeenEntry = { name: NO_NAME, declaration: false, specification: 0 };
    visitAttributes(cursor, abbrev, unit.encoding, ({ name, form }) => {
      if (name === AT.name) seen.name = this.readName(form, prefix);
      else if (name === AT.declaration) seen.declaration = readFlag(cursor, form, unit.encoding);
      else if (name === AT.specification) {
        const reference = readReference(cursor, form, unit.encoding);
        if (reference?.kind === 'unit') seen.specification = unit.header.offset + reference.offset;
      }
    });
    return seen;
  }

  private readName(form: number, prefix: NameNumber): NameNumber {
    const { cursor, unit } = this;
    const { table } = this.sink;
    if (form === FORM.string) {
      const start = cursor.offset;
      const end = cursor.bytes.indexOf(0, start);
      if (end >= 0) {
        cursor.seek(end + 1);
        return table.ofBytes(prefix, cursor.bytes, start, end);
      }
    }
    const offset = this.sharesStrings ? findStringOffset(cursor, form, unit) : null;
    if (offset !== null) return table.ofString(prefix, offset);
    const text = readString(cursor, form, unit);
    return text === null ? NO_NAME : table.ofText(prefix, text);
  }

  /** Moves from an entry's attributes past its children: to its sibling, or (clang writes none) through all of them. */
  private skipChildren(abbrev: Abbrev, die: number): void {
    const { cursor, unit } = this;
    const start = cursor.offset;
    const sibling = readSibling(cursor, abbrev, unit);
    if (sibling > 0) {
      skipTo(unit, cursor, sibling, die);
      return;
    }
    cursor.seek(start);
    skipAttributes(cursor, abbrev, unit.encoding);
    for (let depth = 1; depth > 0 && cursor.remaining > 0; ) {
      const code = cursor.uleb();
      if (code === 0) {
        depth -= 1;
        continue;
      }
      const below = unit.abbrevs.get(code);
      skipAttributes(cursor, below, unit.encoding);
      if (below.hasChildren) depth += 1;
    }
  }
}

/** Abbreviation codes above this are looked up each time: producers number from 1 without gaps. */
const MAX_PLANS = 1 << 16;

const NOTHING: SeenEntry = { name: NO_NAME, declaration: false, specification: 0 };

interface SeenEntry {
  name: NameNumber;
  declaration: boolean;
  /** Offset of the entry this one completes, 0 without one. */
  specification: number;
}
