// Programs for the CFI tests, compiled by the host's gcc at test time: every form of prologue that matters, in every way CFI is laid down.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** No libc needed: links with -nostdlib for both word sizes. */
const SOURCE = `
__attribute__((noinline)) int leaf(int a, int b) { return a * b + 7; }
__attribute__((noinline)) int many(int a, int b, int c, int d, int e, int f, int g, int h) {
  volatile char buf[200];
  for (int i = 0; i < 200; i++) buf[i] = a;
  int s = 0;
  for (int i = 0; i < a; i++) s += leaf(i, b) + buf[i % 200];
  return s + c + d + e + f + g + h;
}
__attribute__((noinline)) int recurse(int n) {
  if (n <= 0) return many(3, 2, 3, 4, 5, 6, 7, 8);
  int x = recurse(n - 1);
  return x + leaf(x, n);
}
__attribute__((noinline)) int dynamic(int n) {
  char *p = __builtin_alloca(n * 16 + 1);
  for (int i = 0; i < n * 16; i++) ((volatile char *)p)[i] = n;
  volatile long v __attribute__((aligned(64))) = n;
  return recurse(n) + p[n] + (int)v;
}
__attribute__((noinline)) long early(long *p, long n) {
  if (!p) return 0;
  for (long i = 0; i < n; i++) p[i] = recurse(p[i]);
  return early(p + 1, n - 1) + p[0];
}
void _start(void) { dynamic(10); early(0, 0); for (;;) ; }
`;

/** A trap vector with a signal frame, rules with expressions, remembered states, and a far advance. */
const ASSEMBLY = `
#ifdef DEBUG_FRAME
  .cfi_sections .debug_frame
#endif
  .text
  .globl trap_vector
trap_vector:
  .cfi_startproc simple
  .cfi_signal_frame
  .cfi_def_cfa %rsp, 24
  .cfi_offset %rip, -24
  .cfi_escape 0x10, 7, 2, 0x23, 0x10
  push %rax
  .cfi_adjust_cfa_offset 8
  .cfi_offset %rax, -32
  .cfi_remember_state
  push %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbx, 0
  .skip 300, 0x90
  .cfi_val_offset %r12, -8
  .cfi_escape 0x16, 13, 3, 0x77, 8, 0x06
  nop
  .cfi_register %r14, %r15
  .cfi_undefined %r8
  .cfi_same_value %r9
  nop
  .skip 70000, 0x90
  .cfi_def_cfa_register %rbp
  .cfi_restore %rbx
  nop
  .cfi_restore_state
  .cfi_escape 0x2e, 16
  add $8, %rsp
  .cfi_def_cfa_offset 24
  iretq
  .cfi_endproc
  .globl odd_cfa
odd_cfa:
  .cfi_startproc simple
  .cfi_escape 0x0d, 4
  nop
  .cfi_escape 0x0f, 3, 0x74, 8, 0x06
  nop
  .cfi_escape 0x0e, 16
  nop
  .cfi_escape 0x0d, 5
  nop
  .cfi_endproc
`;

/** How CFI is laid down, by name. */
export const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  'eh_frame, no frame pointers': ['-O2', '-fomit-frame-pointer', '-Wl,--eh-frame-hdr'],
  'eh_frame without eh_frame_hdr': ['-O2', '-fno-omit-frame-pointer', '-Wl,--no-eh-frame-hdr'],
  'debug_frame only, DWARF 5': ['-O2', '-DDEBUG_FRAME', '-gdwarf-5', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables'],
  'debug_frame only, DWARF 2': ['-Os', '-gdwarf-2', '-gstrict-dwarf', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables'],
  'debug_frame only, 64-bit DWARF': ['-O1', '-gdwarf64', '-gdwarf-5', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables'],
  unoptimised: ['-O0', '-g'],
  'position-independent': ['-O3', '-fPIC', '-mno-red-zone'],
  'large code model': ['-O2', '-mcmodel=large', '-fno-omit-frame-pointer'],
  i386: ['-O2', '-m32', '-fomit-frame-pointer'],
  'i386, debug_frame only': ['-O2', '-m32', '-g', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables'],
  'linked at the top of the address space': [
    '-O2',
    '-g',
    '-mcmodel=kernel',
    '-fno-pic',
    '-no-pie',
    '-Wl,-Ttext-segment=0xffffffff80000000',
  ],
};

/** A folder that is removed by `remove`. */
export function makeScratch(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'unidbg-cfi-'));
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** Compiles and links one variant; the path of its ELF. */
export function compileVariant(folder: string, name: string): string {
  const flags = VARIANTS[name] ?? [];
  const source = join(folder, 'sample.c');
  const assembly = join(folder, 'trap.S');
  const output = join(folder, `${name.replaceAll(/\W+/g, '-')}.elf`);
  writeFileSync(source, SOURCE);
  writeFileSync(assembly, ASSEMBLY);
  const inputs = flags.includes('-m32') ? [source] : [source, assembly];
  const freestanding = ['-nostdlib', '-static', '-ffreestanding', '-fno-stack-protector', '-fcf-protection=none'];
  execFileSync('gcc', [...freestanding, ...flags, '-o', output, ...inputs], { stdio: ['ignore', 'ignore', 'pipe'] });
  return output;
}
