// Every row of every function against readelf, over all the ways gcc lays CFI down.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { getArchitecture } from '../../src/arch/machines.ts';
import { openCfiIndex } from '../../src/dwarf/cfi-index.ts';
import { cfiRows } from '../../src/dwarf/cfi-row.ts';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import { allFdes, compareWithReadelf } from './cfi-compare.ts';
import { compileVariant, makeScratch, VARIANTS } from './cfi-samples.ts';

const scratch = makeScratch();
afterAll(scratch.remove);

describe.each(Object.keys(VARIANTS))('%s', (variant) => {
  let path: string;
  beforeAll(() => {
    path = compileVariant(scratch.path, variant);
  });

  it('has the rows that readelf prints, for every FDE', () => {
    const compared = compareWithReadelf(path);
    expect(compared.differences).toEqual([]);
    expect(compared.rows).toBeGreaterThan(20);
  });

  it('finds each row by address, through the index', () => {
    const elf = openElf(path);
    const index = openIndex(elf);
    const wrong: string[] = [];
    for (const { fde, base } of allFdes(elf)) {
      for (const row of cfiRows(fde)) {
        for (const offset of [row.start, row.end - 1]) {
          const found = index.find(base + BigInt(offset));
          if (JSON.stringify(found?.row.cfa) !== JSON.stringify(row.cfa)) wrong.push(`0x${(base + BigInt(offset)).toString(16)}`);
        }
      }
      if (!index.startsAt(base + BigInt(fde.start))) wrong.push(`start of 0x${(base + BigInt(fde.start)).toString(16)}`);
    }
    elf.close();
    expect(wrong).toEqual([]);
    expect(index.diagnostics).toEqual([]);
  });
});

it('reads the whole C library as readelf does', () => {
  const compared = compareWithReadelf(execFileSync('gcc', ['-print-file-name=libc.so.6'], { encoding: 'utf8' }).trim());
  expect(compared.differences).toEqual([]);
  expect(compared.rows).toBeGreaterThan(10_000);
});

function openIndex(elf: ElfFile) {
  const sections = (['eh_frame', 'debug_frame'] as const).flatMap((kind) => {
    const section = elf.findSection(`.${kind}`);
    return section === null ? [] : [{ kind, bytes: elf.readSection(section), address: section.address }];
  });
  const header = elf.findSection('.eh_frame_hdr');
  return openCfiIndex({
    base: elf.origin,
    addressSize: getArchitecture(elf.machine!).addressSize,
    sections,
    header: header === null ? null : { bytes: elf.readSection(header), address: header.address },
  })!;
}
