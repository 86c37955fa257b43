// What OCaml prints of its collector when a program ends, OCAMLRUNPARAM=v=0x400 (runtime/sys.c caml_do_exit): a line a number,
// words of 64 bits. It is all there is of a program that is over.

import type { GcLogFormat, GcLogLine } from '../model/gc-log.ts';

const LINE = /^(\w{5,30}): (\d{1,15})(?:\.\d{0,6})?$/;
const WORD = 8;

/** The metric of a name, and its unit in words or bytes. */
const NAMES: ReadonlyMap<string, readonly [metric: string, scale: number]> = new Map([
  ['minor_words', ['ocaml.gc.minor.words', 1]],
  ['promoted_words', ['ocaml.gc.promoted.words', 1]],
  ['major_words', ['ocaml.gc.major.words', 1]],
  ['minor_collections', ['ocaml.gc.minor.collections', 1]],
  ['major_collections', ['ocaml.gc.major.cycles', 1]],
  ['forced_major_collections', ['ocaml.gc.major.forced', 1]],
  ['compactions', ['ocaml.gc.compactions', 1]],
  ['heap_words', ['ocaml.gc.heap.size', WORD]],
  ['top_heap_words', ['ocaml.gc.heap.size.peak', WORD]],
]);

function parse(text: string): GcLogLine | null {
  const match = LINE.exec(text);
  const known = NAMES.get(match?.[1] ?? '');
  return known === undefined ? null : { set: { [known[0]]: Number(match?.[2]) * known[1] } };
}

/** OCaml's last words of its collector. */
export const ocamlGcLog: GcLogFormat = {
  runtime: 'ocaml',
  flag: 'OCAMLRUNPARAM=v=0x400 (printed when the program ends)',
  words: ['_words: ', '_collections: ', 'compactions: '],
  metrics: {
    'ocaml.gc.minor.words': { kind: 'counter', unit: '{word}', doc: 'words allocated in the minor heap, when the program ended' },
    'ocaml.gc.promoted.words': {
      kind: 'counter',
      unit: '{word}',
      doc: 'words that survived a minor collection, when the program ended',
    },
    'ocaml.gc.major.words': { kind: 'counter', unit: '{word}', doc: 'words allocated in the major heap, when the program ended' },
    'ocaml.gc.minor.collections': { kind: 'counter', unit: '{collection}', doc: 'minor collections, when the program ended' },
    'ocaml.gc.major.cycles': { kind: 'counter', unit: '{cycle}', doc: 'major cycles, when the program ended' },
    'ocaml.gc.major.forced': { kind: 'counter', unit: '{cycle}', doc: 'major cycles that the program asked for, when it ended' },
    'ocaml.gc.compactions': { kind: 'counter', unit: '{compaction}', doc: 'heap compactions, when the program ended' },
    'ocaml.gc.heap.size': { kind: 'gauge', unit: 'By', doc: 'size of the major heap, when the program ended' },
    'ocaml.gc.heap.size.peak': { kind: 'gauge', unit: 'By', doc: 'largest size of the major heap, when the program ended' },
  },
  parse,
};
