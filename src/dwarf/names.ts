// Names of an image's global variables and types, as an index from name to entry (what .debug_names would hold, which
// gcc does not write). One pass over the children of each unit's root, skipping by DW_AT_sibling, the first time a name
// is asked for; namespaces are entered, functions are not. Names in namespaces are written `outer::inner::name`.

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import type { Abbrev } from './abbrev.ts';
import { AT, FORM, TAG } from './constants.ts';
import { readFlag, readReference, readString } from './forms.ts';
import { skipTo } from './functions.ts';
import { type Complain, type DebugInfo, type Die, type EntryKey } from './info.ts';
import { qualifiedName } from './qualified-names.ts';
import { dwarfErrors, malformed } from './section.ts';
import { skipAttributes, type Unit, visitAttributes } from './unit.ts';

/** What a name may mean. C keeps tags (struct, union, enum) apart from typedefs: `typedef struct heap *heap` is both. */
export type NameKind = 'variable' | 'tag' | 'type';

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

/** Entries one index may hold; a 560 MB kernel has some million variables and distinct types. */
const MAX_ENTRIES = 4_000_000;
const MAX_NAMESPACE_DEPTH = 64;
/** The index of one file. Entries without a definition (declarations) are not in it. */
export class NameIndex {
  private readonly info: DebugInfo;
  /** First entry of each name, by kind; further entries of a variable's name follow in `next`. */
  private readonly heads: Readonly<Record<NameKind, Map<string, number>>> = {
    variable: new Map(),
    tag: new Map(),
    type: new Map(),
  };
  private readonly dies: EntryKey[] = [];
  private readonly next: number[] = [];

  private constructor(info: DebugInfo) {
    this.info = info;
  }

  /** Reads the names of all units; a unit that cannot be read to its end is told to `complain` and keeps what was read. */
  static read(info: DebugInfo, complain: Complain): NameIndex {
    const index = new NameIndex(info);
    for (const units of [info.allUnits(), info.typeUnits()]) {
      for (const unit of units) {
        try {
          dwarfErrors(unit.describe(), () => {
            new UnitNames(unit, index).read();
          });
        } catch (error) {
          if (!(error instanceof UnidbgError)) throw error;
          complain(error);
        }
      }
    }
    return index;
  }

  /** All definitions of `name`, in file order; of a type the first only. */
  *find(kind: NameKind, name: string): Generator<Die> {
    for (let at = this.heads[kind].get(name) ?? -1; at >= 0; at = this.next[at]!) {
      const die = this.info.findKey(this.dies[at]!);
      if (die !== null) yield die;
    }
  }

  /** Definitions of the type that `declared` only declares, by its full name. */
  findDefinitions(declared: Die, name: string): Generator<Die> {
    return this.find('tag', qualifiedName(this.info, declared) ?? name);
  }

  /** The full name of a member that is declared in a class: classes are not entered, and few such names are asked for. */
  nameOfMember(unit: Unit, offset: number): string | null {
    const die = this.info.findEntryIn(unit, offset);
    return die === null ? null : qualifiedName(this.info, die);
  }

  add(kind: NameKind, name: string, unit: Unit, offset: number): void {
    const heads = this.heads[kind];
    const head = heads.get(name);
    if (head !== undefined && kind !== 'variable') return;
    if (this.dies.length >= MAX_ENTRIES) throw malformed('.debug_info', `more than ${MAX_ENTRIES} names`);
    const at = this.dies.length;
    this.dies.push(this.info.keyOf(unit, offset));
    this.next.push(-1);
    if (head === undefined) heads.set(name, at);
    else this.append(head, at);
  }

  /** Keeps file order by putting the new entry behind the head's last one, at most a few away (statics of one name). */
  private append(head: number, at: number): void {
    this.next[at] = this.next[head]!;
    this.next[head] = at;
  }
}

/** One pass over one unit. */
class UnitNames {
  private readonly unit: Unit;
  private readonly index: NameIndex;
  private readonly cursor: Cursor;
  /** Full names of variable declarations by offset: a definition elsewhere refers to them (DW_AT_specification). */
  private readonly declared = new Map<number, string>();

  constructor(unit: Unit, index: NameIndex) {
    this.unit = unit;
    this.index = index;
    this.cursor = unit.cursor();
  }

  read(): void {
    const { unit, cursor } = this;
    const base = unit.header.offset;
    cursor.seek(unit.header.root - base);
    const prefixes: string[] = [];
    do {
      if (cursor.remaining === 0) return;
      const die = base + cursor.offset;
      const code = cursor.uleb();
      if (code === 0) {
        prefixes.pop();
        continue;
      }
      const abbrev = unit.abbrevs.get(code);
      this.visit(abbrev, die, prefixes);
    } while (prefixes.length > 0);
  }

  private visit(abbrev: Abbrev, die: number, prefixes: string[]): void {
    const { cursor, unit } = this;
    const prefix = prefixes.at(-1) ?? '';
    if (prefixes.length === 0) {
      skipAttributes(cursor, abbrev, unit.encoding);
      if (abbrev.hasChildren) prefixes.push('');
      return;
    }
    const kind = KINDS[abbrev.tag];
    const isSpace = abbrev.tag === TAG.namespace || abbrev.tag === TAG.module;
    const seen = this.readEntry(abbrev, kind !== undefined || isSpace);
    const name = seen.name === null ? null : prefix + seen.name;
    if (kind !== undefined) this.addEntry(kind, die, name, seen);
    if (!abbrev.hasChildren) return;
    if (isSpace && prefixes.length < MAX_NAMESPACE_DEPTH) prefixes.push(name === null ? prefix : `${name}::`);
    else this.skipChildren(seen.sibling, die);
  }

  private addEntry(kind: NameKind, die: number, name: string | null, seen: SeenEntry): void {
    if (kind === 'variable') {
      const full = name ?? this.declaredName(seen.specification);
      if (full === null) return;
      if (seen.declaration) this.declared.set(die, full);
      else this.index.add(kind, full, this.unit, die);
    } else if (name !== null && !seen.declaration) {
      this.index.add(kind, name, this.unit, die);
    }
  }

  /** What a definition elsewhere completes: a variable of a namespace, or a static member of a class. */
  private declaredName(offset: number): string | null {
    if (offset === 0) return null;
    return this.declared.get(offset) ?? this.index.nameOfMember(this.unit, offset);
  }

  private readEntry(abbrev: Abbrev, wanted: boolean): SeenEntry {
    const { cursor, unit } = this;
    const seen: SeenEntry = { name: null, declaration: false, specification: 0, sibling: 0 };
    if (!wanted && !abbrev.hasChildren) {
      skipAttributes(cursor, abbrev, unit.encoding);
      return seen;
    }
    visitAttributes(cursor, abbrev, unit.encoding, ({ name, form }) => {
      if (name === AT.name && wanted) seen.name = readString(cursor, form, unit);
      else if (name === AT.declaration) seen.declaration = readFlag(cursor, form, unit.encoding);
      else if (name === AT.sibling && form !== FORM.ref_addr) seen.sibling = this.readOffset(form);
      else if (name === AT.specification) seen.specification = this.readOffset(form);
    });
    return seen;
  }

  private readOffset(form: number): number {
    const reference = readReference(this.cursor, form, this.unit.encoding);
    return reference?.kind === 'unit' ? this.unit.header.offset + reference.offset : 0;
  }

  /** Moves past an entry's children: to its sibling, or (clang writes none) through all of them. */
  private skipChildren(sibling: number, die: number): void {
    const { cursor, unit } = this;
    if (sibling > 0) {
      skipTo(unit, cursor, sibling, die);
      return;
    }
    for (let depth = 1; depth > 0 && cursor.remaining > 0; ) {
      const code = cursor.uleb();
      if (code === 0) {
        depth -= 1;
        continue;
      }
      const abbrev = unit.abbrevs.get(code);
      skipAttributes(cursor, abbrev, unit.encoding);
      if (abbrev.hasChildren) depth += 1;
    }
  }
}

interface SeenEntry {
  name: string | null;
  declaration: boolean;
  /** Offset of the entry this one completes, 0 without one. */
  specification: number;
  /** Offset of the next entry on the same level, 0 when the producer gives none. */
  sibling: number;
}
