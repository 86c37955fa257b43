// The definitions of variables and types in some units, from name to entry, read from the entries themselves (unit-names.ts).
// Names in namespaces are written `outer::inner::name`.

import { UnidbgError } from '../model/error.ts';
import type { Complain, DebugInfo, EntryKey } from './info.ts';
import { NameTable } from './name-table.ts';
import { qualifiedName } from './qualified-names.ts';
import { dwarfErrors, malformed } from './section.ts';
import type { Unit } from './unit.ts';
import { readUnitNames } from './unit-names.ts';
import type { NameKind } from './units-by-name.ts';

/** Entries one index may hold; a 560 MB kernel has some million variables and distinct types. */
const MAX_ENTRIES = 4_000_000;

/** The definitions that some units of a file have, by name; declarations are not in it. */
export class NameIndex {
  private readonly info: DebugInfo;
  private readonly complain: Complain;
  private readonly table: NameTable;
  /** By number of the name: the first tag and the first other type, 0 for none. */
  private readonly tags: EntryKey[] = [];
  private readonly types: EntryKey[] = [];
  /** Of all variables, in file order: the name's number, the entry. */
  private readonly variableNames: number[] = [];
  private readonly variables: EntryKey[] = [];
  /** By number of the name: its first variable's position in `variables` plus 1; the next one of that name by position. */
  private variableLists: { readonly heads: Int32Array; readonly next: Int32Array } | null = null;

  constructor(info: DebugInfo, complain: Complain) {
    this.info = info;
    this.complain = complain;
    this.table = new NameTable(info.sections.find('debug_str'));
  }

  /**
   * Takes the names of a unit, which comes behind those taken before. Of one that cannot be read to its end it keeps what was
   * read. `buffer` is room for a unit's bytes.
   */
  take(unit: Unit, buffer: Uint8Array): void {
    const { info, table } = this;
    const sink = {
      table,
      add: (kind: NameKind, name: number, offset: number) => {
        this.add(kind, name, unit, offset);
      },
      nameOfMember: (offset: number) => {
        const die = info.findEntryIn(unit, offset);
        return die === null ? null : qualifiedName(info, die);
      },
    };
    try {
      dwarfErrors(unit.describe(), () => {
        readUnitNames(unit, sink, buffer);
      });
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      this.complain(error);
    }
  }

  /** Bytes it keeps, about. */
  get cost(): number {
    return this.table.cost + (this.tags.length + this.types.length + this.variables.length * 3) * 8;
  }

  /** Entries that define `name`, in file order; of a type the first only. */
  find(kind: NameKind, name: string): EntryKey[] {
    const numbers = this.table.find(name, this.complain);
    if (kind !== 'variable') {
      const first = kind === 'tag' ? this.tags : this.types;
      const keys = numbers.map((number) => first[number] ?? 0).filter((key) => key > 0);
      return keys.length > 1 ? [Math.min(...keys)] : keys;
    }
    const { heads, next } = (this.variableLists ??= this.listVariables());
    const positions: number[] = [];
    for (const number of numbers) for (let at = heads[number]!; at > 0; at = next[at]!) positions.push(at);
    return positions.sort((a, b) => a - b).map((at) => this.variables[at - 1]!);
  }

  private add(kind: NameKind, name: number, unit: Unit, offset: number): void {
    if (kind === 'variable') {
      if (this.variables.length >= MAX_ENTRIES) throw malformed('.debug_info', `more than ${MAX_ENTRIES} variables`);
      this.variableNames.push(name);
      this.variables.push(this.info.keyOf(unit, offset));
      this.variableLists = null;
      return;
    }
    const first = kind === 'tag' ? this.tags : this.types;
    for (let number = first.length; number <= name; number += 1) first.push(0);
    if (first[name] === 0) first[name] = this.info.keyOf(unit, offset);
  }

  private listVariables(): { readonly heads: Int32Array; readonly next: Int32Array } {
    const heads = new Int32Array(this.table.count + 1);
    const next = new Int32Array(this.variables.length + 1);
    for (let at = this.variables.length; at > 0; at -= 1) {
      const name = this.variableNames[at - 1]!;
      next[at] = heads[name]!;
      heads[name] = at;
    }
    return { heads, next };
  }
}
