// The bytes of a file, read by position: what keeps a debug file of hundreds of megabytes out of memory.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { errorMessage, UnidbgError } from '../model/error.ts';

/** No single read is larger; a hostile sparse file may claim any size. */
const MAX_READ_BYTES = 2 ** 31 - 1;

/** The bytes of an open file, read by position. */
export interface FileBytes {
  readonly size: number;
  /** `into`, if it is large enough, saves the memory: what is read is then a part of it. */
  read(offset: number, length: number, what: string, into?: Uint8Array): Uint8Array;
  close(): void;
}

/** Opens a regular file. Throws FILE_UNREADABLE; reads outside of it throw ELF_TRUNCATED with `what`. */
export function openBytes(path: string): FileBytes {
  // Without O_NONBLOCK opening a FIFO would wait for a writer.
  const descriptor = unreadable(path, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  const stat = unreadable(path, () => fstatSync(descriptor));
  if (!stat.isFile()) {
    closeSync(descriptor);
    throw new UnidbgError('FILE_UNREADABLE', `cannot read ${path}: it is not a regular file`, { facts: { path } });
  }
  const size = stat.size;
  return {
    size,
    read(offset, length, what, into) {
      if (!inBounds(offset, length, size)) throw truncated(path, what, offset, length, size);
      if (length > MAX_READ_BYTES) {
        throw new UnidbgError('ELF_UNSUPPORTED', `${path}: ${what} claims ${length} bytes`, { facts: { path, length } });
      }
      // Not zeroed: all of it is read over. Not from Node's pool, which what is kept would keep alive.
      const isRoom = into !== undefined && into.length >= length;
      const bytes = isRoom ? into.subarray(0, length) : new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
      let done = 0;
      while (done < length) {
        const count = unreadable(path, () => readSync(descriptor, bytes, done, length - done, offset + done));
        if (count === 0) throw truncated(path, what, offset, length, offset + done);
        done += count;
      }
      return bytes;
    },
    close() {
      closeSync(descriptor);
    },
  };
}

/** Bytes in memory as a file; `path` names them in errors. */
export function bytesInMemory(path: string, bytes: Uint8Array): FileBytes {
  return {
    size: bytes.length,
    read(offset, length, what) {
      if (!inBounds(offset, length, bytes.length)) throw truncated(path, what, offset, length, bytes.length);
      return bytes.slice(offset, offset + length);
    },
    close() {
      // Nothing is held but memory.
    },
  };
}

function unreadable<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new UnidbgError('FILE_UNREADABLE', `cannot read ${path}: ${errorMessage(error)}`, { cause: error, facts: { path } });
  }
}

function truncated(path: string, what: string, offset: number, length: number, size: number): UnidbgError {
  const range = `${length} bytes at offset 0x${offset.toString(16)}`;
  return new UnidbgError('ELF_TRUNCATED', `${path} is truncated: ${what} needs ${range}, the file has ${size} bytes`, {
    facts: { path, what, offset, length, size },
  });
}

/** Whether [offset, offset + length) lies in [0, size); false for what is no number. */
export function inBounds(offset: number, length: number, size: number): boolean {
  return offset >= 0 && length >= 0 && offset + length <= size;
}
