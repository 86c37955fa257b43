// What stands around a pc: source lines when the source is there, instructions otherwise.

import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, isAbsolute, join, resolve, sep } from 'node:path';
import { padAddress } from '../model/address.ts';
import type { Listing, ListingPlace } from '../model/event.ts';
import type { Machine } from '../model/machine.ts';
import type { Memory } from '../model/target.ts';

const LINES_BEFORE = 12;
const LINES_AFTER = 20;
const MAX_SOURCE_BYTES = 8 * 1024 * 1024;
const MAX_LINE = 400;
const INSTRUCTION_BYTES = 160;

/** Source lines around a location, or null when the file is not under any root (names from DWARF never lead outside of them). */
export function listSource({ file, line }: Pick<ListingPlace, 'file' | 'line'>, roots: readonly string[]): Listing | null {
  const path = file === null || line === null ? null : findSource(file, roots);
  if (path === null || line === null) return null;
  const lines = readFileSync(path, 'utf8').split(/\r?\n/);
  const first = Math.max(1, line - LINES_BEFORE);
  return {
    kind: 'source',
    title: `${file ?? path}:${line}`,
    lines: lines.slice(first - 1, line + LINES_AFTER).map((text, index) => ({
      number: first + index,
      address: null,
      text: text.replaceAll('\t', '    ').slice(0, MAX_LINE),
      current: first + index === line,
    })),
  };
}

/** Instructions from `pc` on, as they stand in guest memory. */
export async function listInstructions(machine: Machine, memory: Memory, pc: bigint, title: string): Promise<Listing> {
  // The disassembler is 1.5 MB of WASM: loaded when somebody wants to see instructions.
  const { disassemble } = await import('../arch/disassemble.ts');
  const bytes = readForward(memory, pc);
  const instructions = bytes.length === 0 ? [] : await disassemble(machine, bytes, pc);
  const lines = instructions.map(({ address, text }) => ({ number: null, address, text, current: address === pc }));
  const unreadable = { number: null, address: pc, text: `the memory at ${padAddress(pc)} cannot be read`, current: true };
  return { kind: 'disassembly', title, lines: lines.length > 0 ? lines : [unreadable] };
}

function readForward(memory: Memory, pc: bigint): Uint8Array {
  // The code may end with its page: take what there is.
  const toPageEnd = 4096 - Number(pc & 0xfffn);
  return memory.read(pc, INSTRUCTION_BYTES) ?? memory.read(pc, Math.min(INSTRUCTION_BYTES, toPageEnd)) ?? new Uint8Array();
}

/**
 * The file that a name from DWARF means: the name itself when it lies under a root, else its longest tail that exists under one
 * (a guest built elsewhere: `/build/x/src/app.c` is found as `src/app.c`).
 */
export function findSource(name: string, roots: readonly string[]): string | null {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  for (const root of roots) {
    const candidates = [
      ...(isAbsolute(name) ? [name] : []),
      ...parts.slice(0, 24).map((_, index) => join(root, ...parts.slice(index))),
    ];
    for (const candidate of candidates) {
      const path = realPathUnder(candidate, root);
      if (path !== null && basename(path) === parts.at(-1)) return path;
    }
  }
  return null;
}

function realPathUnder(path: string, root: string): string | null {
  try {
    const real = realpathSync(path);
    const base = realpathSync(resolve(root));
    const { size } = statSync(real);
    return real.startsWith(base + sep) && statSync(real).isFile() && size <= MAX_SOURCE_BYTES ? real : null;
  } catch {
    // Not there, or not for us: the next root.
    return null;
  }
}
