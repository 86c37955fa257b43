// Solo5 (virtio): it allocates nothing itself. What it gives the program is the memory from heap_start (bindings/mem.c) to the end
// of RAM, where the stack grows down; ocaml-solo5's libc cuts its heap off from below (sbrk_start, sbrk_cur).

import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';
import { findGlobal, readWord } from './typed.ts';

export const solo5 = defineProbe({
  name: 'solo5',
  doc: 'the memory Solo5 leaves to the program',
  systems: ['solo5'],
  missing: ({ types }) => {
    const untyped = ['heap_start', 'mem_size'].filter((name) => types.findVariable(name) === null);
    return untyped.length === 0 ? null : `no type for ${untyped.join(', ')}: Solo5's bindings were built without -g`;
  },
  metrics: {
    'unikernel.memory.limit': { kind: 'gauge', unit: 'By', doc: 'memory left to the program, stack included' },
    'unikernel.memory.used': { kind: 'gauge', unit: 'By', doc: "what the program's libc has taken of it, by sbrk" },
    'unikernel.memory.free': { kind: 'gauge', unit: 'By', doc: 'what it has not taken; the stack grows down into it' },
  },
  sample: (guest) => {
    const [start, end] = ['heap_start', 'mem_size'].map((name) => findGlobal(guest, name)?.number() ?? null);
    const limit = start == null || end == null ? null : end - start;
    const used = takenBySbrk(guest);
    return {
      'unikernel.memory.limit': limit ?? { absent: 'unreadable' },
      'unikernel.memory.used': used,
      'unikernel.memory.free': typeof used === 'bigint' && limit !== null ? BigInt(limit) - used : used,
    };
  },
});

/** The libc is built without debug information: its words are found by symbol alone. */
function takenBySbrk(guest: ProbeGuest): Reading {
  const [start, current] = ['sbrk_start', 'sbrk_cur'].map((name) => readWord(guest, name));
  if (start == null || current == null || current < start)
    return { absent: "the program's libc is not ocaml-solo5's: how much it took is not known" };
  return current - start;
}
