// A guest chooses its own program: whatever bytes stand in Go's tables, they are read within bounds of time and say less, or a typed
// error tells of it.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openElf } from '../../src/elf/file.ts';
import type { CodeImage, CodeTable } from '../../src/model/code-table.ts';
import { errorCode } from '../../src/model/error.ts';
import { go } from '../../src/runtimes/go.ts';
import { openCodeImage } from '../../src/symbolize/code-image.ts';
import { buildGo } from './go-process.ts';

const SOURCE = `
package main

import "os"

func main() { os.Stdout.WriteString("small\\n") }
`;

/** Milliseconds within which any damaged table must have answered; a whole one takes some. */
const TIME_LIMIT = 2000;
const LOOKUPS = 64;
const WORD = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
/** More by hand: UNIDBG_FUZZ_RUNS. */
const RUNS = Number(process.env.UNIDBG_FUZZ_RUNS ?? 400);
/** Parts of a patient. */
const PARTS = 5;

/** An image in memory that can be written to. */
interface Patient {
  readonly image: CodeImage;
  readonly bytes: Uint8Array;
  /** File offsets of parts worth damaging: [start, end). */
  readonly parts: readonly (readonly [number, number])[];
  readonly text: { readonly start: bigint; readonly size: number };
}

let patient: Patient;
let whole: readonly string[];
let remove = (): void => undefined;

beforeAll(() => {
  const program = buildGo(SOURCE, [], { CGO_ENABLED: '0' });
  remove = program.remove;
  patient = admit(program.stripped);
  whole = examine(patient.image, patient.text);
}, 120_000);
afterAll(() => {
  remove();
});

describe('Go tables', () => {
  it('that are whole answer every question', () => {
    expect(whole.filter((answer) => answer === 'nothing').length).toBeLessThan(LOOKUPS / 8);
    expect(whole.length).toBe(LOOKUPS);
  });

  it('with damage anywhere give typed errors or say less, soon', () => {
    let changed = 0;
    fc.assert(
      fc.property(damage(), (wounds) => {
        const healthy = wounds.map(({ at }) => patient.bytes[at]!);
        for (const { at, byte } of wounds) patient.bytes[at] = byte;
        const began = performance.now();
        try {
          if (examine(patient.image, patient.text).join() !== whole.join()) changed += 1;
        } finally {
          wounds.forEach(({ at }, index) => (patient.bytes[at] = healthy[index]!));
        }
        expect(performance.now() - began).toBeLessThan(TIME_LIMIT);
      }),
      { numRuns: RUNS },
    );
    // The damage is felt.
    expect(changed).toBeGreaterThan(100);
  });

  it('that are cut short give typed errors or say less, soon', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(8), (share, which) => {
        const ranges = patient.image.ranges.map((range, index) =>
          index === which % patient.image.ranges.length ? { ...range, size: Math.floor(range.size * share) } : range,
        );
        const isWithin = (address: bigint, length: number): boolean =>
          ranges.some((range) => address >= range.address && address + BigInt(length) <= range.address + BigInt(range.size));
        const readVirtual = (address: bigint, length: number): Uint8Array | null =>
          isWithin(address, length) ? patient.image.readVirtual(address, length) : null;
        const began = performance.now();
        examine({ ...patient.image, ranges, readVirtual }, patient.text);
        expect(performance.now() - began).toBeLessThan(TIME_LIMIT);
      }),
      { numRuns: 100 },
    );
  });

  it('step through stacks of any words within bounds', () => {
    const table = go.openCodeTable!(patient.image)!;
    const special = ['systemstack', 'mcall', 'morestack', 'asmcgocall', 'asyncPreempt', 'sigpanic', 'sigreturn', 'goexit'];
    const places = special.map((name) => table.findSymbol(`runtime.${name}`)!.address + 16n);
    fc.assert(
      fc.property(fc.constantFrom(...places), WORD, fc.array(WORD, { minLength: 8 }), (pc, sp, words) => {
        const values = { rsp: sp, rbp: words[0]!, r14: words[1]!, fs_base: words[2]!, rip: pc };
        const memory = { read: (address: bigint, length: number) => wordsAt(words, address, length) };
        const found = table.findSpecialCaller({ registers: { machine: 'x86_64', values }, pc, loadBias: 0n }, memory);
        expect(found === null || typeof found === 'string' || typeof found.registers.values.rip === 'bigint').toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

/** Bytes to write: anywhere, and more often where much hangs on them. */
function damage(): fc.Arbitrary<readonly { readonly at: number; readonly byte: number }[]> {
  const place = fc
    .tuple(fc.nat(PARTS - 1), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }))
    .map(([part, share]) => {
      const [start, end] = patient.parts[part]!;
      return start + Math.floor(share * (end - start));
    });
  const byte = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255));
  return fc.array(fc.record({ at: place, byte }), { minLength: 1, maxLength: 24 });
}

function admit(path: string): Patient {
  const elf = openElf(path);
  const source = openCodeImage(elf, elf.machine!);
  const bytes = new Uint8Array(readFileSync(path));
  const fileOffset = (address: bigint): number => {
    const segment = elf.segments.find(
      ({ type, virtualAddress, fileSize }) =>
        type === 1 && address >= virtualAddress && address < virtualAddress + BigInt(fileSize),
    )!;
    return segment.offset + Number(address - segment.virtualAddress);
  };
  const image: CodeImage = {
    ...source,
    readVirtual: (address, length) => {
      if (source.readVirtual(address, length) === null) return null;
      const at = fileOffset(address);
      return bytes.slice(at, at + length);
    },
  };
  const table = go.openCodeTable!(image)!;
  const pclntab = source.findSection('.gopclntab')!;
  const start = fileOffset(pclntab.address);
  const module = fileOffset(table.findSymbol('runtime.firstmoduledata')!.address);
  const functions = [...table.functions()];
  const last = functions.at(-1)!;
  const functab = start + Number(new DataView(bytes.buffer, start + 8 + 7 * 8, 8).getBigUint64(0, true));
  return {
    image,
    bytes,
    parts: [
      [start, start + 80],
      [functab, functab + 8 * functions.length],
      [functab + 8 * functions.length, start + pclntab.size],
      [start, start + pclntab.size],
      [module, module + 400],
    ],
    text: { start: functions[0]!.address, size: Number(last.address - functions[0]!.address) },
  };
}

/** Asks everything there is to ask; each answer in a word. Anything but a typed error is thrown on. */
function examine(image: CodeImage, text: Patient['text']): readonly string[] {
  const table = attempt(() => go.openCodeTable!(image));
  if (table === null) return ['none'];
  const answers: string[] = [];
  for (let index = 0; index < LOOKUPS; index += 1) {
    const address = text.start + BigInt(Math.floor((text.size * index) / LOOKUPS) + 3);
    answers.push(attempt(() => describeAt(table, address)) ?? 'error');
  }
  attempt(() => table.findSymbol('main.main'));
  attempt(() => table.findSymbol('runtime.ebss'));
  attempt(() => [...table.functions()].length);
  return answers;
}

function describeAt(table: CodeTable, address: bigint): string {
  const found = table.locate(address);
  const first = found[0];
  if (first === undefined) return 'nothing';
  return `${found.length} ${first.function ?? '?'} ${first.file ?? '?'}:${first.line ?? 0} ${table.stackDelta(address) ?? '?'}`;
}

function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (errorCode(error) === null) throw error;
    return null;
  }
}

function wordsAt(words: readonly bigint[], address: bigint, length: number): Uint8Array | null {
  if (length !== 8) return null;
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, words[Number(BigInt.asUintN(64, address) % BigInt(words.length))]!, true);
  return bytes;
}
