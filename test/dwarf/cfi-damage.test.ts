// Call frame information that is cut short, damaged or made up: typed errors, bounded time, and the good entries still answer.

import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CfiReader, type CfiSection } from '../../src/dwarf/cfi-entry.ts';
import { type CfiIndex, openCfiIndex } from '../../src/dwarf/cfi-index.ts';
import { cfiRows } from '../../src/dwarf/cfi-row.ts';
import { openElf } from '../../src/elf/file.ts';
import { errorCode } from '../../src/model/error.ts';
import { compileVariant, makeScratch } from './cfi-samples.ts';

const scratch = makeScratch();
afterAll(scratch.remove);

interface Sample {
  readonly base: bigint;
  readonly section: CfiSection;
  readonly header: { readonly bytes: Uint8Array; readonly address: bigint } | null;
}

function sampleOf(variant: string, kind: CfiSection['kind']): Sample {
  const elf = openElf(compileVariant(scratch.path, variant));
  const section = elf.findSection(`.${kind}`)!;
  const header = elf.findSection('.eh_frame_hdr');
  const sample = {
    base: elf.origin,
    section: { kind, bytes: elf.readSection(section), address: section.address },
    header: header === null ? null : { bytes: elf.readSection(header), address: header.address },
  };
  elf.close();
  return sample;
}

/** Every entry, every row; returns how many rows. Errors other than CFI_MALFORMED are let through. */
function readAll(base: bigint, section: CfiSection): number {
  const reader = new CfiReader(section, base, 8);
  let rows = 0;
  try {
    for (const entry of reader.entries()) {
      try {
        if (entry.cieOffset === null) reader.cieAt(entry.offset);
        // A damaged advance may make rows without end; nobody reads them all.
        else for (const row of cfiRows(reader.fde(entry))) if (row.end > row.start) rows += 1;
      } catch (error) {
        if (errorCode(error) !== 'CFI_MALFORMED') throw error;
      }
    }
  } catch (error) {
    if (errorCode(error) !== 'CFI_MALFORMED') throw error;
  }
  return rows;
}

function open(sample: Sample, bytes: Uint8Array, header: Uint8Array | null = sample.header?.bytes ?? null): CfiIndex | null {
  return openCfiIndex({
    base: sample.base,
    addressSize: 8,
    sections: [{ ...sample.section, bytes }],
    header: header === null || sample.header === null ? null : { bytes: header, address: sample.header.address },
  });
}

describe.each<[string, CfiSection['kind']]>([
  ['eh_frame, no frame pointers', 'eh_frame'],
  ['debug_frame only, DWARF 5', 'debug_frame'],
  ['debug_frame only, 64-bit DWARF', 'debug_frame'],
])('%s (%s)', (variant, kind) => {
  let sample: Sample;
  let whole: number;
  beforeAll(() => {
    sample = sampleOf(variant, kind);
    whole = readAll(sample.base, sample.section);
  });

  it('cut at every length gives typed errors and no row that the whole does not have', () => {
    const { bytes } = sample.section;
    for (let length = 0; length < bytes.length; length += 1) {
      expect(readAll(sample.base, { ...sample.section, bytes: bytes.subarray(0, length) })).toBeLessThanOrEqual(whole);
    }
  });

  it('cut at any length answers look-ups without a throw', () => {
    const { bytes } = sample.section;
    for (let length = 1; length < bytes.length; length += 7) {
      const index = open(sample, bytes.subarray(0, length));
      expect(index?.find(sample.base + 0x100n)?.fde.end ?? 1).toBeGreaterThan(0);
    }
  });

  it('with any bytes changed gives typed errors in bounded time', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }), fc.nat(0x400), (changes, at) => {
        const bytes = Uint8Array.from(sample.section.bytes);
        for (const [where, value] of changes) bytes[where % bytes.length] = value;
        const started = performance.now();
        readAll(sample.base, { ...sample.section, bytes });
        open(sample, bytes)?.find(sample.base + BigInt(at));
        expect(performance.now() - started).toBeLessThan(1000);
      }),
      { numRuns: 400 },
    );
  });
});

describe('the search table', () => {
  let sample: Sample;
  const starts: bigint[] = [];
  beforeAll(() => {
    sample = sampleOf('eh_frame, no frame pointers', 'eh_frame');
    const reader = new CfiReader(sample.section, sample.base, 8);
    for (const entry of reader.entries())
      if (entry.cieOffset !== null) starts.push(sample.base + BigInt(reader.fde(entry).start));
  });

  it('of any content leads to the same answers as a scan', () => {
    const scanned = open(sample, sample.section.bytes, null)!;
    fc.assert(
      fc.property(
        fc.nat(sample.header!.bytes.length),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 8 }),
        (cut, changes) => {
          const header = Uint8Array.from(sample.header!.bytes.subarray(0, cut === 0 ? undefined : cut));
          for (const [where, value] of changes) header[where % header.length] = value;
          const index = open(sample, sample.section.bytes, header)!;
          for (const start of starts) expect(index.find(start)?.fde.offset).toBe(scanned.find(start)?.fde.offset);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('answers without reading the section from its start', () => {
    const bytes = Uint8Array.from(sample.section.bytes);
    const index = open(sample, bytes)!;
    expect(index.find(starts[0]!)).not.toBeNull();
    expect(index.diagnostics).toEqual([]);
  });
});

describe('the index over two sections', () => {
  it('keeps the good entries of a section with a bad one, and says so', () => {
    const sample = sampleOf('debug_frame only, DWARF 5', 'debug_frame');
    const reader = new CfiReader(sample.section, sample.base, 8);
    const fdes = [...reader.entries()].filter(({ cieOffset }) => cieOffset !== null);
    const bytes = Uint8Array.from(sample.section.bytes);
    const victim = fdes[1]!;
    bytes.fill(0x77, victim.offset + 4, victim.offset + 8);
    const index = open(sample, bytes)!;
    const found = fdes.map((entry) => index.find(sample.base + BigInt(reader.fde(entry).start)) !== null);
    expect(found).toEqual(fdes.map((entry) => entry !== victim));
    expect(index.diagnostics.map(({ code }) => code)).toEqual(['cfi-malformed']);
  });

  it('finds what only one of them has: trap vectors in .eh_frame, C code in .debug_frame', () => {
    const [vectors, code] = [
      sampleOf('eh_frame, no frame pointers', 'eh_frame'),
      sampleOf('debug_frame only, DWARF 2', 'debug_frame'),
    ];
    const base = vectors.base < code.base ? vectors.base : code.base;
    const index = openCfiIndex({ base, addressSize: 8, sections: [code.section, vectors.section] })!;
    for (const { section, base: origin } of [vectors, code]) {
      const reader = new CfiReader(section, origin, 8);
      for (const entry of reader.entries()) {
        if (entry.cieOffset === null) continue;
        expect(index.find(origin + BigInt(reader.fde(entry).start))).not.toBeNull();
      }
    }
  });
});
