// HotSpot's performance data, version 2.0: a prologue and entries, each a name and a value that the JVM keeps up to date
// (jdk src/hotspot/share/runtime/perfMemory.hpp: PerfDataPrologue, PerfDataEntry; jstat reads the same in /tmp/hsperfdata_*).

/** The prologue: how much there is, and in which byte order. */
export interface PerfPrologue {
  readonly littleEndian: boolean;
  /** False until the JVM has made all that it makes at its start. */
  readonly accessible: boolean;
  /** Bytes in use, the prologue included. */
  readonly used: number;
  /** The JVM's time when an entry was last added: names do not move while it stays. */
  readonly modified: bigint;
  readonly entryOffset: number;
  readonly entries: number;
}

/** Where a value is: offset from the prologue, and its length for a text. */
export type PerfPlace =
  | { readonly kind: 'number'; readonly offset: number }
  | { readonly kind: 'text'; readonly offset: number; readonly length: number };

/** The names, and where their values are. */
export type PerfIndex = ReadonlyMap<string, PerfPlace>;

/** Bytes of the prologue. */
export const PROLOGUE_BYTES = 32;
const MAGIC = 0xcafe_c0c0;
const MAJOR_VERSION = 2;
const ENTRY_BYTES = 20;
/** PerfDataMemorySize is 32 KiB unless told; what does not fit goes uncounted. */
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_ENTRIES = 8192;
const MAX_NAME = 256;
const MAX_TEXT = 512;
/** Types of fields as in class files: long, and an array of bytes. */
const LONG = 0x4a;
const BYTES = 0x42;

/** The prologue at the start of `bytes`; null when it is none, or one of another version. */
export function decodePrologue(bytes: Uint8Array): PerfPrologue | null {
  if (bytes.length < PROLOGUE_BYTES) return null;
  const view = viewOf(bytes);
  const order = view.getUint8(4);
  // The magic number alone is big-endian on every machine.
  if (view.getUint32(0, false) !== MAGIC || order > 1 || view.getUint8(5) !== MAJOR_VERSION) return null;
  const littleEndian = order === 1;
  const [used, entryOffset, entries] = [8, 24, 28].map((at) => view.getUint32(at, littleEndian)) as [number, number, number];
  if (used < PROLOGUE_BYTES || used > MAX_BYTES || entryOffset < PROLOGUE_BYTES || entryOffset > used) return null;
  const modified = view.getBigUint64(16, littleEndian);
  const accessible = view.getUint8(7) !== 0;
  return { littleEndian, accessible, used, modified, entryOffset, entries: Math.min(entries, MAX_ENTRIES) };
}

/** The names in `bytes`, which start with the prologue; ends at the first entry that makes no sense. */
export function indexEntries(bytes: Uint8Array, { littleEndian, entryOffset, entries }: PerfPrologue): PerfIndex {
  const index = new Map<string, PerfPlace>();
  const view = viewOf(bytes);
  for (let at = entryOffset, count = 0; count < entries && at + ENTRY_BYTES <= bytes.length; count += 1) {
    const [length, nameOffset, vectorLength] = [0, 4, 8].map((offset) => view.getUint32(at + offset, littleEndian));
    const dataOffset = view.getUint32(at + 16, littleEndian);
    if (length! < ENTRY_BYTES || at + length! > bytes.length) break;
    const entry = bytes.subarray(at, at + length!);
    const place = placeOf(at, view.getUint8(at + 12), vectorLength!, dataOffset, length!);
    const name = textAt(entry, nameOffset!, MAX_NAME);
    if (place !== null && name !== '') index.set(name, place);
    at += length!;
  }
  return index;
}

function placeOf(entry: number, type: number, vectorLength: number, dataOffset: number, entryLength: number): PerfPlace | null {
  if (type === LONG && vectorLength === 0 && dataOffset + 8 <= entryLength) return { kind: 'number', offset: entry + dataOffset };
  if (type !== BYTES || vectorLength === 0 || dataOffset + vectorLength > entryLength) return null;
  return { kind: 'text', offset: entry + dataOffset, length: Math.min(vectorLength, MAX_TEXT) };
}

/** The number at `place` in `bytes`; exact up to 2^53. */
export function readNumber(bytes: Uint8Array, { littleEndian }: PerfPrologue, place: PerfPlace | undefined): number | null {
  if (place?.kind !== 'number' || place.offset + 8 > bytes.length) return null;
  return Number(viewOf(bytes).getBigInt64(place.offset, littleEndian));
}

/** The text at `place`, without control characters. */
export function readText(bytes: Uint8Array, place: PerfPlace | undefined): string | null {
  return place?.kind === 'text' ? textAt(bytes, place.offset, place.length) : null;
}

/** Up to its NUL; what is not printable ASCII becomes `?`. */
function textAt(bytes: Uint8Array, offset: number, most: number): string {
  const field = bytes.subarray(offset, offset + most);
  const end = field.indexOf(0);
  return Buffer.from(end < 0 ? field : field.subarray(0, end))
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '?');
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
