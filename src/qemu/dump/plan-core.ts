// What is found out of a guest before it is dumped, and before it is stopped: how its memory is read, what of it is there, what was never used.

import { type HostRegion, locateRegions } from '../../memory/host-regions.ts';
import { openPhysicalMemory, type PhysicalMemory } from '../../memory/open-physical.ts';
import type { LiveReaderName } from '../../memory/physical.ts';
import type { RamRegion } from '../../memory/ram-layout.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
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
  readonly memory: PhysicalMemory;
  readonly layout: CoreLayout;
  readonly touched: TouchedPages | null;
  readonly diagnostics: readonly Diagnostic[];
  close(): void;
}

/** Finds out how to read a guest; nothing is stopped. Throws MEMORY_UNREADABLE, QMP_*. */
export async function planCore(source: CoreSource, readers?: readonly LiveReaderName[]): Promise<CorePlan> {
  const { monitor, pid } = source;
  const ask = (line: string): Promise<string> => monitor.hmp(line);
  const memory = await openPhysicalMemory({ ask, pid, uid: pid === null ? null : findUid(pid) }, readers);
  try {
    const diagnostics: Diagnostic[] = [];
    const readable = await findReadable(memory, diagnostics);
    const touched = await findTouched(pid, ask, memory, diagnostics);
    const close = (): void => {
      touched?.close();
      memory.reader.close();
    };
    return { source, memory, layout: layOutCore(readable, FRAME_BYTES), touched, diagnostics, close };
  } catch (error) {
    memory.reader.close();
    throw error;
  }
}

/** Memory that is there to be read: a region that cannot be becomes no segment. */
async function findReadable({ reader, layout }: PhysicalMemory, diagnostics: Diagnostic[]): Promise<readonly RamRegion[]> {
  const readable: RamRegion[] = [];
  for (const region of layout) {
    const probe = new Uint8Array(1);
    const isThere = (await reader.read(region.start, probe)) && (await reader.read(region.end - 1n, probe));
    if (isThere) readable.push(region);
    else {
      const where = `0x${region.start.toString(16)}-0x${region.end.toString(16)}`;
      diagnostics.push({ code: 'dump-region-unreadable', message: `${region.name} at ${where} cannot be read, and is left out` });
    }
  }
  return readable;
}

async function findTouched(
  pid: number | null,
  ask: (line: string) => Promise<string>,
  { layout }: PhysicalMemory,
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
