// makedumpfile's flattened format, in which kdump-compressed files come through pipes, and from QEMU before version 9 always: a header of
// 4096 bytes, then records (offset and size, 64-bit big-endian, and that many bytes), the last one with an offset of -1 (makedumpfile.h
// struct makedumpfile_header and makedumpfile_data_header). Read as the file that it would become.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import { Cursor } from '../../bytes/cursor.ts';
import { type PieceTable, PieceTableBuilder } from './piece-table.ts';

/** With which such a file begins. */
export const FLATTENED_SIGNATURE = 'makedumpfile\0\0\0\0';

const HEADER_BYTES = 4096;
const RECORD_HEADER_BYTES = 16;

/** The file that the records describe. `isWhole`: the end mark is there. */
export interface Unflattened {
  readonly source: ByteSource;
  readonly isWhole: boolean;
}

/** Goes through the records' headers; later records overwrite earlier ones, and what none has written is zero, as with `makedumpfile -R`. */
export function unflatten(flat: ByteSource): Unflattened {
  const builder = new PieceTableBuilder();
  let position = HEADER_BYTES;
  let isWhole = false;
  while (!isWhole) {
    const bytes = readExactly(flat, position, RECORD_HEADER_BYTES);
    if (bytes === null) break;
    const cursor = new Cursor(bytes, { littleEndian: false });
    if (cursor.i64() === -1n) isWhole = true;
    else {
      const offset = new Cursor(bytes, { littleEndian: false }).u64Number();
      const size = cursor.u64Number();
      position += RECORD_HEADER_BYTES;
      const there = Math.max(0, Math.min(size, flat.size - position));
      // A record of no bytes makes no way: only a damaged file has one.
      if (size === 0 || !builder.add(offset, offset + there, position)) break;
      position += size;
    }
  }
  const pieces = builder.build();
  return { source: piecesSource(flat, pieces), isWhole };
}

function piecesSource(flat: ByteSource, pieces: PieceTable): ByteSource {
  const size = pieces.end;
  return {
    name: flat.name,
    size,
    read: (position, into) => {
      const count = Math.max(0, Math.min(into.length, size - position));
      for (let done = 0; done < count; ) {
        const at = position + done;
        const index = pieces.findFrom(at);
        const isHole = pieces.start(index) > at;
        const part = into.subarray(done, Math.min(count, done + (isHole ? pieces.start(index) : pieces.endOf(index)) - at));
        if (isHole) part.fill(0);
        else if (flat.read(pieces.position(index) + (at - pieces.start(index)), part) < part.length) return done;
        done += part.length;
      }
      return count;
    },
    close: () => undefined,
  };
}
