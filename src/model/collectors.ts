// Which metrics say the same of different garbage collectors: what `gc`, the GC panel and the checks are made from. A runtime whose
// collector is measured has a line here; a name that its probe does not have is null.

/** Metric names of one collector. Times are in their metric's own unit. */
export interface Collector {
  /** The language runtime, as people call it. */
  readonly title: string;
  /** Collections that were completed, whatever this runtime calls a whole one. */
  readonly cycles: string;
  /** Small collections between them, where there are generations. */
  readonly minorCycles: string | null;
  /** All pauses together. */
  readonly pauseTime: string | null;
  readonly pauseLast: string | null;
  /** Pauses by quantile (attribute `quantile`). */
  readonly pauses: string | null;
  /** Bytes in use, dead objects included. */
  readonly heapUsed: string;
  /** Bytes that survived the last collection. */
  readonly heapLive: string | null;
  /** Bytes the runtime holds for its heap. */
  readonly heapSize: string | null;
  /** Heap size at which the next collection is due. */
  readonly goal: string | null;
  /** How eager it is, in the runtime's own measure; negative = it is switched off. */
  readonly eagerness: string | null;
  /** The most that the heap may hold: beyond it the runtime gives up. */
  readonly limit: string | null;
  /** Bytes (or words) allocated since the start. */
  readonly allocated: string | null;
}

const NONE = {
  ...{ minorCycles: null, pauseTime: null, pauseLast: null, pauses: null },
  ...{ heapLive: null, heapSize: null, goal: null, eagerness: null, limit: null, allocated: null },
};

/** All collectors that are measured, from outside or over an inspector. */
export const COLLECTORS: readonly Collector[] = [
  {
    title: 'Go',
    cycles: 'go.memory.gc.cycles',
    minorCycles: null,
    pauseTime: 'go.memory.gc.pause.time',
    pauseLast: 'go.memory.gc.pause.last',
    pauses: 'go.memory.gc.pause',
    heapUsed: 'go.memory.heap.live',
    heapLive: 'go.memory.heap.marked',
    heapSize: 'go.memory.heap.size',
    goal: 'go.memory.gc.goal',
    eagerness: 'go.config.gogc',
    limit: null,
    allocated: 'go.memory.allocated',
  },
  {
    ...NONE,
    title: 'OCaml',
    cycles: 'ocaml.gc.major.cycles',
    minorCycles: 'ocaml.gc.minor.collections',
    heapUsed: 'ocaml.gc.heap.live',
    heapSize: 'ocaml.gc.heap.size',
    allocated: 'ocaml.gc.allocated',
  },
  {
    ...NONE,
    title: 'V8',
    cycles: 'v8js.gc.cycles',
    minorCycles: 'v8js.gc.minor.cycles',
    pauseTime: 'v8js.gc.pause.time',
    pauseLast: 'v8js.gc.pause.last',
    pauses: 'v8js.gc.pause',
    heapUsed: 'v8js.memory.heap.used',
    heapSize: 'v8js.memory.heap.size',
    limit: 'v8js.memory.heap.limit',
  },
  {
    ...NONE,
    title: 'JVM',
    cycles: 'jvm.gc.major.cycles',
    minorCycles: 'jvm.gc.minor.cycles',
    pauseTime: 'jvm.gc.pause.time',
    pauseLast: 'jvm.gc.pause.last',
    heapUsed: 'jvm.memory.heap.used',
    heapSize: 'jvm.memory.heap.committed',
    limit: 'jvm.memory.heap.limit',
  },
  {
    ...NONE,
    title: 'GHC',
    cycles: 'ghc.gc.major.cycles',
    minorCycles: 'ghc.gc.minor.cycles',
    pauseTime: 'ghc.gc.pause.time',
    pauseLast: 'ghc.gc.pause.last',
    heapUsed: 'ghc.memory.heap.used',
    heapLive: 'ghc.memory.heap.live',
    heapSize: 'ghc.memory.heap.size',
    limit: 'ghc.memory.heap.limit',
    allocated: 'ghc.memory.allocated',
  },
  {
    ...NONE,
    title: 'Erlang',
    cycles: 'erlang.gc.cycles',
    heapUsed: 'erlang.memory.used',
    heapSize: 'erlang.memory.size',
  },
  {
    ...NONE,
    title: 'Lua',
    cycles: 'lua.gc.cycles',
    heapUsed: 'lua.memory.used',
    heapLive: 'lua.memory.live',
    goal: 'lua.gc.goal',
  },
  {
    title: 'demo',
    cycles: 'unikernel.gc.cycles',
    minorCycles: null,
    pauseTime: 'unikernel.gc.pause.time',
    pauseLast: 'unikernel.gc.pause.last',
    pauses: null,
    heapUsed: 'unikernel.gc.heap.used',
    heapLive: 'unikernel.gc.heap.live',
    heapSize: 'unikernel.gc.heap.size',
    goal: null,
    eagerness: null,
    limit: null,
    allocated: 'unikernel.gc.allocated',
  },
];
