// Writing a `.unicrash` bundle (docs/bundle.md). Whatever ends it half-way (a full disk, kill -9), what was written can be read: members
// follow one another, the size of the one that is being written is patched into its header when it ends, and the last member says that
// all is there.

import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { errorMessage, UnidbgError } from '../model/error.ts';
import type { Completion, Manifest } from './manifest.ts';
import { MEMBERS } from './open-bundle.ts';
import { BLOCK, encodeTarHeader, paddedSize, UNKNOWN_SIZE } from './tar.ts';

/** Takes bytes in their order. Throws FILE_UNWRITABLE. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** What the members do not say of themselves. */
export type CompletionFacts = Omit<Completion, 'completedAt' | 'members'>;

/** A bundle that is being written; owns its file. */
export class BundleWriter {
  readonly path: string;
  private readonly file: FileHandle;
  private readonly madeAt: number;
  private readonly members: { name: string; size: number; sha256: string; partial: string | null }[] = [];
  private position = 0;

  private constructor(path: string, file: FileHandle, madeAt: number) {
    this.path = path;
    this.file = file;
    this.madeAt = madeAt;
  }

  /** Creates the file, for its owner alone, and writes the manifest. Throws FILE_UNWRITABLE, also when there is a file of that name. */
  static async create(path: string, manifest: Manifest): Promise<BundleWriter> {
    const file = await openNew(path);
    const writer = new BundleWriter(path, file, Date.parse(manifest.madeAt));
    try {
      await writer.addText(MEMBERS.manifest, `${JSON.stringify(manifest, null, 2)}\n`);
      return writer;
    } catch (error) {
      await writer.close();
      throw error;
    }
  }

  /** Bytes in the file so far. */
  get written(): number {
    return this.position;
  }

  /** Adds a member whose bytes `body` writes; it returns why they are not all, or null. Throws what `body` throws, and FILE_UNWRITABLE. */
  async add(name: string, body: (sink: ByteSink) => Promise<string | null>): Promise<void> {
    const start = this.position;
    const hash = createHash('sha256');
    await this.append(encodeTarHeader(name, UNKNOWN_SIZE, this.madeAt));
    const partial = await body({
      write: async (bytes) => {
        hash.update(bytes);
        await this.append(bytes);
      },
    });
    const size = this.position - start - BLOCK;
    await this.append(new Uint8Array(paddedSize(size) - size));
    await this.writeAt(encodeTarHeader(name, size, this.madeAt), start);
    this.members.push({ name, size, sha256: hash.digest('hex'), partial });
  }

  /** Adds a member that is small. */
  async addText(name: string, text: string): Promise<void> {
    await this.add(name, async (sink) => {
      await sink.write(Buffer.from(text));
      return null;
    });
  }

  /** Says that all is there, and ends the tar. Throws FILE_UNWRITABLE. */
  async complete(facts: CompletionFacts): Promise<void> {
    const completion: Completion = { completedAt: new Date().toISOString(), members: [...this.members], ...facts };
    await this.addText(MEMBERS.completion, `${JSON.stringify(completion, null, 2)}\n`);
    await this.append(new Uint8Array(2 * BLOCK));
  }

  /** Lets go of the file, be it complete or not. */
  async close(): Promise<void> {
    await this.file.close();
  }

  private async append(bytes: Uint8Array): Promise<void> {
    await this.writeAt(bytes, this.position);
    this.position += bytes.length;
  }

  private async writeAt(bytes: Uint8Array, position: number): Promise<void> {
    await writeFully(this.path, this.file, bytes, position);
  }
}

/** Creates a file for its owner alone. Throws FILE_UNWRITABLE, also when there is one of that name. */
export async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (cause) {
    const exists = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    const why = exists ? 'it is there already; choose another name with -o' : errorMessage(cause);
    throw new UnidbgError('FILE_UNWRITABLE', `cannot create ${path}: ${why}`, { cause, facts: { path } });
  }
}

/** Writes all of `bytes`. Throws FILE_UNWRITABLE, with how much of the file was written before (`written`). */
export async function writeFully(path: string, file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  try {
    while (done < bytes.length) done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  } catch (cause) {
    const written = position + done;
    throw new UnidbgError('FILE_UNWRITABLE', `${path} ends after ${written} bytes: ${errorMessage(cause)}`, {
      cause,
      facts: { path, written },
    });
  }
}
