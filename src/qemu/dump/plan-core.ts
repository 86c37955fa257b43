// What is found out of a guest before it is dumped, and before it is stopped: how its memory is read, what of it is there, what was never used.

import { type HostRegion, locateRegions } from '../../memory/host-regions.ts';
import { type MemoryAccess, openPhysicalMemory } from '../../memory/open-physical.ts';
import type { PhysicalReader } from '../../memory/physical.ts';
import type { RamRegion } from '../../memory/ram-layout.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { errorCode } from '../../model/error.ts';
import type { Machine } from '../../model/machine.ts';
import type { Monitor } from '../monitor.ts';
import { findUid } from '../process.ts';
import { type CoreLayout, layOutCore } from './core-file.ts';
import { FRAME_BYTES } from './frame-writer.ts';
import { openTouchedPages, type TouchedPages } from './touched-pages.ts';

/** The guest. `pid` null: QEMU is not on this machine. */
export interface CoreSource {
  readonly monitor: Monitor;
  readonly pid: number | null;
  readonly machine: Machine;
}

/** A guest that can be dumped. `close` lets go of its memory. */
export interface CorePlan {
  readonly source: CoreSource;
  readonly layout: CoreLayout;
  /** How memory is read, for people. */
  readonly reader: string;
  /** Fills `into` from a guest-physical address; false when a byte of it is not readable. At once where the reader can. Rejects when QEMU is gone. */
  readonly read: (address: number, into: Uint8Array) => boolean | Promise<boolean>;
  readonly touched: TouchedPages | null;
  readonly diagnostics: readonly Diagnostic[];
  close(): void;
}

/** Finds out how to read a guest; nothing is stopped. Throws MEMORY_UNREADABLE, QMP_*. */
export async function planCore(source: CoreSource): Promise<CorePlan> {
  const { monitor, pid } = source;
  const access: MemoryAccess = { ask: (line) => monitor.hmp(line), pid, uid: pid === null ? null : findUid(pid) };
  const memory = await openPhysicalMemory(access);
  const readers = [memory.reader];
  try {
    const diagnostics: Diagnostic[] = [];
    const { readable, rest } = await sortRegions(memory.reader, memory.layout);
    const other = rest.length === 0 ? null : await openRest(access);
    if (other !== null) readers.push(other);
    const mended = other === null ? { readable: [], rest } : await sortRegions(other, rest);
    for (const { name, start, end } of mended.rest) {
      const where = `0x${start.toString(16)}-0x${end.toString(16)}`;
      diagnostics.push({ code: 'dump-region-unreadable', message: `${name} at ${where} cannot be read, and is left out` });
    }
    const runs = [...readable, ...mended.readable].sort((one, another) => (one.start < another.start ? -1 : 1));
    const touched = await findTouched(access, memory.layout, diagnostics);
    return {
      ...{ source, touched, diagnostics },
      layout: layOutCore(runs, FRAME_BYTES),
      reader: memory.reader.how,
      read: readBy(memory.reader, other, mended.readable),
      close: () => {
        touched?.close();
        for (const reader of readers) reader.close();
      },
    };
  } catch (error) {
    for (const reader of readers) reader.close();
    throw error;
  }
}

/** What can be read, and what cannot: a shared file has the guest's RAM, but not its firmware. */
async function sortRegions(
  reader: PhysicalReader,
  regions: readonly RamRegion[],
): Promise<{ readonly readable: readonly RamRegion[]; readonly rest: readonly RamRegion[] }> {
  const readable: RamRegion[] = [];
  const rest: RamRegion[] = [];
  const probe = new Uint8Array(1);
  for (const region of regions) {
    const isThere = (await reader.read(region.start, probe)) && (await reader.read(region.end - 1n, probe));
    (isThere ? readable : rest).push(region);
  }
  return { readable, rest };
}

/** Another way to memory that the best one does not reach; null when there is none. */
async function openRest(access: MemoryAccess): Promise<PhysicalReader | null> {
  try {
    return (await openPhysicalMemory(access, ['process-memory', 'xp'])).reader;
  } catch (error) {
    if (errorCode(error) !== 'MEMORY_UNREADABLE') throw error;
    return null;
  }
}

function readBy(best: PhysicalReader, other: PhysicalReader | null, others: readonly RamRegion[]): CorePlan['read'] {
  const ranges = others.map(({ start, end }) => ({ start: Number(start), end: Number(end) }));
  return (address, into) => {
    const isOthers = ranges.some(({ start, end }) => start <= address && address < end);
    const reader = isOthers && other !== null ? other : best;
    return reader.readSync === null ? reader.read(BigInt(address), into) : reader.readSync(BigInt(address), into);
  };
}

async function findTouched(
  { pid, ask }: MemoryAccess,
  layout: readonly RamRegion[],
  diagnostics: Diagnostic[],
): Promise<TouchedPages | null> {
  const regions: readonly HostRegion[] = pid === null ? [] : await locateRegions(ask, layout);
  const outcome =
    pid === null || regions.length === 0
      ? { unknown: 'QEMU is not a process that we may look at' }
      : openTouchedPages(pid, regions);
  if (!('unknown' in outcome)) return outcome;
  diagnostics.push({
    code: 'dump-reads-all',
    message: `all pages are read, also those that were never used: ${outcome.unknown}`,
  });
  return null;
}
