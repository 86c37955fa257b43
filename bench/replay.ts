// Going through a recording of an hour, and through one of many times that size: how long reading it takes, what it takes in memory, and how
// long a jump to any moment takes.
//
//   node bench/replay.ts [MB…]      250 (an hour of a busy guest) and 1000 unless told

import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestEvent } from '../src/model/event.ts';
import type { Frame, Stack } from '../src/model/frame.ts';
import type { Sample } from '../src/model/metric.ts';
import { encodeEvent } from '../src/session/event-codec.ts';
import { openRecording } from '../src/session/recording.ts';
import { Timeline } from '../src/session/timeline.ts';

const SERIES = 90;
const THREADS = 14;
const FRAMES = 8;
const JUMPS = 200;

const sizes = process.argv.slice(2).map(Number);
const folder = mkdtempSync(join(tmpdir(), 'unidbg-bench-replay-'));
try {
  for (const megabytes of sizes.length > 0 ? sizes : [250, 1000]) measure(write(megabytes), megabytes);
} finally {
  rmSync(folder, { recursive: true });
}

function measure(path: string, megabytes: number): void {
  const before = process.memoryUsage.rss();
  const began = performance.now();
  const reader = openRecording(path);
  const timeline = new Timeline(reader);
  timeline.readAll();
  const readMs = performance.now() - began;
  const { length, count } = timeline.extent();
  const times = Array.from({ length: JUMPS }, (_, index) => {
    const from = performance.now();
    // The golden ratio scatters moments evenly.
    timeline.seek(((index * 0.618034) % 1) * length);
    return performance.now() - from;
  }).sort((a, b) => a - b);
  const [median, worst] = [times[JUMPS / 2]!, times[Math.floor(JUMPS * 0.95)]!];
  const rss = process.memoryUsage.rss();
  process.stdout.write(
    `${megabytes} MB, ${count} events, ${(length / 60_000).toFixed(0)} minutes: read in ${(readMs / 1000).toFixed(1)} s (${(megabytes / (readMs / 1000)).toFixed(0)} MB/s), ` +
      `jump median ${median.toFixed(1)} ms, 95 % within ${worst.toFixed(1)} ms, RSS ${(rss / 1e6).toFixed(0)} MB (${(before / 1e6).toFixed(0)} before)\n`,
  );
  reader.close();
}

/** What a guest under load gives every second: a sample of all metrics, two looks at its stacks, five console lines. */
function write(megabytes: number): string {
  const path = join(folder, `${megabytes}.unidbg`);
  const fd = openSync(path, 'w');
  let written = writeSync(fd, '{"unidbgRecording":1,"unidbg":"bench","target":"bench"}\n');
  for (let second = 0; written < megabytes * 1e6; second += 1) {
    written += writeSync(
      fd,
      eventsOf(second)
        .map((event) => `${encodeEvent(event)}\n`)
        .join(''),
    );
  }
  closeSync(fd);
  return path;
}

function eventsOf(second: number): readonly GuestEvent[] {
  const at = 1_700_000_000_000 + second * 1000;
  const samples = Array.from({ length: SERIES }, (_, index): Sample => {
    const value = (second * 7919 + index) % 100_003;
    const attributes = { direction: 'receive' };
    return { name: `bench.metric.${index}`, attributes, value, unit: 'By', kind: 'gauge', absent: null, probe: 'bench' };
  });
  const lines = Array.from({ length: 5 }, (_, index): GuestEvent => {
    const text = `[${second}.${index}00000] server: request ${second * 5 + index} took ${(second * 31) % 97} ms`;
    return {
      at: at + index * 100,
      type: 'console',
      line: { number: second * 5 + index + 1, source: 'serial0', text, partial: false, notes: [] },
    };
  });
  return [{ at, type: 'metrics', samples }, stacks(at + 10, second), ...lines, stacks(at + 510, second)];
}

function stacks(at: number, second: number): GuestEvent {
  const frames = Array.from(
    { length: FRAMES },
    (_, index): Frame => ({
      ...{
        index,
        pc: 0xffff_ffff_8010_0000n + BigInt(second + index),
        trust: 'cfi',
        cfa: 0xffff_8000_0000_1000n,
        function: `worker_${index}`,
      },
      ...{
        functionOffset: 12,
        file: 'src/server/worker.c',
        line: 40 + index,
        column: 5,
        inlined: false,
        module: 'kernel.elf',
        status: 'symbolicated',
      },
    }),
  );
  const all = Array.from({ length: THREADS }, (_, thread): Stack => {
    const name = `worker-${thread}`;
    return { name, kind: 'thread', id: String(thread), state: 'sleeping', frames, end: 'outermost', torn: false };
  });
  return { at, type: 'stacks', stacks: all };
}
