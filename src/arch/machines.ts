// The list of architectures.

import type { Machine } from '../model/machine.ts';
import { AARCH64 } from './aarch64.ts';
import type { Architecture } from './architecture.ts';
import { I386 } from './i386.ts';
import { RISCV64 } from './riscv64.ts';
import { X86_64 } from './x86-64.ts';

const ARCHITECTURES: Readonly<Record<Machine, Architecture>> = {
  x86_64: X86_64,
  i386: I386,
  aarch64: AARCH64,
  riscv64: RISCV64,
};

/** What unwinding must know of `machine`. */
export function getArchitecture(machine: Machine): Architecture {
  return ARCHITECTURES[machine];
}
