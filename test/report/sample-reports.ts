// Reports made by hand, with something in every field: what the tests of the forms render.

import type { Crash } from '../../src/model/crash.ts';
import type { Frame } from '../../src/model/frame.ts';
import type { Sample } from '../../src/model/metric.ts';
import type { Report, Run } from '../../src/model/report.ts';
import type { Series } from '../../src/model/snapshot.ts';
import { makeReport } from '../../src/report/report.ts';

/** 2026-11-21T12:00:00Z. */
export const NOON = 1_795_262_400_000;
export const CONTEXT = { version: '0.1.0', root: '/home/me/guest' };

const MiB = 1024 ** 2;

/** A frame in `src/<file>`; without a file one of a library without debug info. */
export function frame(index: number, name: string, file: string | null, line: number | null): Frame {
  return {
    ...{ index, pc: 0x1000n + BigInt(index) * 0x10n, trust: index === 0 ? 'registers' : 'cfi', cfa: null },
    ...{ function: name, functionOffset: 4, file: file === null ? null : `/build/src/${file}`, line, column: 5 },
    ...{ inlined: false, module: 'guest.elf', status: 'symbolicated' },
  };
}

const NULL_CRASH: Crash = {
  kind: 'fault',
  title: 'null dereference in handle (server.c:41)',
  message: 'page fault (#PF)',
  signature: '2e888a765c90ced7',
  alternatives: ['00aa00aa00aa00aa'],
  witness: 'console',
  unikernel: 'demo',
  runtime: null,
  vcpu: 0,
  faultAddress: 0x10n,
  registers: { machine: 'x86_64', values: { rip: 0x1000n, rsp: 0x8000n, rax: 0xffff_ffff_ffff_fff0n } },
  frames: [frame(0, 'memcpy', null, null), frame(1, 'handle', 'server.c', 41), frame(2, 'main', 'main.c', 7)],
  guiltyFrame: 1,
  corrupted: null,
  consoleLines: { first: 2, last: 3 },
};

const sample = (name: string, value: number | null, unit: string): Sample => ({
  ...{ name, value, unit, attributes: {}, kind: 'gauge', absent: value === null ? 'no probe knows it' : null, probe: 'test' },
});

const series = (name: string, values: readonly (number | null)[], unit = 'By'): Series => ({
  latest: sample(name, values.at(-1) ?? null, unit),
  at: NOON,
  times: values.map((_, index) => NOON - (values.length - index) * 1000),
  values,
});

const HISTORY = [
  series('unikernel.memory.used', [10 * MiB, 20 * MiB, null, 60 * MiB]),
  series('unikernel.memory.limit', [64 * MiB, 64 * MiB, 64 * MiB, 64 * MiB]),
  series('go.memory.gc.cycles', [1, 2, 4, 9], '{cycle}'),
];

/** A crash of a guest that was launched: all that can be told. */
export const FAULT: Report = makeReport({
  source: 'demo',
  seenAt: NOON,
  unikernel: 'demo',
  target: {
    ...{ name: 'demo', kind: 'live', pid: 4711, machine: 'x86_64', accelerator: 'tcg', vcpus: 1, memoryBytes: 128 * MiB },
    ...{ unikernel: 'demo', unikernelTitle: 'demo guest', memoryReader: 'memfd', readStopsGuest: false, console: 'chardev' },
  },
  launch: {
    ...{ command: ['qemu-system-x86_64', '-kernel', 'guest.elf'], startedAt: NOON - 5000, durationMs: 5000, bootMs: 700 },
    ...{ qemuExit: { status: 1, signal: null }, qemuOutput: ['warning: host does not support it'] },
  },
  images: [
    {
      ...{ path: 'guest.elf', machine: 'x86_64', buildId: 'c6ad3528eb75', base: 0x1000n, end: 0x9000n, loadBias: 0n },
      ...{ match: 'build-id', placedBy: 'link address' },
    },
  ],
  crashes: [
    NULL_CRASH,
    { ...NULL_CRASH, kind: 'panic', title: 'double fault', signature: 'ffff', frames: [], guiltyFrame: null },
  ],
  stacks: [
    { name: 'vcpu 0', kind: 'vcpu', id: '0', state: 'running', frames: NULL_CRASH.frames, end: 'outermost', torn: false },
    {
      name: 'idle',
      kind: 'thread',
      id: '2',
      state: 'sleeping',
      frames: [frame(0, 'wait', 'sched.c', 9)],
      end: 'no-rule',
      torn: true,
    },
  ],
  registers: [{ vcpu: 0, registers: { machine: 'x86_64', values: { rip: 0x1000n } } }],
  metrics: [...HISTORY.map(({ latest }) => latest), sample('unikernel.memory.free', null, 'By')],
  history: HISTORY,
  findings: [{ check: 'memory-full', severity: 'critical', message: 'memory is 94 % full', active: true }],
  expectations: [
    { text: 'console ~ /listening/', state: 'met', reason: 'line 1' },
    { text: 'go.memory.gc.cycles > 20', state: 'failed', reason: 'it was 9' },
    { text: 'no dropped packets', state: 'undecided', reason: 'nobody measures it' },
  ],
  guestExit: { code: 3, how: 'the program exited 3' },
  console: {
    before: 40,
    lines: ['listening on 80', 'page fault at 0x10', 'halted'].map((text, index) => ({
      ...{ number: index + 1, source: 'console', text, partial: false, notes: [] },
    })),
  },
  sources: [
    {
      ...{ file: '/build/src/server.c', path: 'src/server.c', line: 41, firstLine: 40 },
      lines: ['int handle(struct request *r) {', '  return r->size;', '}'],
    },
  ],
  partial: 'the recording ends in the middle of a line',
  diagnostics: [{ code: 'image-unused', message: 'no address lies in other.elf' }],
});

/** Memory ran out, and much is known of it. */
export const OUT_OF_MEMORY: Report = makeReport({
  ...{ source: '128 MiB', seenAt: NOON, unikernel: 'demo', images: [], guestExit: null, diagnostics: [], history: HISTORY },
  crashes: [
    {
      ...NULL_CRASH,
      ...{
        kind: 'out-of-memory',
        title: 'out of memory in grow (cache.c:9)',
        message: 'out of memory',
        signature: 'ccac0dcbda91a777',
      },
      frames: [frame(0, 'panic', 'panic.c', 3), frame(1, 'grow', 'cache.c', 9)],
    },
  ],
  outOfMemory: {
    allocating: {
      stack: {
        name: 'worker',
        kind: 'thread',
        id: '1',
        state: 'running',
        frames: NULL_CRASH.frames,
        end: 'outermost',
        torn: false,
      },
      ...{ asker: 1, bytes: 262144, by: 'it waits in alloc' },
    },
    heaps: [
      {
        ...{ heap: 'Go', by: 'type', totalBytes: 50 * MiB, rootsAbsent: null, probe: 'go' },
        rows: [{ name: '[]byte', count: 812, bytes: 40 * MiB }],
        roots: [{ name: 'main.cache', count: null, bytes: 39 * MiB }],
      },
    ],
    growth: [{ series: 'unikernel.memory.used', unit: 'By', from: 10 * MiB, to: 60 * MiB, overMs: 4000 }],
    remarks: ['OCaml keeps no types'],
  },
});

/** A deadlock: nothing on the console, stacks tell. */
export const HANG: Report = makeReport({
  ...{ source: 'hang', seenAt: null, unikernel: 'demo', images: [], guestExit: null, diagnostics: [], stacks: FAULT.stacks },
  crashes: [
    {
      ...NULL_CRASH,
      ...{
        kind: 'hang',
        title: 'deadlock between a and b',
        message: 'a waits for b\nb waits for a',
        signature: '939ffb5a1b382aaf',
      },
      ...{ consoleLines: null, witness: 'memory', faultAddress: null, registers: null, guiltyFrame: null },
    },
  ],
});

/** QEMU would not start. */
export const QEMU_FAILED: Report = makeReport({
  ...{
    source: 'qemu',
    seenAt: null,
    unikernel: null,
    images: [],
    guestExit: null,
    diagnostics: [],
    crashes: [],
    qemuFailed: true,
  },
  launch: {
    ...{ command: ['qemu-system-x86_64', '-nonsense'], startedAt: NOON, durationMs: 20, bootMs: null },
    ...{ qemuExit: { status: 1, signal: null }, qemuOutput: ['qemu-system-x86_64: -nonsense: invalid option'] },
  },
});

/** It did what it should. */
export const HEALTHY: Report = makeReport({
  ...{ source: 'healthy', seenAt: NOON, unikernel: 'demo', images: [], guestExit: { code: 0, how: 'the program exited 0' } },
  ...{ diagnostics: [], crashes: [], expectations: [{ text: 'exit', state: 'met', reason: 'it ended' }] },
});

/** Runs as `ci --repeat` tells them: only a healthy one passed. */
export function runsOf(reports: readonly Report[]): readonly Run[] {
  return reports.map((report, index) => {
    const passed = report.verdict === 'ok';
    return { name: `run ${index + 1}`, report, passed, bundle: passed ? null : `out/run-${index + 1}.unicrash` };
  });
}
