// Names of an image's global variables and types: from name to entry. Where a debugger's index is in the file (.debug_names,
// .gdb_index) it says which units define a name, and only these are read; the units it does not speak of are all read the first
// time a name is asked for.

import { UnidbgError } from '../model/error.ts';
import { LruCache } from './cache.ts';
import { DebugNames } from './debug-names.ts';
import type { Complain, DebugInfo, Die, EntryKey } from './info.ts';
import { NameIndex } from './name-index.ts';
import { finish, type Progress } from './progress.ts';
import { qualifiedName } from './qualified-names.ts';
import { isIndexable, type NameKind, type UnitsByName } from './units-by-name.ts';

/** Names of single units kept, in bytes. */
const UNIT_BYTES = 16 * 1024 * 1024;
/** What nearly all units fit in; larger ones get memory of their own. */
const BUFFER = 1024 * 1024;
/** Bytes of units between two reports of progress. */
const STEP = 4 * 1024 * 1024;

/** The names of one file. */
export class Names {
  private readonly info: DebugInfo;
  private readonly complain: Complain;
  private readonly oneUnit = new LruCache<number, NameIndex>(UNIT_BYTES, ({ cost }) => cost);
  private accelerator: UnitsByName | null | undefined;
  /** The names of the units that the accelerator does not speak of, and of all units. */
  private others: NameIndex | null = null;
  private all: NameIndex | null = null;

  constructor(info: DebugInfo, complain: Complain) {
    this.info = info;
    this.complain = complain;
  }

  /** All definitions of `name`, in file order; of a type the first only. */
  *find(kind: NameKind, name: string): Generator<Die> {
    for (const key of this.keysOf(kind, name)) {
      const die = this.info.findKey(key);
      if (die !== null) yield die;
    }
  }

  /** Definitions of the type that `declared` only declares, by its full name. */
  findDefinitions(declared: Die, name: string): Generator<Die> {
    return this.find('tag', qualifiedName(this.info, declared) ?? name);
  }

  /** Reads what the first look-up of a name would otherwise wait for, and says how far it is. */
  *prepare(): Generator<Progress> {
    if (this.all === null) this.others ??= yield* this.read(this.listed?.units ?? NONE);
  }

  private keysOf(kind: NameKind, name: string): Iterable<EntryKey> {
    const units = this.all === null && isIndexable(name) ? this.unitsOf(kind, name) : null;
    if (units === null) return this.everything().find(kind, name);
    this.others ??= finish(this.read(this.listed?.units ?? NONE));
    const others = this.others.find(kind, name);
    if (others.length === 0) return this.keysIn(units, kind, name);
    const keys = [...this.keysIn(units, kind, name), ...others].sort((a, b) => a - b);
    return kind === 'variable' ? keys : keys.slice(0, 1);
  }

  /** Reads unit after unit, for as long as somebody wants more. */
  private *keysIn(units: readonly number[], kind: NameKind, name: string): Generator<EntryKey> {
    for (const offset of units) {
      const index = this.oneUnit.get(offset, () => {
        const one = new NameIndex(this.info, this.complain);
        const unit = this.info.findFullUnit(offset);
        if (unit !== null) one.take(unit, NO_ROOM);
        return one;
      });
      const keys = index.find(kind, name);
      yield* keys;
      if (keys.length > 0 && kind !== 'variable') return;
    }
  }

  /** Units of the accelerator's that may define `name`, in file order; null without an accelerator. */
  private unitsOf(kind: NameKind, name: string): number[] | null {
    const { listed } = this;
    if (listed === null) return null;
    const units = this.attempt(() => [...new Set(listed.find(kind, name))].sort((a, b) => a - b));
    // One that is damaged is never asked again.
    if (units === null) [this.accelerator, this.others] = [null, null];
    return units;
  }

  private everything(): NameIndex {
    this.all ??= this.listed === null && this.others !== null ? this.others : finish(this.read(NONE));
    return this.all;
  }

  private get listed(): UnitsByName | null {
    if (this.accelerator !== undefined) return this.accelerator;
    const { info } = this;
    this.accelerator = this.attempt(() => {
      const index = this.attempt(() => DebugNames.open(info.sections, info.offsets)) ?? info.gdbIndex;
      // What it speaks of is read here, so that damage there is its end too.
      return index === null || index.units.size === 0 ? null : index;
    });
    return this.accelerator;
  }

  /** Reads the names of all units but `skipped`. */
  private *read(skipped: ReadonlySet<number>): Generator<Progress, NameIndex> {
    const { info } = this;
    const index = new NameIndex(info, this.complain);
    const total = info.sections.find('debug_info')?.size ?? 0;
    // One for all units: memory for each would cost more than reading them.
    const buffer = new Uint8Array(BUFFER);
    let said = 0;
    for (const offset of info.offsets) {
      if (skipped.has(offset)) continue;
      if (offset - said >= STEP) {
        said = offset;
        yield { done: offset, total };
      }
      const unit = info.findFullUnit(offset);
      if (unit !== null) index.take(unit, buffer);
    }
    for (const unit of info.typeUnits()) index.take(unit, buffer);
    return index;
  }

  private attempt<T>(body: () => T): T | null {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      this.complain(error);
      return null;
    }
  }
}

const NO_ROOM = new Uint8Array(0);
const NONE: ReadonlySet<number> = new Set();
