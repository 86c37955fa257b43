// Guest-physical memory that lies in pieces in a dump's file.

import type { ByteSource } from '../../bytes/byte-source.ts';
import type { PhysicalReader } from '../../memory/physical.ts';
import { type PieceTable, ZEROS } from './piece-table.ts';

/** A reader of guest-physical memory out of `source`, which stays its owner's. What is in no piece is not readable. */
export function createPieceReader(how: string, source: ByteSource, pieces: PieceTable): PhysicalReader {
  return createSyncReader(how, (address, into) => readPieces(source, pieces, address, into));
}

/** A PhysicalReader of a dump around its one synchronous function; addresses are doubles there. */
export function createSyncReader(how: string, read: (address: number, into: Uint8Array) => boolean): PhysicalReader {
  const readSync = (address: bigint, into: Uint8Array): boolean => read(Number(address), into);
  return {
    name: 'dump',
    how,
    readSync,
    read: (address, into) => Promise.resolve(readSync(address, into)),
    close: () => undefined,
  };
}

/** Fills `into` with what lies at `address`; false when a byte of it is nowhere. */
export function readPieces(source: ByteSource, pieces: PieceTable, address: number, into: Uint8Array): boolean {
  for (let done = 0; done < into.length; ) {
    const at = address + done;
    const index = pieces.find(at);
    if (index === null) return false;
    const count = Math.min(into.length - done, pieces.endOf(index) - at);
    const part = into.subarray(done, done + count);
    const position = pieces.position(index);
    if (position === ZEROS) part.fill(0);
    else if (source.read(position + (at - pieces.start(index)), part) < count) return false;
    done += count;
  }
  return true;
}
