// Every row of a file's call frame information against readelf's: for the samples of the tests, and for any file by
//   node test/dwarf/cfi-compare.ts FILE…

import { getArchitecture } from '../../src/arch/machines.ts';
import { CfiReader, type Fde } from '../../src/dwarf/cfi-entry.ts';
import { type CfaRule, type CfiRow, cfiRows, type RegisterRule } from '../../src/dwarf/cfi-row.ts';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import { errorMessage } from '../../src/model/error.ts';
import { readelfFrames } from './cfi-readelf.ts';

/** All FDEs of `elf`, in file order. */
export function* allFdes(elf: ElfFile): Generator<{ readonly base: bigint; readonly fde: Fde }> {
  const { addressSize } = getArchitecture(elf.machine!);
  for (const kind of ['eh_frame', 'debug_frame'] as const) {
    const section = elf.findSection(`.${kind}`);
    if (section === null) continue;
    const reader = new CfiReader({ kind, bytes: elf.readSection(section), address: section.address }, elf.origin, addressSize);
    for (const entry of reader.entries()) if (entry.cieOffset !== null) yield { base: elf.origin, fde: reader.fde(entry) };
  }
}

/** What is not as readelf says (the first 20), and how much was compared. */
export function compareWithReadelf(path: string): { differences: string[]; fdes: number; rows: number } {
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
    const rows = rowsOf(fde, (message) => differences.push(`${where}: ${message}`));
    // readelf prints rows that hold for no instruction; OCaml and Go have them.
    const wantedRows = expected.rows.filter(
      ({ location }, at) => location < expected.end && location !== expected.rows[at + 1]?.location,
    );
    if (wantedRows.length > 0 && rows.length !== wantedRows.length) differences.push(`${where}: ${rows.length} rows`);
    wantedRows.forEach((wanted, number) => {
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
  return { differences: differences.slice(0, 20), fdes: ours.length, rows: count };
}

function rowsOf(fde: Fde, complain: (message: string) => void): CfiRow[] {
  const rows: CfiRow[] = [];
  try {
    for (const row of cfiRows(fde)) rows.push(row);
  } catch (error) {
    complain(errorMessage(error));
  }
  return rows;
}

function ruleOf(
  row: CfiRow,
  name: string,
  returnColumn: number,
  names: readonly (string | undefined)[],
): RegisterRule | undefined {
  return row.rules.get(name === 'ra' ? returnColumn : names.indexOf(name === 'rflags' ? 'eflags' : name));
}

function signed(offset: number): string {
  return offset < 0 ? String(offset) : `+${offset}`;
}

function wordCfa(cfa: CfaRule | null, names: readonly (string | undefined)[]): string {
  // Nothing was said of the CFA; readelf shows what it began with.
  if (cfa === null) return `${names[0]!}+0`;
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

if (import.meta.main) {
  for (const path of process.argv.slice(2)) {
    const { fdes, rows, differences } = compareWithReadelf(path);
    console.log(`${path}: ${fdes} FDEs, ${rows} rows, ${differences.length} differences`);
    for (const difference of differences) console.log(`  ${difference}`);
    if (differences.length > 0) process.exitCode = 1;
  }
}
