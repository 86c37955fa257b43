// Layouts of `g` for stubs that have no target.xml: gdb's own defaults, from gdb/features/*.xml.
// Folklore: gdbsx (Xen) and Solo5's hvt-debug send 164 bytes on x86-64: 16 general registers, rip, eflags and six segments,
// no FPU block, and know no qXfer. A `g` may be longer than the layout too (QEMU in long mode to a client that believes in
// i386): what the layout does not name is left alone. Tests: test/gdbstub/register-file.test.ts, test/gdbstub/client.test.ts.

import type { RegisterInfo, TargetDescription } from './description.ts';

const X86_SEGMENTS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'];

const X86_64: readonly (readonly [readonly string[], number])[] = [
  [['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'], 64],
  [['eflags', ...X86_SEGMENTS], 32],
];

const I386: typeof X86_64 = [[['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi', 'eip', 'eflags', ...X86_SEGMENTS], 32]];

const AARCH64: typeof X86_64 = [
  [[...Array.from({ length: 31 }, (_, index) => `x${index}`), 'sp', 'pc'], 64],
  [['cpsr'], 32],
];

const RISCV64: typeof X86_64 = [
  [
    [
      ...['zero', 'ra', 'sp', 'gp', 'tp', 't0', 't1', 't2', 'fp', 's1', 'a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7'],
      ...['s2', 's3', 's4', 's5', 's6', 's7', 's8', 's9', 's10', 's11', 't3', 't4', 't5', 't6', 'pc'],
    ],
    64,
  ],
];

const LAYOUTS: Readonly<Record<string, typeof X86_64>> = {
  'i386:x86-64': X86_64,
  i386: I386,
  aarch64: AARCH64,
  'riscv:rv64': RISCV64,
};

/** gdb's default layout of an architecture (gdb's name for it); null for one not known here. */
export function findFallback(architecture: string): TargetDescription | null {
  const groups = Object.hasOwn(LAYOUTS, architecture) ? LAYOUTS[architecture] : undefined;
  if (groups === undefined) return null;
  const registers: RegisterInfo[] = [];
  for (const [names, bits] of groups) {
    for (const name of names) registers.push({ name, number: registers.length, bits, type: `int${bits}` });
  }
  return { architecture, registers };
}

/** The architecture a `g` of this many bytes must be of when nobody says: 164 or more is x86-64, 64 is i386's core. */
export function guessArchitecture(length: number): string | null {
  if (length === 64 || length === 308 || length === 312) return 'i386';
  return length >= 164 ? 'i386:x86-64' : null;
}
