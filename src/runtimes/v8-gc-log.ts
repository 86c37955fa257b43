// V8's collector log, --trace-gc (src/heap/gc-tracer.cc GCTracer::Print): one line a collection. V8's MB are MiB.

import type { GcLogFormat, GcLogLine } from '../model/gc-log.ts';

/** `[7:0x35bd]  117 ms: Scavenge 4.7 (5.8) -> 4.5 (6.8) MB, pooled: 0 MB, 8.05 / 0.00 ms  (average mu = …`. */
const LINE =
  /^\[\d{1,10}:(?:0x)?[0-9a-f]{1,16}(?::\d{1,6})?\] {1,12}\d{1,12} ms: (Scavenge|Mark-Compact|Mark-sweep|Minor Mark-(?:Compact|Sweep))(?: \([\w ]{1,40}\)){0,3} \d{1,9}\.\d \(\d{1,9}\.\d\) -> (\d{1,9}\.\d) \((\d{1,9}\.\d)\) MB, (?:pooled: \d{1,9}(?:\.\d)? MB, )?(\d{1,9}\.\d{1,3}) \/ \d{1,9}\.\d{1,3} ms/;
const MIB = 1024 ** 2;

function parse(text: string): GcLogLine | null {
  const match = LINE.exec(text);
  if (match === null) return null;
  const [, kind, used, size, ms] = match;
  const pause = Math.round(Number(ms) * 1e6);
  const isMinor = kind === 'Scavenge' || kind?.startsWith('Minor') === true;
  return {
    set: {
      'v8js.gc.pause.last': pause,
      'v8js.memory.heap.used': Math.round(Number(used) * MIB),
      'v8js.memory.heap.size': Math.round(Number(size) * MIB),
    },
    add: { 'v8js.gc.pause.time': pause, [isMinor ? 'v8js.gc.minor.cycles' : 'v8js.gc.cycles']: 1 },
  };
}

/** V8's log. */
export const v8GcLog: GcLogFormat = {
  runtime: 'v8',
  flag: '--trace-gc',
  words: [' MB, '],
  metrics: {
    'v8js.gc.cycles': { kind: 'counter', unit: '{cycle}', doc: 'major collections seen on the console' },
    'v8js.gc.minor.cycles': { kind: 'counter', unit: '{cycle}', doc: 'minor collections seen on the console' },
    'v8js.gc.pause.time': { kind: 'counter', unit: 'ns', doc: 'pauses seen on the console, together' },
    'v8js.gc.pause.last': { kind: 'gauge', unit: 'ns', doc: 'the last pause on the console' },
    'v8js.memory.heap.used': { kind: 'gauge', unit: 'By', doc: 'used after the last collection on the console' },
    'v8js.memory.heap.size': { kind: 'gauge', unit: 'By', doc: 'heap size after the last collection on the console' },
  },
  parse,
};
