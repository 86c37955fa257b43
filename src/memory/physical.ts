// The one interface of all readers of guest-physical memory, and the reader over plain file positions that the two fast
// ones (a shared RAM file, /proc/<pid>/mem) come down to.

import { closeSync, readSync } from 'node:fs';
import type { PhysicalAddress } from '../model/address.ts';

/** The ways to read the RAM of a running guest without stopping it, best first. */
export type LiveReaderName = 'ram-file' | 'process-memory' | 'xp' | 'pmemsave';

/** Every way to read guest RAM; `dump`: from a dump's file. */
export type ReaderName = LiveReaderName | 'dump';

/** Reads guest-physical RAM and ROM. Never touches a device: where there is no RAM the answer is false. Owns files. */
export interface PhysicalReader {
  readonly name: ReaderName;
  /** For people: `shared RAM file /memfd:…`, `/proc/4711/mem`. */
  readonly how: string;
  /** Fills `into` from `address`; false when a byte of it is not readable RAM. Null on readers that must ask QEMU. */
  readonly readSync: ((address: PhysicalAddress, into: Uint8Array) => boolean) | null;
  /** The same for every reader. Rejects only when QEMU is gone. */
  read(address: PhysicalAddress, into: Uint8Array): Promise<boolean>;
  close(): void;
}

/** A reader, or why there is none: a sentence that says what would help. */
export type ReaderAttempt = { readonly reader: PhysicalReader } | { readonly refused: string };

/** Guest-physical [start, end) at `position` of an open file. Positions stay below 2^47 (host addresses, file sizes). */
export interface FilePiece {
  readonly start: PhysicalAddress;
  readonly end: PhysicalAddress;
  readonly fd: number;
  readonly position: bigint;
}

/** A reader over open files; closes them. `pieces` ascend and do not overlap. */
export function createFileReader(name: ReaderName, how: string, pieces: readonly FilePiece[]): PhysicalReader {
  // Bounds as doubles: physical addresses have at most 52 bits, and a bigint comparison costs ten times more.
  const table = pieces.map((piece) => ({
    start: Number(piece.start),
    end: Number(piece.end),
    fd: piece.fd,
    shift: Number(piece.position - piece.start),
  }));
  const read = (address: PhysicalAddress, into: Uint8Array): boolean => {
    let at = Number(address);
    let done = 0;
    for (const piece of table) {
      if (done === into.length || at < piece.start) break;
      if (at >= piece.end) continue;
      const count = Math.min(into.length - done, piece.end - at);
      if (!readFully(piece.fd, into.subarray(done, done + count), at + piece.shift)) return false;
      done += count;
      at += count;
    }
    return done === into.length;
  };
  return {
    name,
    how,
    readSync: read,
    read: (address, into) => Promise.resolve(read(address, into)),
    close: () => {
      for (const fd of new Set(pieces.map((piece) => piece.fd))) closeSync(fd);
    },
  };
}

function readFully(fd: number, into: Uint8Array, position: number): boolean {
  try {
    for (let done = 0; done < into.length; ) {
      const count = readSync(fd, into, done, into.length - done, position + done);
      // A file shorter than RAM, or /proc/<pid>/mem of a process that has ended.
      if (count === 0) return false;
      done += count;
    }
    return true;
  } catch {
    // EIO: not mapped in QEMU (any more).
    return false;
  }
}
