// Unikraft on KVM, x86-64. Its words are in unikraft-texts.ts; here is what its images, stacks and ends look like.
// Read from staging eaf6fda1 (0.17.0) and seen on real guests.

import type { Unikernel, UnwindRule } from '../model/unikernel.ts';
import { biasByHandler } from './interrupt-table.ts';
import { readWords } from './stack-words.ts';
import { CRASHES, OMENS, PREFIX } from './unikraft-texts.ts';

/** A switched-out thread waits at `.Lresume`, below it what the switch pushed: r15 … rbp, then the return address. */
const PUSHED = ['r15', 'r14', 'r13', 'r12', 'rbx', 'rbp'] as const;

const contextSwitch: UnwindRule = {
  function: /^ukarch_ctx_switch$/,
  source: 'arch/x86/x86_64/ctx.S has no CFI: all blocked threads wait in it',
  unwind: ({ registers }, memory, symbols) => {
    const sp = registers.values.rsp;
    if (sp === undefined) return null;
    const words = readWords(memory, sp, PUSHED.length + 1);
    const returnAddress = words?.at(-1);
    if (words === null || returnAddress === undefined) return null;
    // Right only while all six are on the stack; in the few instructions before and after, the word is no code.
    if (symbols.symbolize(returnAddress, { isReturnAddress: true }).at(-1)?.status !== 'symbolicated') return null;
    const values: Record<string, bigint> = { ...registers.values };
    PUSHED.forEach((name, index) => {
      values[name] = words[index] ?? 0n;
    });
    values.rip = returnAddress;
    values.rsp = sp + BigInt(words.length * 8);
    return { registers: { machine: registers.machine, values }, exactPc: false };
  },
};

/** Unikraft. */
export const unikraft: Unikernel = {
  name: 'unikraft',
  title: 'Unikraft',
  support: {
    levels: ['live', 'post-mortem', 'text'],
    tried:
      '0.17 (staging eaf6fda1) on QEMU 7.2 and 10.0; texts recorded from runs; those of arm64, of 0.4 to 0.8 and of the newer crash screen written from its source',
    silent: "Registers at an assertion: the dead vCPU's stack is walked.",
  },
  recognise: {
    symbols: ['ukplat_terminate', 'ukplat_entry', '_uk_alloc_head', 'uk_sched_head'],
    sections: ['.uk_ctortab', '.uk_inittab', '.uk_bootinfo'],
    banner: /^oO {3}oO ' _ `\| \| \|\/ \/ {2}_\)' _` \| \|_\| {2}_\)/,
  },
  prefix: PREFIX,
  crashes: CRASHES,
  omens: OMENS,
  halt: /^Unikraft halted$/,
  unwindRules: [contextSwitch],
  deadIn: ['ukplat_terminate', 'ukplat_lcpu_halt', 'uk_pm_syscrash', 'uk_lcpu_halt'],
  // include/uk/plat/bootstrap.h: enum ukplat_gstate { UKPLAT_HALT, UKPLAT_RESTART, UKPLAT_CRASH, UKPLAT_SUSPEND }.
  stops: [
    { function: /^uk_pm_syscrash$/, parameter: null, explain: () => 'crash' },
    {
      function: /^ukplat_terminate$/,
      parameter: 'request',
      explain: (value) => {
        if (value === 'UKPLAT_CRASH') return 'crash';
        return value.startsWith('UKPLAT_') ? { code: null, how: `the system stopped itself (${value})` } : null;
      },
    },
  ],
  idleIn: ['ukplat_lcpu_halt_irq', 'ukplat_lcpu_halt_irq_until', 'ukplat_lcpu_halt_to', 'uk_lcpu_halt_irq', 'idle_thread_fn'],
  crashMachinery: [
    /^asm_trap_/,
    /^(?:do_page_fault|do_unhandled_trap|dump_regs|dump_mem|stack_walk|stack_walk_for_frame|vmem_arch_pagefault)$/,
    /^(?:_uk_crash|uk_crash_handler|crash_shutdown|ukplat_terminate|ukplat_crash|abort|halt|system_off|cpu_halt)$/,
  ],
  explainExit: (status) =>
    status === 85 ? { code: 42, how: 'Unikraft crashed: UKPLAT_CRASH through isa-debug-exit (42)' } : null,
  findLoadBias: (guest) => biasByHandler(guest, 0, 'asm_trap_divide_error'),
};
