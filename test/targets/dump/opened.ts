// Opens dumps that are in memory, and reads their physical memory, for tests.

import { memorySource } from '../../../src/bytes/byte-source.ts';
import type { DumpContents, DumpFormat, DumpOptions } from '../../../src/targets/dump/format.ts';
import { DUMP_FORMATS } from '../../../src/targets/dump/formats.ts';

const NO_OPTIONS: DumpOptions = { registersText: null, landmarks: [], physicalBase: 0n, format: null };

/** What the format makes of the bytes. */
export function openBytes(format: DumpFormat, bytes: Uint8Array, options: Partial<DumpOptions> = {}): DumpContents {
  return format.open(memorySource('the dump', bytes), { ...NO_OPTIONS, ...options });
}

/** The name of the format that is recognised, or null. */
export function recogniseBytes(bytes: Uint8Array): string | null {
  const source = memorySource('the dump', bytes);
  return DUMP_FORMATS.find((format) => format.recognise(bytes.subarray(0, 65_536), source))?.name ?? null;
}

/** `length` bytes of physical memory, or null where they cannot be read. */
export function readPhysical(contents: DumpContents, address: number, length: number): Uint8Array | null {
  if (contents.memory.kind !== 'physical') throw new Error('not by physical address');
  const into = new Uint8Array(length);
  return contents.memory.reader.readSync!(BigInt(address), into) ? into : null;
}

/** The codes of what is in doubt. */
export function codesOf(contents: DumpContents): string[] {
  return contents.diagnostics.map(({ code }) => code);
}
