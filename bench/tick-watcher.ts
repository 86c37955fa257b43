// A thread that watches a counter of the guest (its 100 Hz tick) in guest memory and knows the longest time for which it stood
// still. Its own thread, so that nothing the benchmark does can pass for a guest that stands still.

import { closeSync, openSync, readSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** What was seen between two questions. */
export interface Stillness {
  readonly longestGapMs: number;
  readonly ticks: number;
  readonly seconds: number;
}

/** A running watch. `take` gives what was seen since it was asked last. */
export interface TickWatch {
  take(): Promise<Stillness>;
  close(): Promise<void>;
}

interface Place {
  readonly path: string;
  readonly position: number;
}

const PERIOD_MS = 1;

/** Watches the u64 at `position` of the file `path` (/proc/<pid>/mem). */
export async function watchTicks(place: Place): Promise<TickWatch> {
  const worker = new Worker(new URL(import.meta.url), { workerData: place });
  const ask = async (question: 'take' | 'end'): Promise<Stillness> => {
    const { promise, resolve, reject } = Promise.withResolvers<Stillness>();
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.postMessage(question);
    return promise.finally(() => worker.off('error', reject));
  };
  await ask('take');
  return {
    take: () => ask('take'),
    close: async () => {
      await ask('end');
      await worker.terminate();
    },
  };
}

function watch({ path, position }: Place): void {
  const fd = openSync(path, 'r');
  const bytes = Buffer.alloc(8);
  const read = (): bigint => {
    readSync(fd, bytes, 0, 8, position);
    return bytes.readBigUInt64LE();
  };
  let first = read();
  let last = first;
  let since = performance.now();
  let changedAt = since;
  let longest = 0;
  const look = (): void => {
    const ticks = read();
    const now = performance.now();
    longest = Math.max(longest, now - changedAt);
    if (ticks === last) return;
    last = ticks;
    changedAt = now;
  };
  const timer = setInterval(look, PERIOD_MS);
  parentPort!.on('message', (question: 'take' | 'end') => {
    look();
    const now = performance.now();
    const seen: Stillness = { longestGapMs: longest, ticks: Number(last - first), seconds: (now - since) / 1000 };
    [first, since, longest] = [last, now, 0];
    if (question === 'end') {
      clearInterval(timer);
      closeSync(fd);
    }
    parentPort!.postMessage(seen);
  });
}

if (!isMainThread) watch(workerData as Place);
