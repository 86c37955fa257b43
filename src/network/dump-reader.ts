// The file that QEMU's filter-dump writes (net/dump.c): classic pcap, little- or big-endian as the host, microseconds. Read while
// it grows: a record that is not whole yet waits.

/** Bytes of the file's header, and of each record's. */
export const DUMP_HEADER_BYTES = 24;
export const RECORD_HEADER_BYTES = 16;
const MAGIC = 0xa1b2c3d4;

/** A packet as the file has it. `bytes` is a view of the caller's buffer. */
export interface DumpRecord {
  /** QEMU's stamp in µs: see CaptureClock for what it is worth. */
  readonly stamp: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

/** Longer than any frame: the filter's snap length bounds what is captured, and this what is believed. */
const MAX_RECORD_BYTES = 256 * 1024;

/** Whether the file is of a little-endian host; null when it is no such file. `bytes` are its first 24. */
export function readByteOrder(bytes: Uint8Array): 'little' | 'big' | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < DUMP_HEADER_BYTES) return null;
  if (view.getUint32(0, true) === MAGIC) return 'little';
  return view.getUint32(0, false) === MAGIC ? 'big' : null;
}

/**
 * Reads whole records from the start of `bytes`. `used` is how many bytes they take; `broken` when what follows them is no
 * record's header, so that nothing behind it can be read.
 */
export function readRecords(
  bytes: Uint8Array,
  order: 'little' | 'big',
): { readonly records: readonly DumpRecord[]; readonly used: number; readonly broken: boolean } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = order === 'little';
  const records: DumpRecord[] = [];
  let used = 0;
  while (bytes.length - used >= RECORD_HEADER_BYTES) {
    const [seconds, micros] = [view.getUint32(used, little), view.getUint32(used + 4, little)];
    const [captured, length] = [view.getUint32(used + 8, little), view.getUint32(used + 12, little)];
    if (captured > MAX_RECORD_BYTES || captured > length || micros >= 1_000_000) return { records, used, broken: true };
    const start = used + RECORD_HEADER_BYTES;
    if (start + captured > bytes.length) break;
    records.push({ stamp: seconds * 1e6 + micros, length, bytes: bytes.subarray(start, start + captured) });
    used = start + captured;
  }
  return { records, used, broken: false };
}
