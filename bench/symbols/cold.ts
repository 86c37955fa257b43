// One address, from nothing: every tool is started for it, in turn, so that all of them meet the same disk cache and load.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { median, range } from '../statistics.ts';
import { formatMs, type Section } from '../table.ts';
import { residentAfterOne } from './coprocess.ts';
import type { Measured } from './locate.ts';
import { builtCommand } from './package.ts';

const ROUNDS = 11;
const GDB_ROUNDS = 3;

/** The table for one image; `address` is a link address with inlined calls. */
export async function measureCold(path: string, address: bigint): Promise<Section> {
  const hex = `0x${address.toString(16)}`;
  const lookUp = (command: string): string[] => [process.execPath, command, 'symbolize', '-f', '-i', '-e', path, hex];
  const tools: Record<string, readonly string[]> = {
    'unidbg symbolize, whole process': lookUp(builtCommand()),
    'unidbg symbolize in a clone, whole process': lookUp(join(import.meta.dirname, '../../src/cli/unidbg.js')),
    'node -e 0 (what Node takes to start)': [process.execPath, '-e', '0'],
    'eu-addr2line': ['eu-addr2line', '-f', '-i', '-e', path, hex],
    'llvm-symbolizer': ['llvm-symbolizer', '-f', '-i', '-e', path, hex],
    addr2line: ['addr2line', '-f', '-i', '-e', path, hex],
    gdb: ['gdb', '-nx', '-batch', '-ex', `info line *${hex}`, path],
  };
  const times = new Map<string, number[]>(Object.keys(tools).map((name) => [name, []]));
  const own: Measured[] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const measured = locateOnce(path, hex);
    if (round >= 0) own.push(measured);
    for (const [name, command] of Object.entries(tools)) {
      if (name === 'gdb' && round >= GDB_ROUNDS) continue;
      const ms = timeOf(command);
      if (round >= 0) times.get(name)!.push(ms);
    }
  }
  const inProcess = own.map(({ passes }) => passes[0]!);
  const resident = await residents(path, address);
  const llvm = median(times.get('llvm-symbolizer')!);
  const row = (name: string, values: readonly number[], bytes: number | undefined): string[] => [
    name,
    formatMs(median(values)),
    range(values).map(formatMs).join(' … '),
    (median(values) / llvm).toFixed(2),
    bytes === undefined ? '' : `${(bytes / 1e6).toFixed(0)} MB`,
  ];
  return {
    title: 'Symbols: one address, cold',
    about: `Function, file, line and inlined calls of one address in a kernel's debug image of 560 MB (DWARF 5), whose file is in the disk cache. Each tool is started ${ROUNDS} times (gdb ${GDB_ROUNDS}), in turn. "In process" is from opening the file to the answer.`,
    columns: ['tool', 'median', 'from … to', 'of llvm-symbolizer', 'memory'],
    rows: [
      row('unidbg, in process', inProcess, median(own.map(({ residentBytes }) => residentBytes))),
      ...[...times].map(([name, values]) => row(name, values, resident.get(name))),
    ],
    remarks: [],
  };
}

function locateOnce(path: string, hex: string): Measured {
  const { stdout } = spawnSync(process.execPath, [join(import.meta.dirname, 'locate.ts'), path, hex], { encoding: 'utf8' });
  return JSON.parse(stdout) as Measured;
}

function timeOf(command: readonly string[]): number {
  const started = performance.now();
  const { status, error } = spawnSync(command[0]!, command.slice(1), { stdio: ['ignore', 'ignore', 'ignore'] });
  if (error !== undefined || status !== 0) throw error ?? new Error(`${command.join(' ')} ended with ${status}`);
  return performance.now() - started;
}

async function residents(path: string, address: bigint): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const tool of ['eu-addr2line', 'llvm-symbolizer', 'addr2line']) {
    found.set(tool, await residentAfterOne([tool, '-f', '-i', '-e', path], address));
  }
  return found;
}
