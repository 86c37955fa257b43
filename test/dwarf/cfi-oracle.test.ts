// Every row of every function against readelf, over all the ways gcc lays CFI down.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { getArchitecture } from '../../src/arch/machines.ts';
import { CfiReader } from '../../src/dwarf/cfi-entry.ts';
import { openCfiIndex } from '../../src/dwarf/cfi-index.ts';
import { type CfaRule, type CfiRow, cfiRows, type RegisterRule } from '../../src/dwarf/cfi-row.ts';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import { readelfFrames } from './cfi-readelf.ts';
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

function* allFdes(elf: ElfFile) {
  const { addressSize } = getArchitecture(elf.machine!);
  for (const kind of ['eh_frame', 'debug_frame'] as const) {
    const section = elf.findSection(`.${kind}`);
    if (section === null) continue;
    const reader = new CfiReader({ kind, bytes: elf.readSection(section), address: section.address }, elf.origin, addressSize);
    for (const entry of reader.entries()) if (entry.cieOffset !== null) yield { kind, base: elf.origin, fde: reader.fde(entry) };
  }
}

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

function compareWithReadelf(path: string): { differences: string[]; rows: number } {
  const elf = openElf(path);
  const names = getArchitecture(elf.machine!).dwarfRegisters;
  const mask = (1n << BigInt(elf.bits)) - 1n;
  const ours = [...allFdes(elf)];
  const theirs = readelfFrames(path);
  const differences: string[] = ours.length === theirs.length ? [] : [`${ours.length} FDEs, readelf has ${theirs.length}`];
  let count = 0;
  theirs.forEach((expected, index) => {
    const { fde, base } = ours[index]!;
    const at = (offset: number): bigint => (base + BigInt(offset)) & mask;
    const where = `${expected.section} 0x${expected.offset.toString(16)}`;
    if (expected.start !== at(fde.start) || expected.end !== at(fde.end)) differences.push(`${where}: range`);
    const rows = [...cfiRows(fde)];
    if (expected.rows.length > 0 && rows.length !== expected.rows.length) differences.push(`${where}: ${rows.length} rows`);
    expected.rows.forEach((wanted, number) => {
      count += 1;
      const row = rows[number];
      if (row === undefined) return;
      if (at(row.start) !== wanted.location) differences.push(`${where} row ${number}: at 0x${at(row.start).toString(16)}`);
      if (wordCfa(row.cfa, names) !== wanted.cfa)
        differences.push(`${where} row ${number}: CFA ${wordCfa(row.cfa, names)}, ${wanted.cfa}`);
      for (const [name, rule] of wanted.rules) {
        const said = wordRule(ruleOf(row, name, fde.cie.returnAddressColumn, names), names);
        if (said !== rule) differences.push(`${where} row ${number}: ${name} is ${said}, readelf says ${rule}`);
      }
    });
  });
  elf.close();
  return { differences: differences.slice(0, 20), rows: count };
}

function ruleOf(
  row: CfiRow,
  name: string,
  returnColumn: number,
  names: readonly (string | undefined)[],
): RegisterRule | undefined {
  return row.rules.get(name === 'ra' ? returnColumn : names.indexOf(name));
}

function signed(offset: number): string {
  return offset < 0 ? String(offset) : `+${offset}`;
}

function wordCfa(cfa: CfaRule | null, names: readonly (string | undefined)[]): string {
  if (cfa === null) return 'none';
  return cfa.kind === 'expression' ? 'exp' : `${names[cfa.register] ?? '?'}${signed(cfa.offset)}`;
}

/** readelf prints `u` both for "undefined" and for "nothing said". */
function wordRule(rule: RegisterRule | undefined, names: readonly (string | undefined)[]): string {
  switch (rule?.kind) {
    case undefined:
    case 'undefined':
      return 'u';
    case 'same-value':
      return 's';
    case 'offset':
      return `c${signed(rule.offset)}`;
    case 'val-offset':
      return `v${signed(rule.offset)}`;
    case 'register':
      return names[rule.register] ?? '?';
    case 'expression':
      return 'exp';
    case 'val-expression':
      return 'vexp';
  }
}
