// A window of guest memory for a person to look at: what can be read, and which parts cannot.

import { parseAddress } from '../model/address.ts';
import { UnidbgError } from '../model/error.ts';
import type { MemoryWindow } from '../model/event.ts';
import type { Registers } from '../model/registers.ts';
import type { Symbolizer } from '../model/symbolizer.ts';
import type { Memory } from '../model/target.ts';

const PAGE = 4096n;
const MAX_LENGTH = 1024 * 1024;

/** Reads a window page by page: an unmapped page leaves a hole, not an error. */
export function readWindow(memory: Memory, address: bigint, length: number): MemoryWindow {
  const bytes = new Uint8Array(Math.min(length, MAX_LENGTH));
  const unreadable: { start: number; end: number }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const here = address + BigInt(at);
    const count = Math.min(bytes.length - at, Number(PAGE - (here % PAGE)));
    const read = memory.read(here, count);
    if (read === null) unreadable.push({ start: at, end: at + count });
    else bytes.set(read, at);
    at += count;
  }
  return { address, bytes, unreadable };
}

/** The address a person means: `0x…`, `$rsp` or `rsp`, `symbol`, each with `+0x10` or `-8` behind. Throws USAGE. */
export function findPlace(text: string, registers: Registers | null, symbolizer: Symbolizer): bigint {
  const match = /^\s*&?(\$?[\w.$@:]+?)\s*(?:([+-])\s*(0x[0-9a-f]+|\d+))?\s*$/i.exec(text);
  const base = match === null ? null : findBase(match[1]!, registers, symbolizer);
  if (match === null || base === null) {
    throw new UnidbgError(
      'USAGE',
      `"${text}" is no address: write 0x…, a register ($rsp) or a symbol, with +0x10 behind if need be`,
    );
  }
  const offset = BigInt(match[3] ?? '0');
  return BigInt.asUintN(64, match[2] === '-' ? base - offset : base + offset);
}

function findBase(name: string, registers: Registers | null, symbolizer: Symbolizer): bigint | null {
  const number = parseAddress(name);
  if (number !== null) return number;
  const register = registers?.values[name.replace(/^\$/, '')] ?? null;
  if (name.startsWith('$')) return register;
  // A symbol may be called like a register; a register is also written $name, a symbol is not.
  return symbolizer.findSymbol(name)?.address ?? register;
}
