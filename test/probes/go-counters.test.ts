// Counters of a Go program that are read while a processor hands in what its cache has counted: they must not fall, unless it restarts.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { go } from '../../probes/agentless/go.ts';
import type { TypeSource } from '../../src/model/layout.ts';
import type { ProbeGuest } from '../../src/model/probe.ts';
import { createSymbolizer, type ImageSymbolizer, openImage, type SymbolImage } from '../../src/symbolize/symbolizer.ts';
import { Scratch } from '../elf/scratch.ts';
import { PROBE_GUESTS } from './guests.ts';

const inC = (name: string): string => name.replaceAll('.', '_DOT_');
const scratch = new Scratch();
let image: SymbolImage;
let symbols: ImageSymbolizer;
/** One for all samples of one program, as a session has it. */
let types: TypeSource;

beforeAll(() => {
  const { source } = PROBE_GUESTS.find(({ probe, variant }) => probe === 'go' && variant.includes('1.19'))!;
  scratch.write('guest.c', source);
  image = openImage(scratch.compile('guest', ['guest.c'], ['-g', '-O0', '-w', '-nostdlib', '-static', '-no-pie', '-Wl,-e,0']));
  symbols = createSymbolizer([{ image, loadBias: 0n, match: 'build-id', placedBy: 'test' }]);
  types = { findVariable: (name) => symbols.types.findVariable(inC(name)), findType: (name) => symbols.types.findType(name) };
});
afterAll(() => {
  image.close();
  scratch.remove();
});

/** Words of the guest that are changed, by address. */
type Changes = ReadonlyMap<bigint, { readonly size: 2 | 8; readonly value: bigint }>;

function guestWith(changes: Changes): ProbeGuest {
  const sections = image.elf.sections.filter(({ address, size }) => address !== 0n && size > 0);
  const read = (address: bigint, length: number): Uint8Array | null => {
    const section = sections.find((one) => address >= one.address && address + BigInt(length) <= one.address + BigInt(one.size));
    if (section === undefined) return null;
    const whole = image.elf.sectionSize(section) === section.size ? image.elf.readSection(section) : new Uint8Array(section.size);
    const bytes = Buffer.alloc(section.size, whole);
    for (const [place, { size, value }] of changes) {
      const at = Number(place - section.address);
      if (at >= 0 && at + size <= section.size) bytes.writeUIntLE(Number(value), at, Math.min(size, 6));
    }
    const at = Number(address - section.address);
    return bytes.subarray(at, at + length);
  };
  return { memory: { read }, types, symbols: { findSymbol: (name) => symbols.findSymbol(inC(name)) } };
}

it('keeps its counters when a cache has handed in what the totals do not show yet, and follows a restart', () => {
  const span = symbols.findSymbol('cached')!.address;
  const totals = symbols.types.findVariable('runtime_DOT_gcController')!;
  const members = totals.layout.kind === 'struct' ? totals.layout.members : [];
  const totalAlloc = totals.address + BigInt(members.find(({ name }) => name === 'totalAlloc')!.offset);
  const allocated = (changes: Changes): unknown => go.sample(guestWith(changes))['go.memory.allocated'];

  const before = allocated(new Map());
  expect(before).toBe(9880n + 64n);
  // allocCount as it was when the span was cached: two objects of 32 bytes are nowhere.
  const handedIn: Changes = new Map([[span + 16n, { size: 2, value: 4n }]]);
  expect(allocated(handedIn)).toBe(before);
  const later: Changes = new Map(handedIn).set(totalAlloc, { size: 8, value: 9880n + 500n });
  expect(allocated(later)).toBe(9880n + 500n);
  const anew: Changes = new Map(handedIn).set(totalAlloc, { size: 8, value: 100n });
  expect(allocated(anew)).toBe(100n);
});
