// Collectors' logs on the console: lines that real programs printed (OpenJDK 17.0.15 and 21.0.12, Node 20.20 and 24.21, Go 1.19.8, GHC 9.0.2,
// OCaml 4.13.1 and 5.2.1), those of older releases as their sources print them.

import { describe, expect, it } from 'vitest';
import { GC_LOGS, openGcLog } from '../../src/runtimes/gc-log.ts';

const MIB = 1024 ** 2;

/** What lines tell, one after the other: the last value of each metric. */
function told(...lines: readonly string[]): Record<string, number | null> {
  const log = openGcLog();
  return Object.fromEntries(lines.flatMap((line) => log.push(line).map(({ name, value }) => [name, value])));
}

const LINES: readonly (readonly [what: string, lines: readonly string[], expected: Readonly<Record<string, number>>])[] = [
  [
    'Serial and Parallel, young and full',
    [
      '[0.199s][info][gc] GC(7) Pause Young (Allocation Failure) 12M->1M(46M) 1.442ms',
      '[0.367s][info][gc] GC(26) Pause Full (System.gc()) 9M->4M(15M) 12.196ms',
    ],
    {
      'jvm.gc.minor.cycles': 1,
      'jvm.gc.major.cycles': 1,
      'jvm.gc.pause.time': 13_638_000,
      'jvm.gc.pause.last': 12_196_000,
      'jvm.memory.heap.used': 4 * MIB,
      'jvm.memory.heap.committed': 15 * MIB,
    },
  ],
  [
    'G1: a concurrent cycle pauses, and is no full collection',
    [
      '[3.614s][info][gc] GC(0) Pause Young (Normal) (G1 Evacuation Pause) 6M->1M(48M) 367.077ms',
      '[0.154s][info][gc] GC(5) Concurrent Mark Cycle',
      '[0.195s][info][gc] GC(23) Pause Remark 13M->7M(16M) 0.644ms',
      '[0.197s][info][gc] GC(23) Pause Cleanup 10M->10M(16M) 0.031ms',
      '[0.197s][info][gc] GC(23) Concurrent Mark Cycle 5.806ms',
      '[2026-11-21T16:29:35.501+0000] GC(26) Pause Young (Prepare Mixed) (G1 Preventive Collection) 11M->11M(16M) 0.486ms',
    ],
    { 'jvm.gc.minor.cycles': 2, 'jvm.gc.pause.time': 368_238_000, 'jvm.memory.heap.used': 11 * MIB },
  ],
  [
    'ZGC, of one generation and of two',
    [
      '[0.801s][info][gc] GC(1) Garbage Collection (Warmup) 14M(29%)->4M(8%)',
      '[7.772s][info][gc] GC(7) Minor Collection (High Usage) 60M(94%)->14M(22%) 0.005s',
    ],
    { 'jvm.gc.major.cycles': 1, 'jvm.gc.minor.cycles': 1, 'jvm.memory.heap.used': 14 * MIB },
  ],
  [
    'Shenandoah: one cycle however many pauses',
    [
      '[1.109s][info][gc] GC(1) Pause Init Mark (unload classes) 0.008ms',
      '[1.121s][info][gc] GC(1) Pause Final Mark (unload classes) 0.043ms',
      '[1.121s][info][gc] GC(1) Concurrent cleanup 13M->2M(48M) 0.010ms',
      '[1.123s][info][gc] GC(1) Pause Init Update Refs 0.010ms',
      '[1.124s][info][gc] GC(1) Pause Final Update Refs 0.008ms',
    ],
    {
      'jvm.gc.major.cycles': 1,
      'jvm.gc.pause.time': 69_000,
      'jvm.memory.heap.used': 2 * MIB,
      'jvm.memory.heap.committed': 48 * MIB,
    },
  ],
  [
    'JDK 8, -XX:+PrintGC',
    [
      '[GC (Allocation Failure)  65536K->1024K(251392K), 0.0012345 secs]',
      '2026-11-21T16:29:35.501+0000: 1.234: [Full GC (System.gc())  2048K->512K(251392K), 0.0100000 secs]',
      '[GC pause (G1 Evacuation Pause) (young) 24.0M->3072.0K(256.0M), 0.0023450 secs]',
    ],
    {
      'jvm.gc.minor.cycles': 2,
      'jvm.gc.major.cycles': 1,
      'jvm.gc.pause.time': 13_579_500,
      'jvm.memory.heap.used': 3 * MIB,
      'jvm.memory.heap.committed': 256 * MIB,
    },
  ],
  [
    'V8, as Node 24 and Node 20 print it',
    [
      '[7573:0x35bdb000]      117 ms: Scavenge 4.7 (5.8) -> 4.5 (6.8) MB, pooled: 0 MB, 8.05 / 0.00 ms  (average mu = 1.000, current mu = 1.000) allocation failure; ',
      '[7586:0xaec2c00]     2050 ms: Mark-Compact 80.3 (111.1) -> 7.5 (42.5) MB, 444.09 / 0.00 ms  (+ 0.8 ms in 6 steps since start of marking, biggest step 0.2 ms, walltime since start of marking 454 ms) (average mu = 1.000, current mu = 1.000) finalize incremental marking via stack guard; GC in old space requested',
    ],
    {
      'v8js.gc.minor.cycles': 1,
      'v8js.gc.cycles': 1,
      'v8js.gc.pause.time': 452_140_000,
      'v8js.gc.pause.last': 444_090_000,
      'v8js.memory.heap.used': 7.5 * MIB,
      'v8js.memory.heap.size': 42.5 * MIB,
    },
  ],
  [
    'Go, which counts its cycles itself',
    [
      'gc 6 @0.085s 12%: 1.6+20+0.007 ms clock, 3.2+0/5.6/0+0.014 ms cpu, 15->19->9 MB, 17 MB goal, 0 MB stacks, 0 MB globals, 2 P',
      'gc 7 @0.107s 12%: 0.064+0.38+0.002 ms clock, 0.12+0/0.14/0.11+0.005 ms cpu, 9->9->8 MB, 19 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)',
    ],
    {
      'go.memory.gc.cycles': 7,
      'go.memory.gc.pause.last': 66_000,
      'go.memory.gc.pause.time': 1_673_000,
      'go.memory.heap.live': 9 * MIB,
      'go.memory.heap.marked': 8 * MIB,
      'go.memory.gc.goal': 19 * MIB,
    },
  ],
  [
    'GHC',
    [
      '    Alloc    Copied     Live     GC     GC      TOT      TOT  Page Flts',
      '  1042624    283968   2780360  0.000  0.000    0.034    0.177    0    0  (Gen:  0)',
      '  1041600    201880   1520896  0.001  0.015    0.004    0.004    0    0  (Gen:  1)',
      '     1144                      0.000  0.000',
    ],
    {
      'ghc.gc.minor.cycles': 1,
      'ghc.gc.major.cycles': 1,
      'ghc.gc.pause.time': 15_000_000,
      'ghc.gc.copied': 485_848,
      'ghc.memory.allocated': 2_084_224,
      'ghc.memory.heap.live': 1_520_896,
    },
  ],
  [
    'OCaml, when the program ends',
    [
      'allocated_words: 1500087',
      'minor_words: 1500087',
      'major_collections: 3',
      'forced_major_collections: 1',
      'heap_words: 61440',
    ],
    { 'ocaml.gc.minor.words': 1_500_087, 'ocaml.gc.major.cycles': 3, 'ocaml.gc.major.forced': 1, 'ocaml.gc.heap.size': 491_520 },
  ],
];

describe('the log of a collector', () => {
  it.each(LINES)('is understood: %s', (_what, lines, expected) => {
    expect(told(...lines)).toMatchObject(expected);
  });

  it.each([
    '[0.031s][info][gc] Using G1',
    '[723ms][info][gc,start    ] GC(0) Pause Young (Normal) (G1 Evacuation Pause)',
    '[0.399s][info][gc,phases      ] GC(26) Phase 4: Move objects 0.369ms',
    '[0.400s][info][gc,heap        ] GC(26) Tenured: 7871K(10944K)->4355K(10944K)',
    '  Gen  0        42 colls,     0 par    0.019s   0.101s     0.0024s    0.0434s',
    'GET /gc?MB, 12 ms clock, heap_words: many (Gen: 1)',
    'user_words: 17',
    `GC(${'9'.repeat(2000)}) Pause Young (x) 1M->1M(1M) 1.0ms`,
  ])('is not seen in %s', (line) => {
    expect(openGcLog().push(line)).toEqual([]);
  });

  it('tells only what was declared, in its unit, as counters and gauges', () => {
    const log = openGcLog();
    for (const [, lines] of LINES) {
      for (const { name, kind, unit, probe, absent } of lines.flatMap((line) => log.push(line))) {
        const declared = GC_LOGS.find(({ metrics }) => name in metrics)?.metrics[name];
        expect({ kind, unit, probe, absent }).toEqual({
          kind: declared?.kind,
          unit: declared?.unit,
          probe: 'console',
          absent: null,
        });
      }
    }
    expect(GC_LOGS.flatMap(({ metrics }) => Object.values(metrics)).filter(({ doc }) => doc === '')).toEqual([]);
  });

  it('counts anew after a reset', () => {
    const log = openGcLog();
    const line = LINES[0]![1][0]!;
    const cycles = (): unknown => log.push(line).find(({ name }) => name === 'jvm.gc.minor.cycles')?.value;
    expect([cycles(), cycles()]).toEqual([1, 2]);
    log.reset();
    expect(cycles()).toBe(1);
  });

  it('is read without harm when cut anywhere, and when hostile', () => {
    const log = openGcLog();
    const hostile = [
      'GC(1) Pause',
      ' (a)',
      ' 1M->',
      '9'.repeat(20),
      ' MB, ',
      '(Gen: ',
      ' ms clock, ',
      ' '.repeat(60),
      '[GC ',
      '1.',
    ];
    const lines = [
      ...LINES.flatMap(([, whole]) => whole.flatMap((line) => Array.from(line, (_, end) => line.slice(0, end)))),
      ...hostile.flatMap((a) => hostile.map((b) => `${a}${b}`.repeat(60).slice(0, 1024))),
    ];
    const started = performance.now();
    const values = lines.flatMap((line) => log.push(line).map(({ value }) => value));
    expect(values.every((value) => Number.isFinite(value))).toBe(true);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
