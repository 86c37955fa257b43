// What Nanos leaves on its disk when it shuts down other than well: struct klog_dump (src/runtime/runtime.h, klog_save in src/kernel/log.c), 4 KiB right before
// the first partition of the image. The only place that keeps the exit code of a guest without `debug_exit`.

import { type ByteSource, readExactly } from '../bytes/byte-source.ts';
import { Cursor } from '../bytes/cursor.ts';

/** What a Nanos disk remembers of its last end. */
export interface NanosDiskLog {
  /** Tells boots apart. */
  readonly bootId: bigint;
  /** The program's exit code, or the signal that ended it; 0x7f: the kernel halted. */
  readonly exitCode: number;
  /** The last bytes of the console, at most 4080; the first line may be cut. */
  readonly console: Uint8Array;
}

const SECTOR_BYTES = 512;
const LOG_BYTES = 4096;
const MAGIC = 0x474f4c4b;
/** The partition table of the master boot record: type and first sector of its first entry, signature. */
const [FIRST_PARTITION, SIGNATURE] = [446, 510];

/** The log on a raw disk image; null when it is none of Nanos, or the guest ended well. Throws FILE_UNREADABLE. */
export function readNanosDiskLog(source: ByteSource): NanosDiskLog | null {
  const boot = readExactly(source, 0, SECTOR_BYTES);
  if (boot === null) return null;
  const cursor = new Cursor(boot, { offset: SIGNATURE });
  if (cursor.u16() !== 0xaa55) return null;
  cursor.seek(FIRST_PARTITION + 8);
  const log = readExactly(source, cursor.u32() * SECTOR_BYTES - LOG_BYTES, LOG_BYTES);
  return log === null ? null : decodeLog(log);
}

function decodeLog(log: Uint8Array): NanosDiskLog | null {
  const cursor = new Cursor(log);
  if (cursor.u32() !== MAGIC) return null;
  const bootId = cursor.u64();
  const exitCode = cursor.i32();
  const text = log.subarray(cursor.offset);
  const end = text.findLastIndex((byte) => byte !== 0) + 1;
  const start = text.findIndex((byte) => byte !== 0);
  return { bootId, exitCode, console: end === 0 ? new Uint8Array() : text.subarray(start, end) };
}
