// Rumprun on bare hardware (hw), x86-64. Read from rumprun b04d422 (platform/{hw,xen}, lib/libbmk_core) and NetBSD's
// sys/kern/subr_prf.c, and seen on real guests. It never prints registers; on Xen its traps are Mini-OS' (minios.ts).

import { reportedFrame } from '../model/console-text.ts';
import type { CrashGrammar, Unikernel } from '../model/unikernel.ts';
import { hexWord } from './printed-registers.ts';

const fatalTrap: CrashGrammar = {
  name: 'fatal-trap',
  source: 'platform/hw/arch/amd64/machdep.c',
  kind: 'fault',
  start:
    /^FATAL TRAP: (divide-by-zero|invalid opcode|general protection|page fault) at (0x[0-9a-f]{1,16}) \((0x[0-9a-f]{1,16})\)$/,
  glued: 'FATAL TRAP: ',
  begin: (match, draft) => {
    draft.message = `FATAL TRAP: ${match[1] ?? ''}`;
    draft.frames.push(reportedFrame({ address: hexWord(match[2]) }));
    if (match[1] === 'page fault') draft.faultAddress = hexWord(match[3]);
  },
  lines: [],
};

const vectorTrap: CrashGrammar = {
  name: 'trap',
  source: 'platform/hw/arch/amd64/intr.S: the vectors without a handler',
  kind: 'fault',
  start: /^trap: (#(?:NMI|BP|OF|BR|NM|DF|TS|NP|SS|AC|DE|UD|GP|PF))$/,
  begin: (match, draft) => {
    draft.message = `trap: ${match[1] ?? ''}`;
  },
  // The i386 port repeats it for ever (rumprun#52).
  lines: [{ pattern: /^trap: #[A-Z]{2,3}$/ }],
};

const netbsdPanic: CrashGrammar = {
  name: 'panic',
  source: 'NetBSD sys/kern/subr_prf.c vpanic',
  kind: 'panic',
  start: /^panic: (.{1,2000})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    const asserted = /^kernel .{0,32}assertion ".{1,1000}" failed: file "([^"]{1,512})", line (\d{1,9})/.exec(draft.message);
    if (asserted === null) return;
    draft.kind = 'assert';
    draft.location = { file: asserted[1] ?? '', line: Number(asserted[2]), function: null };
  },
  lines: [
    { pattern: /^rump kernel halting\.\.\.$/, to: 'halting' },
    { pattern: /^PANIC: rumpuser panic$/, to: 'halting' },
  ],
  maxForeignLines: 2,
  confirmed: (draft) => draft.section === 'halting',
};

/** The words of all calls of bmk_platform_halt that no other program would say. */
const OWN_WORDS =
  /^(?:assert ".{1,1000}" FAILED$|rumpuser |bmk_|schedule\(\) |xmalloc failed$|invalid thread queue$|failed to create main thread$|platefs: |reboot returned$|out of interrupt depth!$|make gdt r\/o$|set_gdt$|updating TLS descriptor failed$|rump kernel hypercall revision mismatch)/;

const platformPanic: CrashGrammar = {
  name: 'platform-panic',
  source: 'platform/hw/kernel.c, platform/xen/xen/kernel.c bmk_platform_halt; lib/libbmk_core bmk_assert',
  kind: 'panic',
  start: /^PANIC: (assert ".{1,1000}" FAILED|rumpuser panic|.{1,1000})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (draft.message.startsWith('assert ')) draft.kind = 'assert';
    else if (draft.message === 'xmalloc failed') draft.kind = 'out-of-memory';
  },
  lines: [{ pattern: /^halted$/, to: 'halted' }],
  maxForeignLines: 1,
  // On Xen (platform/xen/xen/kernel.c) nothing follows: there only its own words tell it.
  confirmed: (draft) => draft.section === 'halted' || OWN_WORDS.test(draft.message),
};

/** Rumprun. */
export const rumprun: Unikernel = {
  name: 'rumprun',
  title: 'Rumprun',
  support: {
    levels: ['text'],
    tried: "hw on QEMU: two texts recorded from runs, the others written from its source; on Xen its faults are told as Mini-OS'",
    silent: 'Registers: it never prints any.',
  },
  recognise: {
    symbols: ['bmk_platform_halt', 'rumprun_boot'],
    sections: [],
    banner: /^rump kernel bare metal (?:multi)?bootstrap/,
  },
  crashes: [fatalTrap, vectorTrap, platformPanic, netbsdPanic],
  omens: [
    {
      // lib/libbmk_core/pgalloc.c: the caller gets null.
      pattern: /^cannot handle page request order \d{1,3}\/0x[0-9a-f]{1,16}!$/,
      kind: 'out-of-memory',
      explains: (draft) => draft.kind !== 'fault' || (draft.faultAddress !== null && draft.faultAddress < 0x1000n),
    },
  ],
  halt: /^halted$/,
  unwindRules: [],
  deadIn: ['cpu_fattrap', 'bmk_platform_halt'],
  idleIn: ['cpu_block'],
  crashMachinery: [/^(?:x86_trap_\d+|cpu_fattrap|bmk_platform_halt|bmk_assertfail|rumpuser_exit|rumpns_panic|rumpns_vpanic)$/],
  explainExit: () => null,
};
