// Stacks and call frame information that a compromised guest made up: walks end, in bounded time, with a typed end and nothing thrown.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { getArchitecture } from '../../src/arch/machines.ts';
import { openCfiIndex } from '../../src/dwarf/cfi-index.ts';
import type { Machine } from '../../src/model/machine.ts';
import type { Memory } from '../../src/model/target.ts';
import { createUnwinder } from '../../src/unwind/unwinder.ts';
import { symbolizerOfNothing } from './elf-guest.ts';

const TEXT = 0x10_0000n;
const STACK = 0x80_0000n;
const SIZE = 4096;
const LIMIT = 256;

interface Guest {
  readonly machine: Machine;
  readonly text: Uint8Array;
  readonly stack: Uint8Array;
  readonly cfi: Uint8Array;
  readonly registers: readonly bigint[];
}

const pointers = fc.oneof(
  fc.integer({ min: 0, max: SIZE - 1 }).map((offset) => STACK + BigInt(offset & ~7)),
  fc.integer({ min: 0, max: SIZE - 1 }).map((offset) => TEXT + BigInt(offset)),
  fc.constantFrom(0n, 1n, STACK, STACK + BigInt(SIZE), (1n << 64n) - 1n, (1n << 64n) - 8n, 1n << 63n),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
);

const words = fc.array(pointers, { minLength: SIZE / 8, maxLength: SIZE / 8 }).map((values) => {
  const view = new DataView(new ArrayBuffer(SIZE));
  values.forEach((value, index) => {
    view.setBigUint64(index * 8, value, true);
  });
  return new Uint8Array(view.buffer);
});

/** Instructions that keep a walk going: rules and expressions that lead anywhere. */
const instructions = fc.array(
  fc.oneof(
    fc.tuple(fc.constant(0x0c), fc.nat(34), fc.nat(255)).map(([op, register, offset]) => [op, register, offset & 0x7f]),
    fc.tuple(fc.constantFrom(0x0d, 0x08, 0x07), fc.nat(34)).map((bytes) => [...bytes]),
    fc.tuple(fc.nat(34), fc.nat(127)).map(([register, offset]) => [0x80 | register, offset]),
    fc.tuple(fc.constant(0x09), fc.nat(34), fc.nat(34)).map((bytes) => [...bytes]),
    fc
      .tuple(fc.constantFrom(0x10, 0x16), fc.nat(34), fc.uint8Array({ maxLength: 20 }))
      .map(([op, register, expression]) => [...[op, register, expression.length], ...expression]),
    fc.uint8Array({ maxLength: 20 }).map((expression) => [0x0f, expression.length, ...expression]),
    // dup; skip −4: an expression without end
    fc.constant([0x0f, 6, 0x77, 0, 0x12, 0x2f, 0xfc, 0xff]),
    fc.uint8Array({ maxLength: 6 }).map((bytes) => [...bytes]),
  ),
  { maxLength: 12 },
);

/** A .debug_frame with one CIE and one FDE over all the text. */
function frameSection(cie: readonly number[], fde: readonly number[]): Uint8Array {
  const entry = (content: readonly number[]): number[] => {
    const padded = [...content, ...Array<number>((8 - (content.length % 8)) % 8).fill(0)];
    return [padded.length & 255, padded.length >> 8, 0, 0, ...padded];
  };
  const address = (value: bigint): number[] => [...new Uint8Array(new BigUint64Array([value]).buffer)];
  const head = entry([0xff, 0xff, 0xff, 0xff, 1, 0, 1, 0x78, 16, ...cie]);
  return Uint8Array.from([...head, ...entry([0, 0, 0, 0, ...address(TEXT), ...address(BigInt(SIZE)), ...fde])]);
}

const guests: fc.Arbitrary<Guest> = fc.record({
  machine: fc.constantFrom<Machine>('x86_64', 'aarch64', 'riscv64'),
  text: fc.oneof(
    fc.uint8Array({ minLength: SIZE, maxLength: SIZE }),
    // Calls everywhere: every return address is plausible.
    fc.constant(Uint8Array.from({ length: SIZE }, (_, index) => [0xff, 0xd0][index % 2]!)),
  ),
  stack: words,
  cfi: fc.tuple(instructions, instructions).map(([cie, fde]) => frameSection(cie.flat(), fde.flat())),
  registers: fc.array(pointers, { minLength: 34, maxLength: 34 }),
});

function walk(guest: Guest, options: { readonly withCfi: boolean }) {
  const { machine, text, stack, cfi, registers } = guest;
  const architecture = getArchitecture(machine);
  const memory: Memory = {
    read: (address, length) => {
      for (const [start, bytes] of [
        [TEXT, text],
        [STACK, stack],
      ] as const) {
        const offset = address - start;
        if (offset >= 0n && offset + BigInt(length) <= BigInt(SIZE))
          return bytes.subarray(Number(offset), Number(offset) + length);
      }
      return null;
    },
  };
  const values: Record<string, bigint> = {};
  architecture.dwarfRegisters.slice(0, 34).forEach((name, index) => {
    if (name !== undefined) values[name] = registers[index]!;
  });
  values[architecture.pc] = TEXT + (registers[33]! & 0xfffn);
  values[architecture.sp] = STACK + (registers[32]! & 0xff8n);
  const index = openCfiIndex({
    base: TEXT,
    addressSize: 8,
    sections: options.withCfi ? [{ kind: 'debug_frame', bytes: cfi, address: 0n }] : [],
  });
  const end = TEXT + BigInt(SIZE);
  const modules = [{ base: TEXT, end, loadBias: 0n, text: [{ start: TEXT, end }], cfi: index }];
  return createUnwinder({ modules, rules: [], symbolizer: symbolizerOfNothing }).unwind({ machine, values }, memory);
}

describe.each([true, false])('a made-up stack, with CFI: %s', (withCfi) => {
  it('ends after a bounded number of frames, for a reason, and never where it has been', () => {
    fc.assert(
      fc.property(guests, (guest) => {
        const { frames, end } = walk(guest, { withCfi });
        expect(frames.length).toBeLessThanOrEqual(LIMIT);
        expect(['outermost', 'unreadable', 'no-rule', 'loop', 'limit']).toContain(end);
        for (const { pc, cfa } of frames) {
          expect(pc).toBe(BigInt.asUintN(64, pc));
          if (cfa !== null) expect(cfa).toBe(BigInt.asUintN(64, cfa));
        }
      }),
      { numRuns: 1500 },
    );
  });
});

describe('a frame that leads to itself', () => {
  it.each<[string, number[]]>([
    ['by a CFA that is the stack pointer', [0x0c, 7, 0, 0x80 | 16, 0]],
    ['by an expression that gives the same CFA for ever', [0x0f, 2, 0x77, 0, 0x80 | 16, 0]],
    ['by a stack pointer that is not changed', [0x0c, 7, 8, 0x08, 7, 0x90, 1]],
  ])('%s ends the walk as a loop or at once', (_, cie) => {
    const stack = new Uint8Array(SIZE);
    const view = new DataView(stack.buffer);
    for (let at = 0; at < SIZE; at += 8) view.setBigUint64(at, TEXT + 64n, true);
    const text = new Uint8Array(SIZE).fill(0x90);
    const registers = Array.from({ length: 34 }, () => 64n);
    const { frames, end } = walk({ machine: 'x86_64', text, stack, cfi: frameSection(cie, []), registers }, { withCfi: true });
    expect(frames.length).toBeLessThan(70);
    expect(['loop', 'no-rule', 'outermost', 'unreadable']).toContain(end);
  });
});
