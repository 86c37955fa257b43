// Doug Lea's malloc 2.8.6 without locks, as in the libc of ocaml-solo5, which is built without debug information: where the words of its
// malloc_state `_gm_` and malloc_params `mparams` lie on 64 bits is from its source (malloc.c, "The mstate"). That it is one is tested by
// the symbol's size, by its magic, which both hold, and by sizes that agree. ocaml-solo5 adds a count of bytes in use as the last word.

import { defineProbe, type ProbeGuest } from '../../src/model/probe.ts';
import { takeDlmallocCensus } from './dlmalloc-census.ts';
import { readWordAt } from './typed.ts';

/** Bytes from the start of malloc_state. */
const AT = { dvsize: 8, topsize: 16, magic: 64, footprint: 856, maxFootprint: 864, footprintLimit: 872, inUse: 936 } as const;
/** Of malloc_state: as released, and with ocaml-solo5's word. */
const SIZE = 936;
const SIZE_WITH_COUNT = 944;
const NO_STATE = 'what lies at _gm_ is not the state of a dlmalloc 2.8.6, or it has not allocated yet';

export const dlmalloc = defineProbe({
  name: 'dlmalloc',
  doc: "the C heap of the program's libc",
  systems: ['solo5'],
  missing: ({ symbols }) => {
    const [state, parameters] = ['_gm_', 'mparams'].map((name) => symbols.findSymbol(name));
    if (state == null || parameters == null) return "the program's libc has no dlmalloc (no symbols _gm_ and mparams)";
    return state.size === SIZE || state.size === SIZE_WITH_COUNT
      ? null
      : `_gm_ has ${state.size} bytes: no dlmalloc 2.8.6 without locks`;
  },
  metrics: {
    'unikernel.malloc.footprint': { kind: 'gauge', unit: 'By', doc: 'memory that malloc holds, in use or not' },
    'unikernel.malloc.footprint.peak': { kind: 'gauge', unit: 'By', doc: 'the most that malloc ever held' },
    'unikernel.malloc.used': { kind: 'gauge', unit: 'By', doc: 'chunks in use, as this libc counts them' },
    'unikernel.malloc.top': {
      kind: 'gauge',
      unit: 'By',
      doc: 'free space at the end of the heap, where it can grow without asking',
    },
  },
  sample: (guest) => {
    const state = readState(guest);
    if (state === null) {
      const absent = { absent: NO_STATE };
      return {
        'unikernel.malloc.footprint': absent,
        'unikernel.malloc.footprint.peak': absent,
        'unikernel.malloc.used': absent,
        'unikernel.malloc.top': absent,
      };
    }
    return {
      'unikernel.malloc.footprint': state.footprint,
      'unikernel.malloc.footprint.peak': state.peak,
      'unikernel.malloc.used': state.inUse ?? {
        absent: 'this dlmalloc does not count chunks in use: they would have to be walked',
      },
      'unikernel.malloc.top': state.top,
    };
  },
  census: (guest) => {
    const state = readState(guest) === null ? null : guest.symbols.findSymbol('_gm_');
    return state === null ? null : takeDlmallocCensus(guest, state.address);
  },
});

interface State {
  readonly footprint: bigint;
  readonly peak: bigint;
  readonly top: bigint;
  readonly inUse: bigint | null;
}

function readState({ symbols, memory }: ProbeGuest): State | null {
  const [state, parameters] = ['_gm_', 'mparams'].map((name) => symbols.findSymbol(name));
  if (state == null || parameters == null) return null;
  const word = (offset: number): bigint | null => readWordAt(memory, state.address + BigInt(offset));
  const [magic, footprint, peak, top, designated] = [AT.magic, AT.footprint, AT.maxFootprint, AT.topsize, AT.dvsize].map(word);
  if (magic == null || footprint == null || peak == null || top == null || designated == null) return null;
  const isOne =
    magic !== 0n && magic === readWordAt(memory, parameters.address) && top + designated <= footprint && footprint <= peak;
  if (!isOne) return null;
  const inUse = state.size === SIZE_WITH_COUNT ? word(AT.inUse) : null;
  return { footprint, peak, top, inUse: inUse !== null && inUse <= footprint ? inUse : null };
}
