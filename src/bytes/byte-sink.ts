// Bytes into a new file, one after another: what dumps and bundles are written through.

import { type FileHandle, open } from 'node:fs/promises';
import { errorMessage, UnidbgError } from '../model/error.ts';

/** Takes bytes in their order. */
export interface ByteSink {
  /** Resolves when they are written; they may be changed again then. Throws FILE_UNWRITABLE, with how much was written before. */
  write(bytes: Uint8Array): Promise<void>;
  /** So many zeros, as a hole; only where there can be one. */
  skip?(length: number): void;
}

/** A file that is being written. */
export interface FileSink extends ByteSink {
  readonly path: string;
  skip(length: number): void;
  /** Bytes so far. */
  readonly written: number;
  /** Writes over what was written before; resolves to how many bytes. */
  writeAt(position: number, bytes: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/** Creates a file, for its owner alone. Throws FILE_UNWRITABLE, also when there is one of that name. */
export async function createFileSink(path: string): Promise<FileSink> {
  return new NewFile(path, await openNew(path));
}

class NewFile implements FileSink {
  readonly path: string;
  written = 0;
  private endsInHole = false;
  private readonly file: FileHandle;

  constructor(path: string, file: FileHandle) {
    this.path = path;
    this.file = file;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.written += await this.writeAt(this.written, bytes);
    this.endsInHole = false;
  }

  async writeAt(position: number, bytes: Uint8Array): Promise<number> {
    let done = 0;
    try {
      while (done < bytes.length) done += (await this.file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
      return done;
    } catch (cause) {
      const written = Math.max(this.written, position + done);
      throw new UnidbgError(
        'FILE_UNWRITABLE',
        `${this.path} ends after ${written} bytes: ${errorMessage(cause)}; what is in it can be read`,
        {
          cause,
          facts: { path: this.path, written },
        },
      );
    }
  }

  skip(length: number): void {
    this.written += length;
    this.endsInHole = true;
  }

  async close(): Promise<void> {
    if (this.endsInHole) await this.file.truncate(this.written).catch(() => undefined);
    await this.file.close();
  }
}

async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    const why = exists ? 'it is there already, and nothing is written over' : errorMessage(cause);
    throw new UnidbgError('FILE_UNWRITABLE', `cannot create ${path}: ${why}`, { cause, facts: { path } });
  }
}
