// Hand-made guests for the screen's tests: a healthy one, one with a null dereference, one that our debugger holds.

import type { Crash } from '../../src/model/crash.ts';
import type { ConsoleLine, Listing, TargetIdentity } from '../../src/model/event.ts';
import type { Frame, FrameTrust, Stack } from '../../src/model/frame.ts';
import type { Sample } from '../../src/model/metric.ts';
import { seriesKey } from '../../src/model/metric.ts';
import type { Registers } from '../../src/model/registers.ts';
import type { Series, Snapshot } from '../../src/model/snapshot.ts';
import type { GuestThread } from '../../src/model/thread.ts';

/** The moment all hand-made guests are looked at. */
export const NOW = Date.UTC(2026, 10, 21, 12, 0, 0);

function frame(index: number, pc: bigint, name: string | null, place: string | null, trust: FrameTrust, inlined = false): Frame {
  const [file = null, line = null] = place?.split(':') ?? [];
  return {
    index,
    pc,
    function: name,
    functionOffset: name === null ? null : 0x10 + index * 12,
    file: file === null ? null : `test/guests/${file}`,
    line: line === null ? null : Number(line),
    column: null,
    inlined,
    module: 'demo.elf',
    status: name === null ? 'no-symbol' : 'symbolicated',
    trust,
    cfa: null,
  };
}

export const REGISTERS: Registers = {
  machine: 'x86_64',
  values: {
    ...{ rax: 0xdeadbeefn, rbx: 0x1a0536n, rcx: 0x0n, rdx: 0x5n, rsi: 0x159750n, rdi: 0x8n, rbp: 0x1064fb0n, rsp: 0x1064f88n },
    ...{ r8: 0x407e13ffcn, r9: 0x1f8n, r10: 0n, r11: 0xfc0n, r12: 0n, r13: 0x690n, r14: 0x1a0320n, r15: 0x1a0330n },
    ...{ rip: 0x104b6f5n, eflags: 0x246n, cr2: 0x8n, cr3: 0x1000n },
  },
};

const CRASH_FRAMES: readonly Frame[] = [
  frame(0, 0x104b6f5n, 'queue_push', 'queue.h:31', 'registers', true),
  frame(1, 0x104b6f5n, 'handle_request', 'server.c:41', 'registers'),
  frame(2, 0x104b812n, 'serve_connection', 'server.c:77', 'cfi'),
  frame(3, 0x104c00en, 'network_poll', 'net/virtio_net.c:203', 'cfi'),
  frame(4, 0x104a26dn, 'thread_main', 'thread.c:88', 'frame-pointer'),
  frame(5, 0x1049010n, null, null, 'scan'),
];

export const CRASH: Crash = {
  kind: 'fault',
  title: 'null dereference in handle_request (server.c:41)',
  message: 'page fault: write to 0x8 (error code 0x2), rip 0x104b6f5',
  alternatives: [],
  signature: 'fault:handle_request',
  witness: 'console',
  unikernel: 'demo',
  runtime: null,
  vcpu: 0,
  faultAddress: 0x8n,
  registers: REGISTERS,
  frames: CRASH_FRAMES,
  guiltyFrame: 0,
  corrupted: null,
  consoleLines: { first: 19, last: 26 },
};

export const LISTING: Listing = {
  kind: 'source',
  title: 'server.c',
  lines: [
    'static void handle_request(struct connection *connection)',
    '{',
    '\tstruct request *request = connection->pending;',
    '',
    '\t/* the free list may be empty here */',
    '\tstruct buffer *buffer = pool_take(&pool);',
    '',
    '\tbuffer->length = request->length;',
    '\tqueue_push(&connection->replies, buffer);',
    '\tstatistics.requests += 1;',
    '}',
  ].map((text, index) => ({ number: index + 34, address: null, text, current: index === 7 })),
};

const BOOT = [
  'unidbg demo guest 0.1 (x86-64, PVH)',
  '[    0.000120] memory: 64 MiB, kernel at 0x1000000-0x108f000',
  '[    0.000431] paging: own tables at 0x1080000, 2 MiB pages',
  '[    0.000902] traps: IDT at 0x108a000, 32 vectors',
  '[    0.001377] timer: PIT at 100 Hz',
  '[    0.002210] alloc: arena 0x1100000-0x3f00000',
  '[    0.004518] virtio-net: MAC 52:54:00:12:34:56, 256 descriptors',
  '[    0.006002] threads: main, gc, network, worker-0, worker-1',
  '[    0.010000] server: listening on udp 10.0.2.15:7',
  '[    1.000871] gc: cycle 1, 2.1 MiB freed in 412 us',
  '[    2.013004] gc: cycle 2, 3.8 MiB freed in 530 us',
  '[    2.500112] server: 100 requests',
  '[    3.021345] gc: cycle 3, 3.9 MiB freed in 498 us',
  '[    3.700500] net: packet from 10.0.2.2 port 40211, handler 0x104b6e0',
  '[    4.000210] server: 200 requests',
  '[    4.100432] alloc: pool "replies" is empty',
];

const PANIC = [
  '',
  '*** TRAP 14 (page fault) on vCPU 0, error code 0x2, address 0x0000000000000008',
  'RIP 000000000104b6f5  RSP 0000000001064f88  RFLAGS 00000246',
  'RAX 00000000deadbeef  RBX 00000000001a0536  RCX 0000000000000000  RDX 0000000000000005',
  'RSI 0000000000159750  RDI 0000000000000008  RBP 0000000001064fb0',
  'trace: 0x104b6f5 0x104b812 0x104c00e 0x104a26d',
  '*** system halted',
];

function consoleLine(text: string, index: number): ConsoleLine {
  const start = text.indexOf('0x104b6e0');
  const notes = start < 0 ? [] : [{ start, end: start + 9, text: 'handle_request (server.c:34)' }];
  return { number: index + 1, source: 'com1', text, partial: false, notes };
}

const IDENTITY: TargetIdentity = {
  name: 'demo',
  kind: 'live',
  pid: 4242,
  machine: 'x86_64',
  accelerator: 'tcg',
  vcpus: 1,
  memoryBytes: 64 * 1024 * 1024,
  unikernel: 'demo',
  unikernelTitle: 'unidbg demo guest',
  memoryReader: 'RAM via /proc/4242/mem',
  readStopsGuest: false,
  console: 'COM1, followed through the file demo.log from its first byte',
};

const STACKS: readonly Stack[] = [
  {
    name: 'vcpu 0',
    kind: 'vcpu',
    id: '0',
    state: 'halted',
    frames: [
      frame(0, 0x1041f2en, 'cpu_halt', 'arch/halt.S:12', 'registers'),
      frame(1, 0x1041a10n, 'idle_main', 'thread.c:141', 'cfi'),
      frame(2, 0x104a26dn, 'thread_main', 'thread.c:88', 'frame-pointer'),
    ],
    end: 'outermost',
    torn: false,
  },
  ...['main', 'gc', 'network', 'worker-0'].map(
    (name, index): Stack => ({
      name,
      kind: 'thread',
      id: String(index + 1),
      state: index === 3 ? 'runnable' : 'sleeping',
      frames: [
        frame(0, 0x1042000n + BigInt(index), 'thread_switch', 'arch/switch.S:20', 'registers'),
        frame(1, 0x1043000n + BigInt(index), index === 2 ? 'network_poll' : 'wait_ticks', 'thread.c:120', 'cfi'),
        frame(2, 0x1044000n, 'thread_main', 'thread.c:88', 'scan'),
      ],
      end: index === 1 ? 'no-rule' : 'outermost',
      torn: index === 2,
    }),
  ),
];

export const THREADS: readonly GuestThread[] = [
  thread('1', 'main', 'sleeping', 'tick 1200', null),
  thread('2', 'gc', 'blocked', 'mutex heap_lock', '4'),
  thread('3', 'network', 'waiting', 'packet', null),
  thread('4', 'worker-0', 'blocked', 'mutex queue_lock', '2'),
  thread('5', 'worker-1', 'running', null, null),
];

function thread(
  id: string,
  name: string,
  state: GuestThread['state'],
  waitingFor: string | null,
  blockedBy: string | null,
): GuestThread {
  return { id, name, state, waitingFor, blockedBy, registers: null, stack: null, cpuTimeNs: Number(id) * 312_000_000 };
}

type Given = Partial<Sample> & { values?: (number | null)[]; age?: number };

function series(name: string, unit: string, value: number | null, given: Given = {}): Series {
  const latest: Sample = {
    name,
    unit,
    value,
    attributes: given.attributes ?? {},
    kind: given.kind ?? 'gauge',
    absent: given.absent ?? null,
    probe: 'demo',
  };
  const values = given.values ?? Array.from({ length: 60 }, (_, index) => (value ?? 0) * (0.5 + ((index * 7) % 11) / 20));
  const at = NOW - (given.age ?? 400);
  return { latest, at, times: values.map((_, index) => at - (values.length - index) * 1000), values };
}

const ALL_SERIES: readonly Series[] = [
  series('system.cpu.time', 's', 12.41, { kind: 'counter', attributes: { cpu: '0' }, values: [10, 10.2, 10.9, 11, 11.8, 12.41] }),
  series('process.memory.usage', 'By', 91_234_304),
  series('unikernel.memory.heap.used', 'By', 13_002_752),
  series('unikernel.memory.limit', 'By', 48_234_496, { values: Array.from({ length: 20 }, () => 48_234_496) }),
  series('unikernel.gc.cycles', '{cycle}', 3, { kind: 'counter', values: [0, 0, 1, 1, 1, 2, 2, 3] }),
  series('unikernel.gc.pause', 'us', 498),
  series('system.network.io', 'By', 60_211, { kind: 'counter', attributes: { device: 'net0', direction: 'receive' } }),
  series('system.network.packet.count', '{packet}', 1204, { kind: 'counter', attributes: { device: 'net0' }, age: 9000 }),
  series('go.goroutine.count', '{goroutine}', null, { absent: 'this guest has no Go runtime' }),
  series('vcpu.exits', '{exit}', null, { absent: 'QEMU counts exits under KVM only: -accel kvm' }),
];

/** What a snapshot may differ in. */
export function makeSnapshot(given: Partial<Snapshot> = {}): Snapshot {
  return {
    at: NOW,
    identity: IDENTITY,
    vm: { status: 'running', reason: null, since: NOW - 60_000 },
    images: [
      {
        path: 'build/demo.elf',
        machine: 'x86_64',
        buildId: 'c0ffee',
        base: 0x1000000n,
        end: 0x108f000n,
        loadBias: 0n,
        match: 'build-id',
        placedBy: 'link address',
      },
    ],
    console: BOOT.map(consoleLine),
    consoleDropped: 0,
    registers: [{ vcpu: 0, registers: REGISTERS }],
    stacks: STACKS,
    stacksAt: NOW - 900,
    threadsAt: NOW - 900,
    threads: THREADS,
    sockets: null,
    network: null,
    findings: [],
    metrics: new Map(ALL_SERIES.map((one) => [seriesKey(one.latest), one])),
    outOfMemory: null,
    guestExit: null,
    crashes: [],
    stop: null,
    memory: null,
    listing: null,
    evaluations: [],
    diagnostics: [],
    lost: 0,
    ...given,
  };
}

/** The guest after its null dereference; QEMU keeps it running in a halt loop. */
export function makeCrashed(given: Partial<Snapshot> = {}): Snapshot {
  return makeSnapshot({
    vm: { status: 'crashed', reason: 'guest-panicked', since: NOW - 2000 },
    console: [...BOOT, ...PANIC.slice(0, 1), ...['', ''], ...PANIC.slice(1), ''].map(consoleLine),
    crashes: [CRASH],
    listing: { place: CRASH_FRAMES[0]!, listing: LISTING },
    diagnostics: [{ code: 'guest-panicked', message: 'QEMU says that the guest panicked' }],
    ...given,
  });
}

/** `count` lines of console. */
export function manyLines(count: number): readonly ConsoleLine[] {
  return Array.from({ length: count }, (_, index) =>
    consoleLine(`[${(index / 100).toFixed(6).padStart(12)}] line ${index + 1} of the log`, index),
  );
}
