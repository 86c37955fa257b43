// NT_PRSTATUS of Linux cores (linux/elfcore.h struct elf_prstatus with each architecture's elf_gregset_t) → register files. Solo5's hvt
// writes the same record for its guest.

import { Cursor } from '../../bytes/cursor.ts';
import type { Machine } from '../../model/machine.ts';
import type { Registers } from '../../model/registers.ts';

/** `n_type` of the note. */
export const NT_PRSTATUS = 1;

/** Larger than the record of any machine. */
export const MAX_PRSTATUS_BYTES = 4096;

/** One thread's record. */
export interface ThreadStatus {
  /** The signal it was stopped by, 0 = none. */
  readonly signal: number;
  /** Its LWP id; the process's for the main thread. */
  readonly lwp: number;
  readonly registers: Registers;
}

interface Layout {
  readonly lwpAt: number;
  readonly registersAt: number;
  readonly size: 4 | 8;
  /** In the order of elf_gregset_t, by gdb's names. */
  readonly names: readonly string[];
}

function numbered(prefix: string, first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => `${prefix}${first + index}`);
}

const LAYOUTS: Readonly<Record<Machine, Layout>> = {
  x86_64: {
    ...{ lwpAt: 32, registersAt: 112, size: 8 },
    names: [
      ...['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi', 'orig_rax'],
      ...['rip', 'cs', 'eflags', 'rsp', 'ss', 'fs_base', 'gs_base', 'ds', 'es', 'fs', 'gs'],
    ],
  },
  i386: {
    ...{ lwpAt: 24, registersAt: 72, size: 4 },
    names: [
      ...['ebx', 'ecx', 'edx', 'esi', 'edi', 'ebp', 'eax', 'ds', 'es', 'fs', 'gs', 'orig_eax'],
      ...['eip', 'cs', 'eflags', 'esp', 'ss'],
    ],
  },
  aarch64: { ...{ lwpAt: 32, registersAt: 112, size: 8 }, names: [...numbered('x', 0, 30), 'sp', 'pc', 'cpsr'] },
  riscv64: {
    ...{ lwpAt: 32, registersAt: 112, size: 8 },
    names: [
      ...['pc', 'ra', 'sp', 'gp', 'tp', ...numbered('t', 0, 2), 's0', 's1', ...numbered('a', 0, 7)],
      ...[...numbered('s', 2, 11), ...numbered('t', 3, 6)],
    ],
  },
};

const SIGNAL_AT = 12;

/** The record's thread; null when it is too short to hold its registers. */
export function decodeThreadStatus(record: Uint8Array, machine: Machine): ThreadStatus | null {
  const { lwpAt, registersAt, size, names } = LAYOUTS[machine];
  if (record.length < registersAt + size * names.length) return null;
  const cursor = new Cursor(record, { offset: SIGNAL_AT });
  const signal = cursor.u16();
  cursor.seek(lwpAt);
  const lwp = cursor.u32();
  cursor.seek(registersAt);
  const values: Record<string, bigint> = {};
  for (const name of names) {
    const value = size === 8 ? cursor.u64() : BigInt(cursor.u32());
    values[name] = value;
  }
  return { signal, lwp, registers: { machine, values } };
}
