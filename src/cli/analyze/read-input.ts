// What `unidbg analyze` is given: files or standard input, plain or gzip, by pieces, so that size does not matter.

import { closeSync, createReadStream, openSync, readSync, statSync } from 'node:fs';
import { createGunzip } from 'node:zlib';
import { errorCode, UnidbgError } from '../../model/error.ts';

const PIECE = 1 << 20;
const GZIP = [0x1f, 0x8b];
const ELF = [0x7f, 0x45, 0x4c, 0x46];
/** ELF cores, kdump-compressed ones, migration streams. */
const DUMPS = [ELF, [...Buffer.from('KDUMP   ')], [...Buffer.from('makedumpfile')], [...Buffer.from('QEVM')]];

/** The bytes of a log; `-` is standard input. Throws FILE_UNREADABLE with the path. */
export async function* readLog(path: string): AsyncGenerator<Uint8Array> {
  if (path === '-') {
    yield* process.stdin as AsyncIterable<Buffer>;
    return;
  }
  const head = readHead(path);
  if (startsWith(head, ELF)) {
    const what = `${path} is an ELF file, not a console's log`;
    throw new UnidbgError('FILE_UNREADABLE', `${what}, and no dump that unidbg knows; an image goes behind --symbols`, {
      facts: { path },
    });
  }
  const file = createReadStream(path, { highWaterMark: PIECE });
  try {
    if (startsWith(head, GZIP)) yield* refusingDumps(path, file.pipe(createGunzip()) as AsyncIterable<Buffer>);
    else yield* file as AsyncIterable<Buffer>;
  } catch (error) {
    throw errorCode(error) === null ? unreadable(path, error) : error;
  } finally {
    file.destroy();
  }
}

/** A dump is read by position: what is packed as a whole has to be unpacked first. */
async function* refusingDumps(path: string, unpacked: AsyncIterable<Buffer>): AsyncGenerator<Uint8Array> {
  let first = true;
  for await (const bytes of unpacked) {
    if (first && DUMPS.some((magic) => startsWith(bytes, magic))) {
      const message = `${path} is a dump packed with gzip, which cannot be read by position: gunzip it first, or pack it with zstd in the seekable format`;
      throw new UnidbgError('FILE_UNREADABLE', message, { facts: { path } });
    }
    first = false;
    yield bytes;
  }
}

/** When a file was last written, ms since the epoch; null of standard input. */
export function writtenAt(path: string): number | null {
  return path === '-' ? null : Math.round(statSync(path).mtimeMs);
}

function readHead(path: string): Uint8Array {
  const head = new Uint8Array(4);
  try {
    const file = openSync(path, 'r');
    try {
      readSync(file, head, 0, head.length, 0);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  return head;
}

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, index) => bytes[index] === byte);
}

function unreadable(path: string, error: unknown): UnidbgError {
  const reason = error instanceof Error ? error.message : String(error);
  return new UnidbgError('FILE_UNREADABLE', `${path} cannot be read: ${reason}`, { cause: error, facts: { path } });
}
