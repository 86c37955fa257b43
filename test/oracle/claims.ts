// What an image's debug info itself says of an address, put together from its dumps: for each unit that has code there, a row of its
// line table and the calls around it. More than one claim means that units overlap, or entries do; each is then a right answer.

import type { Frame } from './answers.ts';
import { type DumpedEntries, type DumpedEntry, type DumpedName, type DumpedUnit, dumpEntries } from './dumped-entries.ts';
import { type DumpedRow, type DumpedRows, dumpedPath, dumpRows } from './dumped-rows.ts';
import { WantedAddresses } from './wanted.ts';

/** One activation as the debug info has it. */
export interface ClaimedFrame extends Omit<Frame, 'function'> {
  readonly names: DumpedName;
  /** Null where only the line table knows the code. */
  readonly entry: DumpedEntry | null;
}

/** One reading of an address, innermost activation first. */
export interface Claim {
  readonly unit: DumpedUnit;
  readonly row: DumpedRow | null;
  readonly frames: readonly ClaimedFrame[];
}

/** The claims of some addresses of an image. */
export class Claims {
  private readonly rows: DumpedRows;
  private readonly entries: DumpedEntries;
  private readonly positions: ReadonlyMap<bigint, number>;
  private readonly unitsByTable: ReadonlyMap<number, readonly DumpedUnit[]>;

  constructor(wanted: WantedAddresses, rows: DumpedRows, entries: DumpedEntries) {
    this.rows = rows;
    this.entries = entries;
    this.positions = new Map(wanted.addresses.map((address, position) => [address, position]));
    this.unitsByTable = Map.groupBy(
      entries.units.filter(({ lineTable }) => lineTable !== null),
      ({ lineTable }) => lineTable!,
    );
  }

  /** Dumps the debug info of `path`. `addresses` must rise. */
  static async read(path: string, addresses: readonly bigint[]): Promise<Claims> {
    const wanted = new WantedAddresses(addresses);
    return new Claims(wanted, await dumpRows(path, wanted), await dumpEntries(path, wanted));
  }

  /** All claims of an address that was asked for. */
  at(address: bigint): readonly Claim[] {
    const position = this.positions.get(address) ?? -1;
    const rows = this.rows.rows.get(position) ?? [];
    const covering = this.entries.covering.get(position) ?? [];
    const parents = new Set(covering.map(({ parent }) => parent));
    const leaves = covering.filter((entry) => !parents.has(entry));
    const units = new Set([
      ...leaves.map(({ unit }) => unit),
      ...rows.flatMap(({ table }) => this.unitsByTable.get(table) ?? []),
    ]);
    return [...units].flatMap((unit) => {
      const own = rows.filter(({ table }) => table === unit.lineTable);
      const chains = leaves.filter((leaf) => leaf.unit === unit);
      return orNull(own).flatMap((row) => orNull(chains).map((leaf) => ({ unit, row, frames: this.framesOf(unit, row, leaf) })));
    });
  }

  private framesOf(unit: DumpedUnit, row: DumpedRow | null, leaf: DumpedEntry | null): ClaimedFrame[] {
    const frames: ClaimedFrame[] = [];
    let place = row === null ? { file: null, line: null, column: null } : this.placeOf(unit, row);
    for (let entry = leaf; ; entry = entry.parent) {
      frames.push({ names: entry === null ? NAMELESS : this.entries.nameOf(entry.offset), entry, ...place });
      if (entry?.isInlined !== true) return frames;
      place = this.placeOf(unit, { file: entry.callFile ?? -1, line: entry.callLine ?? 0, column: entry.callColumn ?? 0 });
    }
  }

  private placeOf(unit: DumpedUnit, place: Pick<DumpedRow, 'file' | 'line' | 'column'>): Omit<Frame, 'function'> {
    const names = this.rows.tables.get(unit.lineTable ?? -1);
    const file = names === undefined ? null : dumpedPath(names, place.file, unit.directory);
    return { file, line: place.line || null, column: place.column || null };
  }
}

const NAMELESS: DumpedName = { plain: null, linkage: null };

function orNull<T>(items: readonly T[]): readonly (T | null)[] {
  return items.length === 0 ? [null] : items;
}
