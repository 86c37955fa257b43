// Go's collector log, GODEBUG=gctrace=1 (runtime/extern.go describes it, runtime/mgc.go gcMarkTermination prints it): one line a
// collection, which counts them itself. The two stop-the-world phases are the first and the last of three clock times. Its MB are MiB.

import type { GcLogFormat, GcLogLine } from '../model/gc-log.ts';

const LINE =
  /^gc (\d{1,10}) @\d{1,12}\.\d{1,6}s \d{1,3}%: ([\d.]{1,12})\+[\d.]{1,12}\+([\d.]{1,12}) ms clock, [^,]{1,120} ms cpu, \d{1,9}->(\d{1,9})->(\d{1,9}) MB, (\d{1,9}) MB goal/;
const MIB = 1024 ** 2;

function parse(text: string): GcLogLine | null {
  const match = LINE.exec(text);
  if (match === null) return null;
  const [cycles, first, last, atEnd, marked, goal] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const pause = Math.round((first + last) * 1e6);
  if (!Number.isFinite(pause)) return null;
  return {
    set: {
      'go.memory.gc.cycles': cycles,
      'go.memory.gc.pause.last': pause,
      'go.memory.heap.live': atEnd * MIB,
      'go.memory.heap.marked': marked * MIB,
      'go.memory.gc.goal': goal * MIB,
    },
    add: { 'go.memory.gc.pause.time': pause },
  };
}

/** Go's log. */
export const goGcLog: GcLogFormat = {
  runtime: 'go',
  flag: 'GODEBUG=gctrace=1',
  words: [' ms clock, '],
  metrics: {
    'go.memory.gc.cycles': { kind: 'counter', unit: '{cycle}', doc: 'collections, as the last line on the console counts them' },
    'go.memory.gc.pause.time': { kind: 'counter', unit: 'ns', doc: 'pauses seen on the console, together' },
    'go.memory.gc.pause.last': { kind: 'gauge', unit: 'ns', doc: 'both pauses of the last collection on the console' },
    'go.memory.heap.live': { kind: 'gauge', unit: 'By', doc: 'heap at the end of the last collection on the console' },
    'go.memory.heap.marked': { kind: 'gauge', unit: 'By', doc: 'what the last collection on the console left alive' },
    'go.memory.gc.goal': { kind: 'gauge', unit: 'By', doc: 'the goal of the last collection on the console' },
  },
  parse,
};
