// How Unikraft died before its crash screen, beside the texts of x86 in 2024: on arm64 (plat/common/arm/traps.c of 0.4,
// traps_arm64.c of 0.17) and on x86 until 0.8, whose handlers were Mini-OS' (plat/common/x86/traps.c of 0.4).

import type { CrashGrammar, CrashLine } from '../model/unikernel.ts';
import { hexWord } from './printed-registers.ts';

const NAMES: Readonly<Record<string, string>> = {
  SP: 'sp',
  ELR_EL1: 'pc',
  'LR (x30)': 'x30',
  PSTATE: 'cpsr',
  ESR_EL1: 'esr_el1',
};

/** The exception's name is all that the first line tells: what it was is in ESR, where in FAR, valid for aborts only. */
export const arm64Trap: CrashGrammar = {
  name: 'arm64-trap',
  source: 'plat/common/arm/traps_arm64.c trap_el1_sync, invalid_trap_handler, dump_registers',
  kind: 'fault',
  start: /^(?:Unikraft: )?(EL\d (?:sync|invalid (?:Synchronous Abort|IRQ|FIQ|Error)) trap) caught$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.machine = 'aarch64';
  },
  lines: [
    { pattern: /^Unikraft: Dump registers:$/ },
    {
      pattern: /^\s{1,16}(SP|ESR_EL1|ELR_EL1|LR \(x30\)|PSTATE|FAR_EL1) {1,9}: (0x[0-9a-f]{16})$/,
      read: (match, draft) => {
        const value = hexWord(match[2]) ?? 0n;
        const name = NAMES[match[1] ?? ''];
        if (name !== undefined) draft.registers[name] = value;
        // Exception classes of instruction and data aborts (Arm ARM, D17.2.37).
        else if ([0x20n, 0x21n, 0x24n, 0x25n].includes((draft.registers.esr_el1 ?? 0n) >> 26n)) draft.faultAddress ??= value;
      },
    },
    {
      pattern: /^\s{1,16}x(\d{2}) ~ x\d{2}: (0x[0-9a-f]{16}(?: 0x[0-9a-f]{16}){1,3})$/,
      read: (match, draft) => {
        (match[2] ?? '').split(' ').forEach((value, index) => {
          draft.registers[`x${String(Number(match[1]) + index)}`] = hexWord(value) ?? 0n;
        });
      },
    },
  ],
  confirmed: (draft) => draft.registers.pc !== undefined,
  continuedBy: ['screen'],
};

/** What Mini-OS prints too: Unikraft's has the level in front. */
export function minios64(lines: readonly CrashLine[], finish: NonNullable<CrashGrammar['finish']>): readonly CrashGrammar[] {
  const common = { lines, finish, end: /^Crashing$/, continuedBy: ['screen'] };
  return [
    {
      ...common,
      name: 'page-fault-0.4',
      source: 'plat/common/x86/traps.c do_page_fault of 0.4 to 0.8',
      kind: 'fault',
      start:
        /^(Page fault at linear address (?:0x)?[0-9a-f]{1,16}), rip ([0-9a-f]{1,16}), regs (?:0x)?[0-9a-f]{1,16}, sp [0-9a-f]{1,16}, /,
      begin: (match, draft) => {
        draft.message = match[1] ?? '';
        draft.faultAddress = hexWord(/[0-9a-f]+$/.exec(draft.message)?.[0]);
        draft.registers.rip = hexWord(match[2]) ?? 0n;
      },
      confirmed: (draft) => draft.prefix.level !== undefined,
    },
    {
      ...common,
      name: 'protection-fault-0.4',
      source: 'plat/common/x86/traps.c do_gp_fault of 0.4 to 0.8',
      kind: 'fault',
      start: /^(GPF) rip: ([0-9a-f]{1,16}), error_code=[0-9a-f]{1,16}$/,
      begin: (match, draft) => {
        draft.message = match[1] ?? '';
        draft.registers.rip = hexWord(match[2]) ?? 0n;
      },
      confirmed: (draft) => draft.prefix.level !== undefined,
    },
  ];
}
