// Writing a `.unicrash` bundle (docs/bundle.md). Whatever ends it half-way (a full disk, kill -9), what was written can be read: members
// follow one another, the size of the one that is being written is patched into its header when it ends, and the last member says that
// all is there.

import { createHash } from 'node:crypto';
import { type ByteSink, createFileSink, type FileSink } from '../bytes/byte-sink.ts';
import type { Completion, Manifest } from './manifest.ts';
import { MEMBERS } from './open-bundle.ts';
import { BLOCK, encodeTarHeader, paddedSize, UNKNOWN_SIZE } from './tar.ts';

/** What the members do not say of themselves. */
export type CompletionFacts = Omit<Completion, 'completedAt' | 'members'>;

/** A bundle that is being written; owns its file. */
export class BundleWriter {
  private readonly file: FileSink;
  private readonly madeAt: number;
  private readonly members: { name: string; size: number; sha256: string; partial: string | null }[] = [];

  private constructor(file: FileSink, madeAt: number) {
    this.file = file;
    this.madeAt = madeAt;
  }

  /** Creates the file, for its owner alone, and writes the manifest. Throws FILE_UNWRITABLE, also when there is a file of that name. */
  static async create(path: string, manifest: Manifest): Promise<BundleWriter> {
    const writer = new BundleWriter(await createFileSink(path), Date.parse(manifest.madeAt));
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
    return this.file.written;
  }

  /** Adds a member whose bytes `body` writes; it returns why they are not all, or null. Throws what `body` throws, and FILE_UNWRITABLE. */
  async add(name: string, body: (sink: ByteSink) => Promise<string | null>): Promise<void> {
    const { file } = this;
    const start = file.written;
    const hash = createHash('sha256');
    await file.write(encodeTarHeader(name, UNKNOWN_SIZE, this.madeAt));
    const partial = await body({
      write: async (bytes) => {
        hash.update(bytes);
        await file.write(bytes);
      },
    });
    const size = file.written - start - BLOCK;
    await file.write(new Uint8Array(paddedSize(size) - size));
    await file.writeAt(start, encodeTarHeader(name, size, this.madeAt));
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
    await this.file.write(new Uint8Array(2 * BLOCK));
  }

  /** Lets go of the file, be it complete or not. */
  async close(): Promise<void> {
    await this.file.close();
  }
}
