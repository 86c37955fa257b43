// What is measured of OCaml's collector, whichever of its runtimes it is.

/** Declared once for OCaml 4 and 5: what one of them has not is absent there. */
export const METRICS = {
  'ocaml.gc.minor.words': { kind: 'counter', unit: '{word}', doc: 'words allocated in the minor heaps' },
  'ocaml.gc.promoted.words': { kind: 'counter', unit: '{word}', doc: 'words that survived a minor collection' },
  'ocaml.gc.major.words': { kind: 'counter', unit: '{word}', doc: 'words allocated in the major heap, promoted ones included' },
  'ocaml.gc.allocated': { kind: 'counter', unit: 'By', doc: 'bytes allocated since the start: Gc.allocated_bytes' },
  'ocaml.gc.minor.collections': { kind: 'counter', unit: '{collection}', doc: 'minor collections' },
  'ocaml.gc.major.cycles': { kind: 'counter', unit: '{cycle}', doc: 'major cycles completed' },
  'ocaml.gc.major.forced': { kind: 'counter', unit: '{cycle}', doc: 'major cycles that the program asked for' },
  'ocaml.gc.compactions': { kind: 'counter', unit: '{compaction}', doc: 'heap compactions' },
  'ocaml.gc.heap.size': { kind: 'gauge', unit: 'By', doc: 'size of the major heap' },
  'ocaml.gc.heap.size.peak': { kind: 'gauge', unit: 'By', doc: 'largest size of the major heap so far' },
  'ocaml.gc.heap.live': { kind: 'gauge', unit: 'By', doc: 'blocks in the major heap that are not known to be dead' },
  'ocaml.gc.heap.free': { kind: 'gauge', unit: 'By', doc: 'blocks in the major heap that can be allocated' },
  'ocaml.gc.heap.fragments': { kind: 'gauge', unit: 'By', doc: 'bytes of the major heap that no block can use' },
  'ocaml.gc.heap.blocks': { kind: 'gauge', unit: '{block}', doc: 'live blocks in the major heap' },
  'ocaml.gc.heap.large': { kind: 'gauge', unit: 'By', doc: 'live blocks too large for a pool' },
  'ocaml.gc.heap.chunks': { kind: 'gauge', unit: '{chunk}', doc: 'pieces that the major heap is made of' },
  'ocaml.gc.minor.size': { kind: 'gauge', unit: 'By', doc: 'size of the minor heaps' },
  'ocaml.gc.custom': { kind: 'gauge', unit: 'By', doc: 'memory outside of the heap that blocks in it have announced' },
  'ocaml.gc.custom.speed': {
    kind: 'gauge',
    unit: '1',
    doc: 'part of a major cycle that custom blocks have earned since the last slice',
  },
  'ocaml.domains': { kind: 'gauge', unit: '{domain}', doc: 'domains that run' },
  'ocaml.domain.minor.words': { kind: 'counter', unit: '{word}', doc: 'words allocated in the minor heap of each domain' },
  'ocaml.domain.promoted.words': {
    kind: 'counter',
    unit: '{word}',
    doc: 'words of each domain that survived a minor collection',
  },
  'ocaml.domain.major.words': { kind: 'counter', unit: '{word}', doc: 'words that each domain allocated in the major heap' },
  'ocaml.domain.heap.size': { kind: 'gauge', unit: 'By', doc: 'part of the major heap that each domain owns' },
  'ocaml.domain.heap.live': { kind: 'gauge', unit: 'By', doc: 'blocks that each domain owns and that are not known to be dead' },
} as const;

/** Names of what is measured. */
export type OcamlMetric = keyof typeof METRICS;
