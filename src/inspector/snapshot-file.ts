// A heap snapshot of the guest's JavaScript into a file (CDP HeapProfiler.takeHeapSnapshot; the format of DevTools' Memory panel).
// The guest's JavaScript stands still while V8 walks its heap, and the file holds every string of the program: it is for its owner
// alone, and is called `.partial` until it is whole.

import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import * as v from 'valibot';
import { errorMessage, UnidbgError } from '../model/error.ts';
import type { Connection } from './connection.ts';

/** How far a snapshot has come. V8 first walks the heap (`done` of `total` objects), then sends what it found. */
export interface SnapshotProgress {
  readonly done: number;
  readonly total: number;
  readonly bytes: number;
}

/** A written snapshot. */
export interface WrittenSnapshot {
  readonly path: string;
  readonly bytes: number;
  /** From the request to the last byte: the program's JavaScript ran not at all, or hardly, meanwhile. */
  readonly stoppedMs: number;
}

const PROGRESS = v.object({ done: v.number(), total: v.number() });
const CHUNK = v.object({ chunk: v.string() });
/** No word for so long: the guest is paused or gone. */
const SILENCE_MS = 120_000;
const WHOLE_MS = 60 * 60 * 1000;

/**
 * Writes a snapshot to `path` (0600), of `maxBytes` at most. What was written of one that was cut off stays as `path.partial`.
 * Throws INSPECTOR_*, FILE_UNREADABLE.
 */
export async function writeHeapSnapshot(
  connection: Connection,
  path: string,
  maxBytes: number,
  onProgress: (progress: SnapshotProgress) => void = () => undefined,
): Promise<WrittenSnapshot> {
  const partial = `${path}.partial`;
  const fd = create(partial);
  const startedAt = performance.now();
  try {
    const bytes = await receive(connection, fd, maxBytes, onProgress);
    renameSync(partial, path);
    return { path, bytes, stoppedMs: performance.now() - startedAt };
  } catch (error) {
    throw new UnidbgError(
      error instanceof UnidbgError ? error.code : 'FILE_UNREADABLE',
      `the heap snapshot was cut off, what came of it is in ${partial}: ${errorMessage(error)}`,
      { cause: error },
    );
  } finally {
    closeSync(fd);
  }
}

async function receive(
  connection: Connection,
  fd: number,
  maxBytes: number,
  onProgress: (progress: SnapshotProgress) => void,
): Promise<number> {
  let progress: SnapshotProgress = { done: 0, total: 0, bytes: 0 };
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_done, reject) => {
    fail = reject;
  });
  const silence = setTimeout(() => {
    fail(new UnidbgError('INSPECTOR_TIMEOUT', `the guest has sent nothing for ${SILENCE_MS / 1000} s`));
  }, SILENCE_MS);
  const hear = (news: Partial<SnapshotProgress>): void => {
    silence.refresh();
    progress = { ...progress, ...news };
    onProgress(progress);
  };
  const unsubscribe = [
    connection.on('HeapProfiler.addHeapSnapshotChunk', (params) => {
      try {
        hear({ bytes: progress.bytes + writeChunk(fd, params, maxBytes - progress.bytes) });
      } catch (error) {
        fail(error);
      }
    }),
    connection.on('HeapProfiler.reportHeapSnapshotProgress', (params) => {
      const { success, output } = v.safeParse(PROGRESS, params);
      hear(success ? output : {});
    }),
  ];
  try {
    const taken = connection.send('HeapProfiler.takeHeapSnapshot', { reportProgress: true }, { timeoutMs: WHOLE_MS });
    await Promise.race([taken, failed]);
    return progress.bytes;
  } catch (error) {
    // The only way to stop one that is on its way.
    await connection.close();
    throw error;
  } finally {
    clearTimeout(silence);
    for (const end of unsubscribe) end();
  }
}

function writeChunk(fd: number, params: unknown, room: number): number {
  const { success, output } = v.safeParse(CHUNK, params);
  if (!success) throw new UnidbgError('INSPECTOR_MALFORMED', 'a piece of it is no text');
  const chunk = Buffer.from(output.chunk);
  if (chunk.length > room) throw new UnidbgError('INSPECTOR_MALFORMED', 'it is larger than it may be: see --max-size');
  // A disk that is full writes less than it was given, then fails.
  for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
  return chunk.length;
}

function create(path: string): number {
  try {
    rmSync(path, { force: true });
    // `wx`: never through somebody's symbolic link, never into a file that others may read.
    return openSync(path, 'wx', 0o600);
  } catch (cause) {
    throw new UnidbgError('FILE_UNREADABLE', `cannot write ${path}: ${errorMessage(cause)}`, { cause });
  }
}
