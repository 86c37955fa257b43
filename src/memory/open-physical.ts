// Chooses how guest-physical memory is read (DESIGN §2): the fastest way that is permitted and whose bytes are proved to
// be the guest's, with the reason why each faster one was not taken.

import type { PhysicalAddress } from '../model/address.ts';
import { UnidbgError } from '../model/error.ts';
import { locateRegions } from './host-regions.ts';
import type { AskMonitor } from './monitor-ask.ts';
import { createPmemsaveReader, createXpReader } from './monitor-readers.ts';
import type { LiveReaderName, PhysicalReader, ReaderAttempt } from './physical.ts';
import { openProcessMemory } from './process-memory.ts';
import { openMappedRam, openNamedRam, PRIVATE_RAM } from './ram-file.ts';
import { parseRamLayout, type RamRegion } from './ram-layout.ts';

/** The QEMU to read from. `pid` null: its process is unknown or on another machine. `uid` is its user. */
export interface MemoryAccess {
  readonly ask: AskMonitor;
  readonly pid: number | null;
  readonly uid: number | null;
}

/** An open reader, the RAM it covers, and why no faster reader was taken. */
export interface PhysicalMemory {
  readonly reader: PhysicalReader;
  readonly layout: readonly RamRegion[];
  readonly refused: readonly { readonly name: LiveReaderName; readonly reason: string }[];
}

const ORDER: readonly LiveReaderName[] = ['ram-file', 'process-memory', 'xp', 'pmemsave'];

/**
 * Opens the best reader of `only` (all unless told). Throws MEMORY_UNREADABLE, with every reason, when none works.
 * Takes about 10 ms; nothing of it stops the guest.
 */
export async function openPhysicalMemory(access: MemoryAccess, only: readonly LiveReaderName[] = ORDER): Promise<PhysicalMemory> {
  const layout = parseRamLayout(await access.ask('info mtree -f'));
  if (layout.length === 0)
    throw new UnidbgError('MEMORY_UNREADABLE', 'QEMU shows no RAM in `info mtree -f`: guest memory cannot be read');
  const refused: { name: LiveReaderName; reason: string }[] = [];
  for (const name of ORDER.filter((candidate) => only.includes(candidate))) {
    const attempt = await openReader(name, access, layout);
    const reason = 'refused' in attempt ? attempt.refused : await findDoubt(attempt.reader, access.ask, layout);
    if ('reader' in attempt && reason === null) return { reader: attempt.reader, layout, refused };
    if ('reader' in attempt) attempt.reader.close();
    refused.push({ name, reason: reason ?? 'not usable' });
  }
  const reasons = refused.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  throw new UnidbgError('MEMORY_UNREADABLE', `guest memory cannot be read: ${reasons}`);
}

async function openReader(name: LiveReaderName, access: MemoryAccess, layout: readonly RamRegion[]): Promise<ReaderAttempt> {
  const { ask, pid } = access;
  switch (name) {
    case 'ram-file':
      return openRamFile(access, layout);
    case 'process-memory':
      if (pid === null) return { refused: 'the QEMU process is not known here' };
      return openProcessMemory(pid, access.uid, await locateRegions(ask, layout));
    case 'xp':
      return { reader: createXpReader(ask, layout) };
    case 'pmemsave':
      return { reader: createPmemsaveReader(ask, layout, access.uid) };
  }
}

async function openRamFile({ ask, pid }: MemoryAccess, layout: readonly RamRegion[]): Promise<ReaderAttempt> {
  const mapped: ReaderAttempt =
    pid === null ? { refused: 'the QEMU process is not known here' } : openMappedRam(pid, await locateRegions(ask, layout));
  if ('reader' in mapped || mapped.refused === PRIVATE_RAM) return mapped;
  const named = await openNamedRam(ask, layout);
  return 'reader' in named ? named : { refused: `${mapped.refused}; ${named.refused}` };
}

const SAMPLE_BYTES = 64;

/**
 * Compares the reader with what QEMU itself prints (`xp`) at a few places of each region; null when they agree. A running
 * guest may write between the two reads, so a difference counts only when it is there three times in a row.
 */
async function findDoubt(reader: PhysicalReader, ask: AskMonitor, layout: readonly RamRegion[]): Promise<string | null> {
  const reference = createXpReader(ask, layout);
  let compared = 0;
  for (const address of samplePlaces(layout)) {
    const mine = new Uint8Array(SAMPLE_BYTES);
    if (!(await reader.read(address, mine))) continue;
    compared += 1;
    if (!(await agrees(reader, reference, address, mine))) {
      return `the bytes at physical 0x${address.toString(16)} are not those that QEMU shows`;
    }
  }
  return compared === 0 ? 'none of the sampled RAM could be read' : null;
}

async function agrees(
  reader: PhysicalReader,
  reference: PhysicalReader,
  address: PhysicalAddress,
  mine: Uint8Array,
): Promise<boolean> {
  const theirs = new Uint8Array(SAMPLE_BYTES);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    if (attempt > 0 && !(await reader.read(address, mine))) return false;
    if (!(await reference.read(address, theirs))) return true;
    if (Buffer.compare(mine, theirs) === 0) return true;
  }
  return false;
}

/** The start and end of the largest regions, and 1 MiB, where kernels are loaded: places that are rarely all zero. */
function samplePlaces(layout: readonly RamRegion[]): PhysicalAddress[] {
  const largest = [...layout].sort((a, b) => (b.end - b.start > a.end - a.start ? 1 : -1)).slice(0, 3);
  const places = largest.flatMap((region) => [region.start, region.end - BigInt(SAMPLE_BYTES)]);
  return [...new Set([0x100000n, ...places])];
}
