// 64-bit words of a guest's stack, for the hand-written unwind rules.

import { Cursor } from '../bytes/cursor.ts';
import type { Address } from '../model/address.ts';
import type { Memory } from '../model/target.ts';

/** `count` little-endian words from `address` up, or null when they are not all readable. */
export function readWords(memory: Memory, address: Address, count: number): bigint[] | null {
  const bytes = memory.read(address, count * 8);
  if (bytes === null) return null;
  const cursor = new Cursor(bytes);
  return Array.from({ length: count }, () => cursor.u64());
}

/** The last bytes of a ring of `size` bytes at `buffer` into which `written` bytes went so far, oldest first; null when unreadable. */
export function readRing(memory: Memory, buffer: Address, size: number, written: bigint): Uint8Array | null {
  const ring = memory.read(buffer, size);
  if (ring === null) return null;
  if (written <= BigInt(size)) return ring.slice(0, Number(written));
  const at = Number(written % BigInt(size));
  const log = new Uint8Array(size);
  log.set(ring.subarray(at));
  log.set(ring.subarray(0, at), size - at);
  return log;
}
