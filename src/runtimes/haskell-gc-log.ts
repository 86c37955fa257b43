// GHC's collector log, +RTS -S (rts/Stats.c stat_endGC under VERBOSE_GC_STATS): one row a collection; times have three digits.

import type { GcLogFormat, GcLogLine } from '../model/gc-log.ts';

/** Bytes allocated, copied, live; user and elapsed time of the collection and in total; page faults; the generation. */
const ROW =
  /^ {0,12}(\d{1,15}) {1,12}(\d{1,15}) {1,12}(\d{1,15}) {1,12}\d{1,9}\.\d{3} {1,12}(\d{1,9}\.\d{3}) {1,12}\d{1,9}\.\d{3} {1,12}\d{1,9}\.\d{3} {1,12}\d{1,9} {1,12}\d{1,9} {1,4}\(Gen: {1,3}(\d{1,2})\)$/;

function parse(text: string): GcLogLine | null {
  const match = ROW.exec(text);
  if (match === null) return null;
  const [allocated, copied, live, elapsed, generation] = match.slice(1).map(Number) as [number, number, number, number, number];
  const pause = Math.round(elapsed * 1e9);
  return {
    set: { 'ghc.gc.pause.last': pause, 'ghc.memory.heap.live': live },
    add: {
      ...{ 'ghc.gc.pause.time': pause, 'ghc.memory.allocated': allocated, 'ghc.gc.copied': copied },
      // With -G3 and more the middle generations count as the oldest.
      [generation === 0 ? 'ghc.gc.minor.cycles' : 'ghc.gc.major.cycles']: 1,
    },
  };
}

/** GHC's log. */
export const haskellGcLog: GcLogFormat = {
  runtime: 'haskell',
  flag: '+RTS -S',
  words: ['(Gen: '],
  metrics: {
    'ghc.gc.major.cycles': { kind: 'counter', unit: '{cycle}', doc: 'collections of older generations seen on the console' },
    'ghc.gc.minor.cycles': {
      kind: 'counter',
      unit: '{cycle}',
      doc: 'collections of the youngest generation seen on the console',
    },
    'ghc.gc.pause.time': { kind: 'counter', unit: 'ns', doc: 'elapsed time of the collections seen on the console' },
    'ghc.gc.pause.last': { kind: 'gauge', unit: 'ns', doc: 'elapsed time of the last collection on the console' },
    'ghc.gc.copied': { kind: 'counter', unit: 'By', doc: 'bytes copied by the collections seen on the console' },
    'ghc.memory.allocated': { kind: 'counter', unit: 'By', doc: 'bytes allocated as the rows on the console say' },
    'ghc.memory.heap.live': { kind: 'gauge', unit: 'By', doc: 'live after the last collection on the console' },
  },
  parse,
};
