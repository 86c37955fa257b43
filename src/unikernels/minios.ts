// Mini-OS on Xen, x86-64, and what is built on it (ClickOS, MirageOS 1–3, Rumprun-xen). Read from xen-project/mini-os
// arch/x86/traps.c and seen on real PV and PVH guests. Older trees print numbers by %p, with `0x`.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Unikernel } from '../model/unikernel.ts';
import { hexWord, missingRegisters, readRegisterPairs, X86_64_GENERAL } from './printed-registers.ts';

const HEX = '((?:0x)?[0-9a-f]{1,16})';

const DUMP: readonly CrashLine[] = [
  { pattern: /^Thread: \S{1,64}$/ },
  { pattern: /^Regs address 0x/ },
  {
    pattern: /^R(?:IP|SP|AX|DX|BP|10|13): ?(?:[0-9a-f]{4}:)?(?:\[<)?[0-9a-f]{16}/,
    read: (match, draft) => {
      readRegisterPairs(match.input, draft);
    },
  },
  {
    // frame[1] of each frame record: a return address. Cycles and runs off where rbp is no frame pointer.
    pattern: /^base is (0x[0-9a-f]{1,16}) caller is (0x[0-9a-f]{1,16}|0)$/,
    read: (match, draft) => {
      const base = hexWord(match[1]) ?? 0n;
      const climbs = draft.lastSlot === null || base > draft.lastSlot;
      draft.lastSlot = base;
      if (climbs) draft.frames.push(reportedFrame({ address: hexWord(match[2]), addressIs: 'return' }));
    },
  },
  { pattern: /^[0-9a-f]{1,16}:(?: [0-9a-f]{2})+ ?$/, to: 'memory' },
  { pattern: /^Pagetable walk from virt /, to: 'walk' },
  { pattern: /^ {1,4}L[1-4] = [0-9a-f]{16} /, in: 'walk' },
  {
    pattern: /^Page fault in pagetable walk/,
    read: (_match, draft) => {
      draft.corrupted = 'a second fault in the crash printer';
    },
  },
];

function finishDump(draft: CrashDraft): void {
  draft.corrupted ??= missingRegisters(draft, X86_64_GENERAL);
}

const pageFault: CrashGrammar = {
  name: 'page-fault',
  source: 'arch/x86/traps.c do_page_fault',
  kind: 'fault',
  start: new RegExp(`^(Page fault at linear address ${HEX}), rip ${HEX}, regs ${HEX}, sp ${HEX}, our_sp ${HEX}, code ${HEX}$`),
  glued: 'Page fault at linear address ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.faultAddress = hexWord(match[2]);
    draft.registers.rip = hexWord(match[3]) ?? 0n;
  },
  lines: DUMP,
  finish: (draft) => {
    finishDump(draft);
    // The ring is not drained when the domain dies: the tail is often lost (`xenconsoled`).
    if (draft.section !== 'walk') draft.corrupted ??= 'the text breaks off before the page table walk';
  },
};

const protection: CrashGrammar = {
  name: 'protection-fault',
  source: 'arch/x86/traps.c do_general_protection',
  kind: 'fault',
  start: new RegExp(`^GPF rip: ${HEX}, error_code=${HEX}$`),
  begin: (match, draft) => {
    draft.message = 'GPF';
    draft.registers.rip = hexWord(match[1]) ?? 0n;
  },
  lines: DUMP,
  finish: finishDump,
};

const trap: CrashGrammar = {
  name: 'trap',
  source: 'arch/x86/traps.c do_trap',
  kind: 'fault',
  start: /^FATAL: {2}(Unhandled Trap \d{1,3} \(.{1,64}\)), error code=(?:0x)?[0-9a-f]{1,16}$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: DUMP,
  finish: finishDump,
};

/** Mini-OS. */
export const minios: Unikernel = {
  name: 'minios',
  title: 'Mini-OS (Xen)',
  support: {
    levels: ['text'],
    tried: 'PV and PVH domains of Xen 4.17; two recorded texts, the others written from its source',
    silent: null,
  },
  recognise: { symbols: ['_minios_entry_load_page_size', 'minios_do_exit'], sections: [], banner: /^Xen Minimal OS/ },
  crashes: [pageFault, protection, trap],
  unwindRules: [],
  deadIn: ['do_exit', 'minios_do_exit'],
  idleIn: ['block_domain'],
  crashMachinery: [
    /^(?:do_page_fault|do_general_protection|do_trap|dump_regs|do_stack_walk|page_walk|error_entry|do_exit|HYPERVISOR_sched_op|hypercall_page)$/,
  ],
  explainExit: () => null,
};
