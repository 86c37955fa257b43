// Registers as a grid: pc, sp and fp first, then the machine's own order, then what else is there.

import type { Machine } from '../../src/model/machine.ts';
import type { Registers } from '../../src/model/registers.ts';
import { roleNames } from '../../src/model/registers.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { Line } from '../text.ts';
import { padEnd, span } from '../text.ts';

const ORDER: Readonly<Record<Machine, readonly string[]>> = {
  x86_64: ['rip', 'rsp', 'rbp', 'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', ...numbered('r', 8, 15), 'eflags', 'cr2', 'cr3'],
  i386: ['eip', 'esp', 'ebp', 'eax', 'ebx', 'ecx', 'edx', 'esi', 'edi', 'eflags', 'cr2', 'cr3'],
  aarch64: ['pc', 'sp', ...numbered('x', 0, 30), 'cpsr'],
  riscv64: ['pc', 'ra', 'sp', 'gp', 'tp', ...numbered('a', 0, 7), ...numbered('s', 0, 11), ...numbered('t', 0, 6)],
};

/** A selector may equal a small fault address by chance. */
const NEVER_ADDRESSES = /^([c-gs]s|[er]?flags|cpsr)$/;

/** Registers shown of one file at most. */
const MOST = 128;
const GAP = 2;

function numbered(prefix: string, from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => `${prefix}${from + index}`);
}

/** Names in the order a person looks for them. */
export function orderedNames({ machine, values }: Registers): readonly string[] {
  const known = ORDER[machine].filter((name) => values[name] !== undefined);
  const others = Object.keys(values).filter((name) => !ORDER[machine].includes(name));
  return [...known, ...others].slice(0, MOST);
}

/** Cells that a grid of `columns` columns takes. */
export function registerGridWidth(registers: Registers, columns: number): number {
  return columns * cellWidth(registers) + (columns - 1) * GAP;
}

/** At most `height` rows of `columns` columns, filled downwards; the register that holds `faultAddress` is marked. */
export function registerGrid(
  registers: Registers,
  options: { readonly columns: number; readonly height: number; readonly faultAddress: bigint | null },
): readonly Line[] {
  const { columns, height, faultAddress } = options;
  const names = orderedNames(registers);
  const rows = Math.min(height, Math.ceil(names.length / columns));
  const lines = Array.from({ length: rows }, (_, row): Line => {
    const here = Array.from({ length: columns }, (_unused, column) => names[row + column * rows]).filter(
      (name) => name !== undefined,
    );
    return here.flatMap((name, column) => [
      ...(column === 0 ? [] : [span(' '.repeat(GAP))]),
      ...registerCell(registers, name, faultAddress),
    ]);
  });
  const hidden = names.length - rows * columns;
  return hidden > 0 ? [...lines.slice(0, -1), [span(`… ${hidden + columns} more: y`, 'dim')]] : lines;
}

function registerCell(registers: Registers, name: string, faultAddress: bigint | null): Line {
  const value = registers.values[name] ?? 0n;
  const { pc, sp, fp } = roleNames(registers.machine);
  const faulted = faultAddress !== null && value === faultAddress && !NEVER_ADDRESSES.test(name);
  const text = BigInt.asUintN(digitsOf(registers) * 4, value)
    .toString(16)
    .padStart(digitsOf(registers), '0');
  return [
    span(padEnd(name, nameWidth(registers)), name === pc || name === sp || name === fp ? 'strong' : 'dim'),
    span(faulted ? '▸' : ' ', 'bad'),
    span(text, faulted ? 'bad' : name === pc ? 'strong' : value === 0n ? 'dim' : 'plain'),
  ];
}

function cellWidth(registers: Registers): number {
  return nameWidth(registers) + 1 + digitsOf(registers);
}

function nameWidth(registers: Registers): number {
  return Object.keys(registers.values).reduce((most, name) => Math.max(most, Math.min(9, name.length)), 3);
}

function digitsOf({ machine }: Registers): number {
  return machine === 'i386' ? 8 : 16;
}

/** The layer of `:registers`: every vCPU's, as read last. */
export function registerLines(snapshot: Snapshot, width: number): readonly Line[] {
  if (snapshot.registers.length === 0) return [[span('no registers have been read yet', 'dim')]];
  return snapshot.registers.slice(0, 64).flatMap(({ vcpu, registers }): readonly Line[] => {
    const columns = Math.max(1, Math.floor((width + GAP) / (cellWidth(registers) + GAP)));
    return [[span(`vcpu ${vcpu}`, 'strong')], ...registerGrid(registers, { columns, height: MOST, faultAddress: null }), []];
  });
}
