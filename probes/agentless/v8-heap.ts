// V8's heap cannot be read from outside: the constants that Node exports for debuggers (v8dbg_*, V8's tools/gen-postmortem-metadata.py)
// describe objects, not the heap's counters, and where those lie in an Isolate no build says. This probe says so, and what to do instead.

import { defineProbe } from '../../src/model/probe.ts';

const ABSENT = {
  absent:
    "V8 tells no debugger where its heap's counters are: start Node with --inspect and attach to the inspector, or with --trace-gc and read the console",
};

export const v8Heap = defineProbe({
  name: 'v8-heap',
  doc: "what would turn on the metrics of V8's heap: nothing of it can be read from outside",
  systems: ['v8'],
  missing: ({ symbols }) =>
    symbols.findSymbol('v8dbg_SmiTag') === null ? `no symbol v8dbg_SmiTag of V8. Anyhow, ${ABSENT.absent}` : null,
  metrics: {
    'v8js.gc.cycles': { kind: 'counter', unit: '{cycle}', doc: 'major collections' },
    'v8js.gc.minor.cycles': { kind: 'counter', unit: '{cycle}', doc: 'minor collections' },
    'v8js.gc.pause.time': { kind: 'counter', unit: 'ns', doc: 'all collection pauses together' },
    'v8js.memory.heap.used': { kind: 'gauge', unit: 'By', doc: 'bytes in use on the heap' },
    'v8js.memory.heap.size': { kind: 'gauge', unit: 'By', doc: 'bytes that V8 holds for its heap' },
    'v8js.memory.heap.limit': { kind: 'gauge', unit: 'By', doc: 'bytes that the heap may grow to' },
  },
  sample: () => ({
    'v8js.gc.cycles': ABSENT,
    'v8js.gc.minor.cycles': ABSENT,
    'v8js.gc.pause.time': ABSENT,
    'v8js.memory.heap.used': ABSENT,
    'v8js.memory.heap.size': ABSENT,
    'v8js.memory.heap.limit': ABSENT,
  }),
});
