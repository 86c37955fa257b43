// Solo5 (virtio): it allocates nothing itself. What it gives the program is the memory from heap_start (bindings/mem.c) to the end
// of RAM, where the stack grows down; ocaml-solo5's libc cuts its heap off from below (sbrk_start, sbrk_cur).

import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';
import { findGlobal } from './typed.ts';

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
  },
  sample: (guest) => {
    const [start, end] = ['heap_start', 'mem_size'].map((name) => findGlobal(guest, name)?.number() ?? null);
    return {
      'unikernel.memory.limit': start == null || end == null ? { absent: 'unreadable' } : end - start,
      'unikernel.memory.used': takenBySbrk(guest),
    };
  },
});

/** The libc is built without debug information: its words are found by symbol alone. */
function takenBySbrk(guest: ProbeGuest): Reading {
  const [start, current] = ['sbrk_start', 'sbrk_cur'].map((name) => readWord(guest, name));
  if (start == null || current == null)
    return { absent: "the program's libc is not ocaml-solo5's: how much it took is not known" };
  return current - start;
}

function readWord({ symbols, memory }: ProbeGuest, name: string): bigint | null {
  const symbol = symbols.findSymbol(name);
  const bytes = symbol === null ? null : memory.read(symbol.address, 8);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}
