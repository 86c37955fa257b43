// The BEAM from outside: what erlang:statistics(garbage_collection) sums up, kept by each scheduler (erts/emulator/beam/erl_gc.c,
// erl_process.h), and its processes (erl_ptab.h). Members are found by their types: distributions ship the emulator without them.

import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';
import { findGlobal, type TypedValue } from './typed.ts';

/** The emulator's own limit. */
const MAX_SCHEDULERS = 1024;
const WORD = 8;
const SCHEDULERS = 'erts_aligned_scheduler_data';
const NOT_KEPT = { absent: 'this release of the emulator does not keep it under a known name' };

export const beam = defineProbe({
  name: 'beam',
  doc: "the BEAM's collector and processes; written from its source",
  systems: ['erlang'],
  missing: ({ types, symbols }) => {
    if (types.findVariable(SCHEDULERS) !== null) return null;
    return symbols.findSymbol(SCHEDULERS) === null
      ? `no symbol ${SCHEDULERS}: give beam.smp with --symbols`
      : `no type for ${SCHEDULERS}: beam.smp was stripped; build it with -g, or print erlang:statistics/1 on the console`;
  },
  metrics: {
    'erlang.gc.cycles': { kind: 'counter', unit: '{cycle}', doc: "collections of processes' heaps, minor and major" },
    'erlang.gc.reclaimed': { kind: 'counter', unit: 'By', doc: 'bytes that collections freed' },
    'erlang.schedulers': { kind: 'gauge', unit: '{scheduler}', doc: 'schedulers (erl +S)' },
    'erlang.process.count': { kind: 'gauge', unit: '{process}', doc: 'processes that exist' },
  },
  sample: (guest) => {
    const schedulers = schedulersOf(guest);
    const dirty = findGlobal(guest, 'dirty_gc')?.member('info') ?? null;
    const over = (name: string): number | null =>
      sum([...schedulers.map((scheduler) => scheduler.member(`gc_info.${name}`)), dirty?.member(name) ?? null]);
    const reclaimed = over('reclaimed');
    return {
      'erlang.gc.cycles': over('garbage_cols') ?? NOT_KEPT,
      'erlang.gc.reclaimed': reclaimed === null ? NOT_KEPT : reclaimed * WORD,
      'erlang.schedulers': schedulers.length > 0 ? schedulers.length : NOT_KEPT,
      'erlang.process.count': processCount(guest),
    };
  },
});

/** Each is alone in a union with padding to a cache line. */
function schedulersOf(guest: ProbeGuest): readonly TypedValue[] {
  const all = findGlobal(guest, SCHEDULERS);
  const count = findGlobal(guest, 'erts_no_schedulers')?.number() ?? 0;
  return Array.from({ length: Math.max(0, Math.min(count, MAX_SCHEDULERS)) }, (_, index) => all?.at(index)?.member('esd')).filter(
    (scheduler) => scheduler != null,
  );
}

/** Atomics are plain integers, or alone in a structure. */
function processCount(guest: ProbeGuest): Reading {
  const count = findGlobal(guest, 'erts_proc')?.member('vola.tile.count') ?? null;
  return count?.number() ?? count?.member('counter')?.number() ?? NOT_KEPT;
}

/** Dirty schedulers are missing in older releases. */
function sum(values: readonly (TypedValue | null)[]): number | null {
  const numbers = values.map((value) => value?.number() ?? null).filter((value) => value !== null);
  return numbers.length === 0 ? null : numbers.reduce((total, value) => total + value, 0);
}
