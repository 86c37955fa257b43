// The smallest guest a debugger can be tried on: PVH boot into long mode, then one C function called for ever. Compiled by
// gcc at test time. The demo guest does far more; here every instruction is known.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const C = `struct point { int x; int y; const char *name; };
volatile unsigned long counter;
volatile struct point origin = { 3, 4, "origin" };
__attribute__((noinline)) unsigned long work(unsigned long n)
{
	counter += n;
	return counter;
}
void start64(void)
{
	for (;;)
		work(1);
}
`;

const ASSEMBLY = `    .section .note.pvh, "a", @note
    .long 4, 4, 18                  # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long start32
    .section .text.boot, "ax"
    .code32
    .globl start32
start32:
    mov $pdpt, %eax                 # one 1 GiB page, identity-mapped
    or $3, %eax
    mov %eax, pml4
    movl $0x83, pdpt
    mov $pml4, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x620, %eax                 # PAE, OSFXSR, OSXMMEXCPT
    mov %eax, %cr4
    mov $0xc0000080, %ecx           # EFER.LME
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000001, %eax
    mov %eax, %cr0
    lgdt gdtr
    ljmp $8, $long_mode
    .code64
long_mode:
    mov $stack_top, %rsp
    xor %ebp, %ebp
    call start64
    .balign 8
gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr: .word 23
    .long gdt
    .bss
    .balign 4096
pml4: .skip 4096
pdpt: .skip 4096
stack: .skip 4096
stack_top:
    .section .note.GNU-stack,"",@progbits
`;

const FLAGS = [
  ...['-g', '-O1', '-fno-pic', '-no-pie', '-static', '-nostdlib', '-ffreestanding', '-mno-red-zone', '-fno-omit-frame-pointer'],
  ...['-Wl,-Ttext-segment=0x200000,-e,start32,--build-id=none', '-z', 'noexecstack'],
];

/** The built guest: its ELF, the directory it lies in (the caller's to remove), and where its symbols are. */
export interface LoopGuest {
  readonly directory: string;
  readonly elf: string;
  readonly symbols: Readonly<Record<'work' | 'counter' | 'origin' | 'start64', bigint>>;
}

export function buildLoopGuest(): LoopGuest {
  const directory = mkdtempSync(join(tmpdir(), 'loop-guest-'));
  const elf = join(directory, 'guest.elf');
  writeFileSync(join(directory, 'guest.c'), C);
  writeFileSync(join(directory, 'boot.S'), ASSEMBLY);
  execFileSync('gcc', [...FLAGS, 'boot.S', 'guest.c', '-o', elf], { cwd: directory });
  const names = execFileSync('nm', [elf], { encoding: 'utf8' });
  const find = (name: string): bigint => BigInt(`0x${new RegExp(`^([0-9a-f]+) . ${name}$`, 'm').exec(names)![1]!}`);
  return {
    directory,
    elf,
    symbols: { work: find('work'), counter: find('counter'), origin: find('origin'), start64: find('start64') },
  };
}
