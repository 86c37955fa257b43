// Guests for the probes of language runtimes, as in guests.ts: the JVM, GHC, Lua, LING, the BEAM.

import { expect } from 'vitest';
import type { ProbeGuestSource } from './guests.ts';

/** Performance data of a JVM, as HotSpot lays them out: a prologue, and entries with a long or a text of eight bytes. */
const PERF_DATA = `
  typedef unsigned int u32;
  struct entry {
    u32 length, name_offset, vector_length;
    unsigned char type, flags, units, variability;
    u32 data_offset;
    char name[44];
    union { long number; char text[8]; } value;
  };
  #define NUMBER(name, value) {sizeof(struct entry), 20, 0, 'J', 0, 1, 2, 64, name, {.number = value}}
  #define TEXT(name, value) {sizeof(struct entry), 20, 8, 'B', 0, 5, 1, 64, name, {.text = value}}
  #define COLLECTOR(index, name, count, time, entry, exit) \\
    NUMBER("sun.gc.collector." index ".invocations", count), NUMBER("sun.gc.collector." index ".time", time), \\
    NUMBER("sun.gc.collector." index ".lastEntryTime", entry), NUMBER("sun.gc.collector." index ".lastExitTime", exit), \\
    TEXT("sun.gc.collector." index ".name", name)
  #define SPACE(path, name, used, capacity, limit) \\
    NUMBER(path ".used", used), NUMBER(path ".capacity", capacity), NUMBER(path ".maxCapacity", limit), TEXT(path ".name", name)
  struct area {
    unsigned char magic[4], byte_order, major, minor, accessible;
    u32 used, overflow;
    unsigned long time;
    u32 entry_offset, entries;
    struct entry entry[64];
  };
  #define AREA(...) {{0xca, 0xfe, 0xc0, 0xc0}, 1, 2, 0, 1, sizeof(struct area), 0, 9, 32, 34, {__VA_ARGS__}}`;

const SERIAL = `__attribute__((aligned(4096))) static struct area area = AREA(
  NUMBER("sun.os.hrt.frequency", 1000000), NUMBER("sun.os.hrt.ticks", 2500000),
  COLLECTOR("0", "young", 7, 900, 4000, 4250), COLLECTOR("1", "full", 2, 500, 3000, 3100),
  NUMBER("sun.gc.generation.0.capacity", 40960), NUMBER("sun.gc.generation.0.maxCapacity", 81920),
  SPACE("sun.gc.generation.0.space.0", "eden", 1000, 32768, 73728),
  SPACE("sun.gc.generation.0.space.1", "s0", 24, 8192, 8192),
  NUMBER("sun.gc.generation.1.capacity", 8192), NUMBER("sun.gc.generation.1.maxCapacity", 81920),
  SPACE("sun.gc.generation.1.space.0", "old", 76, 8192, 81920),
  TEXT("sun.gc.policy.name", "Copy:MSC"),
  NUMBER("java.cls.loadedClasses", 12), NUMBER("java.cls.unloadedClasses", 3),
  NUMBER("java.threads.live", 6), NUMBER("java.threads.daemon", 5))`;

const PERF_EXPECTED = {
  'jvm.gc.minor.cycles': 7,
  'jvm.gc.major.cycles': 2,
  'jvm.gc.pause.time': 1_400_000,
  'jvm.gc.pause.last': 250_000,
  'jvm.memory.heap.used': 1100,
  'jvm.memory.heap.committed': 49152,
  'jvm.memory.heap.limit': 163_840,
  'jvm.class.count': 9,
  'jvm.uptime': 2.5,
  'jvm.thread.count': [
    { value: 1, attributes: { 'jvm.thread.daemon': 'false' } },
    { value: 5, attributes: { 'jvm.thread.daemon': 'true' } },
  ],
  'jvm.safepoint.count': { absent: 'this JVM does not keep it' },
};

const JVM: readonly ProbeGuestSource[] = [
  {
    probe: 'jvm',
    variant: "found by HotSpot's table of its own fields",
    untyped: true,
    source: `${PERF_DATA}
      ${SERIAL};
      static struct area *start = &area;
      static struct { const char *type, *field; int is_static; unsigned long offset; void *address; } structs[] = {
        {"Klass", "_name", 0, 8, 0}, {"PerfMemoryMXBean", "_start", 1, 0, 0}, {"PerfMemory", "_end", 1, 0, 0},
        {"PerfMemory", "_start", 1, 0, &start}, {0}};
      void *gHotSpotVMStructs = structs;
      unsigned long gHotSpotVMStructEntryArrayStride = sizeof structs[0], gHotSpotVMStructEntryTypeNameOffset = 0,
        gHotSpotVMStructEntryFieldNameOffset = 8, gHotSpotVMStructEntryAddressOffset = 32;`,
    expected: PERF_EXPECTED,
  },
  {
    probe: 'jvm',
    variant: 'found by the symbol of its performance data; one collector for all generations',
    untyped: true,
    source: `${PERF_DATA}
      ${SERIAL.replace('Copy:MSC', 'Garbage1')};
      void *_ZN10PerfMemory6_startE = &area;`,
    expected: { ...PERF_EXPECTED, 'jvm.memory.heap.limit': 81920 },
  },
  {
    probe: 'jvm',
    variant: 'no performance data',
    untyped: true,
    source: 'void *_ZN10PerfMemory6_startE = 0;',
    expected: { 'jvm.gc.minor.cycles': { absent: expect.stringContaining('-XX:-UsePerfData') as string } },
  },
];

const GHC_SOURCE = `
  unsigned long mblocks_allocated = 5, n_alloc_blocks = 435;
  unsigned int n_capabilities = 2;
  struct { void *statsFile; unsigned int giveStats, maxStk, initialStk, chunk, chunkBuffer, maxHeap; } RtsFlags = {0, GIVE, 9, 128, 4096, 128, 512};
  struct {
    unsigned int gcs, major;
    long allocated, liveMax, largeMax, compactMax, slopMax, memoryMax, liveSum, copied, parCopied, parMax, balanced;
    long initCpu, initElapsed, mutatorCpu, mutatorElapsed, gcCpu, gcElapsed, cpu, elapsed;
    struct { unsigned int gen, threads; long allocated, live, large, compact, slop, memory, copied, rest[9]; } gc;
    long tail[13];
  } stats = {47, 6, 50603672, 1648824, 1319032, 0, 43008, 5242880, 6177272, 13013280, 0, 0, 0, 11, 12, 13, 14, 15, 35708907, 17, 18,
             {0, 1, 1042752, 680792, 139384, 0, 31912, 5242880, 291040, {0, 0, 1, 2, 8655767}}};`;

const GHC_EXPECTED = {
  'ghc.gc.major.cycles': 6,
  'ghc.gc.minor.cycles': 41,
  'ghc.gc.copied': 13_013_280,
  'ghc.memory.allocated': 50_603_672,
  'ghc.memory.heap.live': 680_792,
  'ghc.memory.heap.live.peak': 1_648_824,
  'ghc.memory.heap.large': 139_384,
  'ghc.memory.heap.used': 435 * 4096,
  'ghc.memory.heap.size': 5 * 1024 * 1024,
  'ghc.memory.heap.size.peak': 5_242_880,
  'ghc.memory.heap.limit': 512 * 4096,
  'ghc.capabilities': 2,
};

const GHC: readonly ProbeGuestSource[] = [
  {
    probe: 'ghc',
    variant: 'run with +RTS -T -M',
    untyped: true,
    source: GHC_SOURCE.replace('GIVE', '1'),
    expected: { ...GHC_EXPECTED, 'ghc.gc.pause.time': 35_708_907, 'ghc.gc.pause.last': 8_655_767 },
  },
  {
    probe: 'ghc',
    variant: 'as GHC 9.6 lays out its statistics',
    untyped: true,
    source: GHC_SOURCE.replace('GIVE', '1')
      .replace('rest[9]', 'rest[10]')
      .replace('tail[13]', 'tail[9]')
      .replace('{0, 0, 1, 2, 8655767}', '{0, 0, 0, 1, 2, 8655767}'),
    expected: { ...GHC_EXPECTED, 'ghc.gc.pause.time': 35_708_907, 'ghc.gc.pause.last': 8_655_767 },
  },
  {
    probe: 'ghc',
    variant: 'times are not taken',
    untyped: true,
    source: GHC_SOURCE.replace('GIVE', '0'),
    expected: { ...GHC_EXPECTED, 'ghc.gc.pause.time': { absent: expect.stringContaining('+RTS -T') as string } },
  },
];

/** A main thread and its global_State in one block, as lua_newstate makes them; `members` are those before the pointer back. */
function luaSource(name: string, header: string, members: string, values: string): string {
  return `
    typedef unsigned char u8;
    struct global_State;
    typedef struct lua_State { ${header} struct global_State *l_G; long rest[18]; } lua_State;
    typedef struct global_State { ${members} lua_State *mainthread; long rest[200]; } global_State;
    struct block { lua_State l; global_State g; };
    extern struct block block;
    struct block block = {{.tt = TT, .l_G = &block.g}, {${values}, .mainthread = &block.l}};
    lua_State *${name} = &block.l;`;
}

const LUA: readonly ProbeGuestSource[] = [
  {
    probe: 'lua',
    variant: 'Lua 5.4 with types',
    untyped: true,
    source: luaSource(
      'globalL',
      'void *next; u8 tt, marked, status, allowhook; unsigned short nci; void *top;',
      'void *frealloc, *ud; long totalbytes, GCdebt; unsigned long GCestimate; u8 gcstp;',
      '0, 0, 728569, -63051, 505905, 0',
    ).replace('TT', '8'),
    expected: { 'lua.memory.used': 665_518n, 'lua.gc.goal': 728_569n, 'lua.memory.live': 505_905, 'lua.gc.enabled': 1 },
  },
  {
    probe: 'lua',
    variant: 'Lua 5.1',
    untyped: true,
    source: luaSource(
      'L',
      'void *next; u8 tt, marked, status; void *top, *base;',
      'long words[14]; unsigned long GCthreshold, totalbytes;',
      '{0}, 1613000, 1525342',
    ).replace('TT', '8'),
    expected: {
      'lua.memory.used': 1_525_342n,
      'lua.gc.goal': 1_613_000n,
      'lua.gc.enabled': { absent: expect.stringContaining('-g') as string },
    },
  },
  {
    probe: 'lua',
    variant: 'LuaJIT',
    untyped: true,
    source: luaSource(
      'gL',
      'void *next; u8 marked, tt, ffid, status;',
      'void *allocf, *allocd; long total, threshold;',
      '0, 0, 1413121, 1413393',
    ).replace('TT', '6'),
    expected: { 'lua.memory.used': 1_413_121n, 'lua.gc.goal': 1_413_393n },
  },
  {
    probe: 'lua',
    variant: 'a variable of that name which is no lua_State',
    untyped: true,
    source: 'static long words[64] = {0, 8}; long *L = words;',
    expected: { 'lua.memory.used': { absent: expect.stringContaining('no lua_State') as string } },
  },
];

const ERLANG: readonly ProbeGuestSource[] = [
  {
    probe: 'ling',
    variant: 'two processes, three freed nodes',
    untyped: true,
    source: `
      typedef unsigned int u32;
      struct node { struct node *next; int index; u32 *starts, *ends; };
      struct entry { struct entry *next; u32 hash; const void *key; int klen; void *val; };
      unsigned long sys_stats_counters[6] = {1000, 20, 30, 40, 7, 500};
      const char *sys_stats_formats[6] = {"proc_main: %llu reductions made\\n", "io: %llu received\\n", "io: %llu sent\\n",
        "sched: %llu contexts switched\\n", "GC: %llu runs\\n", "GC: %llu words reclaimed\\n"};
      char *data_section_backup = (char *)0x100000, *free_pages_start = (char *)0x180000, *free_pages_end = (char *)0x200000;
      static struct node large = {0, 30}, second = {0, 2}, first = {&second, 2};
      struct { struct node *free[20]; } node_allocator = {{&large, 0, &first}};
      static u32 pids[2] = {1, 2};
      static struct entry b = {0, 1, &pids[1], 4, &b}, a = {&b, 2, &pids[0], 4, &a};
      static struct entry *buckets[32] = {[5] = &a};
      static struct { struct node *nodes; struct entry **buckets; int nr_buckets, count; } table = {&first, buckets, 32, 9};
      void *registry = &table;
      u32 next_proc_id = 9;`,
    expected: {
      'erlang.gc.cycles': [{ value: 7n, attributes: {} }],
      'erlang.gc.reclaimed': [{ value: 2000n, attributes: {} }],
      'erlang.reductions': [{ value: 1000n, attributes: {} }],
      'erlang.context_switches': [{ value: 40n, attributes: {} }],
      'erlang.console.io': [
        { value: 20n, attributes: { direction: 'receive' } },
        { value: 30n, attributes: { direction: 'transmit' } },
      ],
      'erlang.process.count': 2,
      'erlang.process.started': 9,
      'erlang.memory.size': 0x80000n,
      'erlang.memory.used': BigInt(0x80000 - 34 * 4096),
      'unikernel.memory.limit': 0x100000n,
      'unikernel.memory.free': BigInt(0x80000 + 34 * 4096),
    },
  },
  {
    probe: 'beam',
    variant: 'two schedulers and a dirty one',
    source: `
      typedef unsigned long Uint;
      typedef struct { Uint reclaimed, garbage_cols; } ErtsGCInfo;
      typedef struct { long words[7]; ErtsGCInfo gc_info; } ErtsSchedulerData;
      typedef union { ErtsSchedulerData esd; char align[128]; } ErtsAlignedSchedulerData;
      static ErtsAlignedSchedulerData data[2] = {{{{0}, {100, 5}}}, {{{0}, {20, 3}}}};
      ErtsAlignedSchedulerData *erts_aligned_scheduler_data = data;
      Uint erts_no_schedulers = 2;
      struct { int mutex; ErtsGCInfo info; } dirty_gc = {0, {7, 1}};
      struct { long list[4]; union { struct { long last; struct { int counter; } count; } tile; char algn[64]; } vola; } erts_proc = {{0}, {{0, {42}}}};`,
    expected: { 'erlang.gc.cycles': 9, 'erlang.gc.reclaimed': 1016, 'erlang.schedulers': 2, 'erlang.process.count': 42 },
  },
];

export const RUNTIME_GUESTS: readonly ProbeGuestSource[] = [...JVM, ...GHC, ...LUA, ...ERLANG];
