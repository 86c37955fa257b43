// Guest memory and symbols made of a few words, for tests of unwind rules and memory readers.

import type { TypeSource } from '../../src/model/layout.ts';
import type { Registers } from '../../src/model/registers.ts';
import type { Symbolizer } from '../../src/model/symbolizer.ts';
import type { Memory } from '../../src/model/target.ts';

/** Memory that holds `bytes` at `address` and nothing else. */
export function memoryAt(address: bigint, bytes: Uint8Array): Memory {
  return {
    read: (at, length) => {
      const from = at - address;
      const isInside = from >= 0n && from + BigInt(length) <= BigInt(bytes.length);
      return isInside ? bytes.subarray(Number(from), Number(from) + length) : null;
    },
  };
}

/** Memory that holds pieces at the addresses that are their keys. */
export function memoryOf(pieces: Readonly<Record<string, Uint8Array>>): Memory {
  const parts = Object.entries(pieces).map(([address, bytes]) => memoryAt(BigInt(address), bytes));
  return { read: (at, length) => parts.map((part) => part.read(at, length)).find((found) => found !== null) ?? null };
}

/** 64-bit little-endian words as bytes. */
export function words(...values: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 8);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    view.setBigUint64(index * 8, value, true);
  });
  return bytes;
}

/** A symbolizer that knows functions by their first address, each a page long. */
export function symbolsOf(functions: Readonly<Record<string, bigint>>): Symbolizer {
  return {
    images: [],
    symbolize: (address) => {
      const found = Object.entries(functions).find(([, start]) => address >= start && address < start + 0x1000n);
      const location = { file: null, line: null, column: null, inlined: false, module: null };
      return found === undefined
        ? [{ ...location, function: null, functionOffset: null, status: 'no-symbol' }]
        : [{ ...location, function: found[0], functionOffset: Number(address - found[1]), status: 'symbolicated' }];
    },
    findSymbol: (name) => (functions[name] === undefined ? null : { address: functions[name], size: 0 }),
    findCode: () => null,
  };
}

/** A register file of x86-64. */
export function registersOf(values: Record<string, bigint>): Registers {
  return { machine: 'x86_64', values };
}

/** An image without debug info. */
export const NO_TYPES: TypeSource = { findVariable: () => null, findType: () => null };
