// Register rows as kernels print them: `RAX: 0000000000000000 RBX: …`, `RIP: 0008:000000000011b6f5`, `rbx=0x10`, `X0 : …`.

import type { CrashDraft } from '../model/unikernel.ts';

/** A name, its value, and between them a segment selector (`0008:`, `e030:[<…>]`) that is left out. */
const PAIR = /\b([a-z][a-z0-9_]{1,8}) {0,4}[:=] {0,6}(?:[0-9a-f]{4}:)?(?:\[<)?(?:0x)?([0-9a-f]{1,16})\b/gi;

/** The general registers of x86-64, as every full dump has them. */
export const X86_64_GENERAL = [
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'],
];

/** The general registers of i386. */
export const I386_GENERAL = ['eax', 'ebx', 'ecx', 'edx', 'esi', 'edi', 'ebp', 'esp', 'eip'];

/** Printed name, in lower case, to gdb's; a word that is not in it is no register. */
const GDB_NAMES: ReadonlyMap<string, string> = new Map([
  ...[
    ...X86_64_GENERAL,
    ...I386_GENERAL,
    'eflags',
    'orig_rax',
    'cs',
    'ss',
    'ds',
    'es',
    'fs',
    'gs',
    'cr0',
    'cr2',
    'cr3',
    'cr4',
  ].map((name) => [name, name] as const),
  ...([
    ['r08', 'r8'],
    ['r09', 'r9'],
    ['rfl', 'eflags'],
    ['rflags', 'eflags'],
  ] as const),
  ...([
    ['fsb', 'fs_base'],
    ['gsb', 'gs_base'],
    ['gss', 'k_gs_base'],
  ] as const),
]);

/** Adds all `NAME: HEX` pairs of a line to the draft's registers, under gdb's names. */
export function readRegisterPairs(line: string, draft: CrashDraft): void {
  for (const match of line.matchAll(PAIR)) {
    const name = GDB_NAMES.get((match[1] ?? '').toLowerCase());
    if (name !== undefined) draft.registers[name] = BigInt(`0x${match[2] ?? '0'}`);
  }
}

/** A hexadecimal word, with or without `0x`. Absent is null. */
export function hexWord(digits: string | undefined): bigint | null {
  return digits === undefined ? null : BigInt(digits.startsWith('0x') ? digits : `0x${digits}`);
}

/** Which of `names` were not printed, as a reason to distrust a dump; null when all are there, or no dump was begun. */
export function missingRegisters(draft: CrashDraft, names: readonly string[]): string | null {
  if (Object.keys(draft.registers).length === 0) return null;
  const missing = names.filter((name) => draft.registers[name] === undefined);
  return missing.length === 0 ? null : `registers are missing: ${missing.join(' ')}`;
}
