// Bytes by position, wherever they are: a file, a part of one, what is compressed in one. What dumps and bundles are read through, so
// that their size does not matter.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { errorMessage, UnidbgError } from '../model/error.ts';

/** Random access to bytes that do not change. Positions and sizes are bytes, below 2^53. */
export interface ByteSource {
  /** For messages: the file's path, and what of it. */
  readonly name: string;
  readonly size: number;
  /** Fills `into` from `position`; returns how many bytes there were: fewer only at the end. Throws FILE_UNREADABLE. */
  read(position: number, into: Uint8Array): number;
  close(): void;
}

/** Opens a regular file. Throws FILE_UNREADABLE. */
export function openFileSource(path: string): ByteSource {
  // Without O_NONBLOCK opening a FIFO would wait for a writer.
  const fd = orUnreadable(path, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  const stat = fstatSync(fd);
  if (!stat.isFile()) {
    closeSync(fd);
    throw new UnidbgError('FILE_UNREADABLE', `cannot read ${path}: it is not a regular file`, { facts: { path } });
  }
  return {
    name: path,
    size: stat.size,
    read: (position, into) =>
      orUnreadable(path, () => {
        let done = 0;
        while (done < into.length) {
          const count = readSync(fd, into, done, into.length - done, position + done);
          if (count === 0) break;
          done += count;
        }
        return done;
      }),
    close: () => {
      closeSync(fd);
    },
  };
}

/** The bytes [start, start + size) of a source as a source of their own; closing it closes nothing. */
export function sliceSource(source: ByteSource, name: string, start: number, size: number): ByteSource {
  const length = Math.max(0, Math.min(size, source.size - start));
  return {
    name,
    size: length,
    read: (position, into) => {
      const room = Math.max(0, Math.min(into.length, length - position));
      return room === 0 ? 0 : source.read(start + position, into.subarray(0, room));
    },
    close: () => undefined,
  };
}

/** Bytes in memory as a source. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    read: (position, into) => {
      const part = bytes.subarray(Math.min(position, bytes.length), Math.min(position + into.length, bytes.length));
      into.set(part);
      return part.length;
    },
    close: () => undefined,
  };
}

/** Exactly `length` bytes, or null where the source ends before. */
export function readExactly(source: ByteSource, position: number, length: number): Uint8Array | null {
  if (!(position >= 0 && length >= 0 && position + length <= source.size)) return null;
  const bytes = new Uint8Array(length);
  return source.read(position, bytes) === length ? bytes : null;
}

function orUnreadable<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    throw new UnidbgError('FILE_UNREADABLE', `cannot read ${path}: ${errorMessage(cause)}`, { cause, facts: { path } });
  }
}
