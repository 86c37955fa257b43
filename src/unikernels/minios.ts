// Mini-OS on Xen, x86 and ARM, and what is built on it (ClickOS, MirageOS 1–3, Rumprun-xen). Read from mirage/mini-os
// arch/x86/traps.c, arch/arm/panic.c, kernel.c, mm.c, sched.c, lib/; seen on real PV and PVH guests. Older trees (sysml) print
// numbers by %p, with `0x`.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashKind } from '../model/crash.ts';
import type { CrashDraft, CrashGrammar, CrashLine, CrashOmen, Unikernel } from '../model/unikernel.ts';
import { hexWord, I386_GENERAL, missingRegisters, readRegisterPairs, X86_64_GENERAL } from './printed-registers.ts';

const HEX = '((?:0x)?[0-9a-f]{1,16})';

/** A return address of the guest's own walk by frame pointers. It cycles and runs off where rbp is no frame pointer. */
function readCaller(match: RegExpExecArray, draft: CrashDraft): void {
  const base = hexWord(match[1]) ?? 0n;
  const climbs = draft.lastSlot === null || base > draft.lastSlot;
  draft.lastSlot = base;
  // do_exit walks its own stack: below the stack pointer of the fault are only the frames of the crash printer.
  const sp = draft.registers.rsp ?? draft.registers.esp;
  const isPrinter = draft.section === 'exit' && sp !== undefined && base < sp;
  const address = hexWord(match[2]);
  if (climbs && !isPrinter && address !== 0n) draft.frames.push(reportedFrame({ address, addressIs: 'return' }));
}

/** Who called nowhere: the walk by frame pointers leaves it out, but its return address lies where the stack pointer is. */
function readMemoryRow(row: bigint, bytes: string, draft: CrashDraft): void {
  const { rip, rsp } = draft.registers;
  if (rip === undefined || rsp === undefined || rip !== draft.faultAddress || draft.frames[0]?.trust === 'scan') return;
  if (rsp < row || rsp >= row + 16n) return;
  const at = Number(rsp - row);
  const word = bytes
    .trim()
    .split(' ')
    .slice(at, at + 8);
  if (word.length < 8) return;
  const address = BigInt(`0x${word.toReversed().join('')}`);
  draft.frames.unshift(reportedFrame({ address, addressIs: 'return', trust: 'scan' }));
}

const DUMP: readonly CrashLine[] = [
  { pattern: /^Thread: .{1,64}$/ },
  { pattern: /^Regs address (?:0x)?[0-9a-f]{1,16}$/ },
  {
    pattern: /^(?:R(?:IP|SP|AX|DX|BP|10|13)|E(?:IP|BX|SI)|DS|CS): ?(?:[0-9a-f]{4}:)?(?:\[<)?[0-9a-f]{1,16}\b/,
    read: (match, draft) => {
      readRegisterPairs(match.input, draft);
    },
  },
  { pattern: /^base is (0x[0-9a-f]{1,16}|0) caller is (0x[0-9a-f]{1,16}|0)$/, read: readCaller },
  {
    pattern: /^base is (?:0x[0-9a-f]{1,16}(?: c?a?l?l?e?r?(?: i?s?)?)?)?$/,
    read: (_match, draft) => {
      draft.corrupted = 'the text breaks off in its stack';
    },
  },
  {
    pattern: /^([0-9a-f]{1,16}):((?: [0-9a-f]{2}){1,16}) ?$/,
    to: 'memory',
    read: (match, draft) => {
      readMemoryRow(BigInt(`0x${match[1] ?? '0'}`), match[2] ?? '', draft);
    },
  },
  { pattern: /^Pagetable walk from virt /, to: 'walk' },
  { pattern: /^ {1,4}L[1-4] = [0-9a-f]{8,16} /, in: 'walk' },
];

/** `base is 0x123450000 Page fault in …`: the frame, or the bytes, that it wanted to print cannot be read. */
const SECOND_FAULT: CrashLine = {
  pattern:
    /^(?:base is 0x[0-9a-f]{1,16} |[0-9a-f]{1,16}:(?: [0-9a-f]{2}){0,16})?Page fault in pagetable walk \(access to invalid memory\?\)\.$/,
  to: 'walk',
  read: (_match, draft) => {
    // A level of the page tables that is not there is walked all the same: this is how the walk of an unmapped address ends.
    if (draft.section !== 'walk') draft.corrupted = 'a second fault in the crash printer';
  },
};

const EXIT: CrashLine = {
  pattern: /^Do_exit called!$/,
  to: 'exit',
  read: (_match, draft) => {
    draft.lastSlot = null;
  },
};

/** Numbers by names of i386 or x86-64, by what the first line calls its program counter. */
function readPc(name: string | undefined, value: string | undefined, draft: CrashDraft): void {
  if (name === 'eip') draft.machine = 'i386';
  draft.registers[name ?? 'rip'] = hexWord(value) ?? 0n;
}

function finishDump(draft: CrashDraft): void {
  if (draft.registers.eip !== undefined) draft.machine = 'i386';
  draft.corrupted ??= missingRegisters(draft, draft.machine === 'i386' ? I386_GENERAL : X86_64_GENERAL);
}

const pageFault: CrashGrammar = {
  name: 'page-fault',
  source: 'arch/x86/traps.c do_page_fault',
  kind: 'fault',
  start: new RegExp(
    `^(Page fault at linear address ${HEX}), ([re]ip) ${HEX}, regs ${HEX}, sp ${HEX}, our_sp ${HEX}, code ${HEX}$`,
  ),
  glued: 'Page fault at linear address ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.faultAddress = hexWord(match[2]);
    readPc(match[3], match[4], draft);
  },
  lines: [...DUMP, SECOND_FAULT],
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
  start: new RegExp(`^GPF ([re]ip): ${HEX}, error_code=${HEX}$`),
  glued: 'GPF ',
  begin: (match, draft) => {
    draft.message = 'GPF';
    readPc(match[1], match[2], draft);
  },
  lines: DUMP,
  finish: (draft) => {
    finishDump(draft);
    if (draft.section !== 'memory') draft.corrupted ??= 'the text breaks off before the memory around the stack';
  },
};

const trap: CrashGrammar = {
  name: 'trap',
  source: 'arch/x86/traps.c do_trap',
  kind: 'fault',
  start: /^FATAL: {2}(Unhandled Trap \d{1,3} \(.{1,64}\)), error code=(?:0x)?[0-9a-f]{1,16}$/,
  glued: 'FATAL:  Unhandled Trap ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [...DUMP, EXIT],
  finish: (draft) => {
    finishDump(draft);
    if (draft.section !== 'exit') draft.corrupted ??= 'the text breaks off before its stack';
  },
};

/** Exceptions without a number or a code. */
const exception: CrashGrammar = {
  name: 'exception',
  source: 'arch/x86/traps.c do_debug, do_coprocessor_error',
  kind: 'fault',
  start: /^(Debug exception|Copro error)$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [...DUMP, EXIT],
  confirmed: (draft) => Object.keys(draft.registers).length > 0,
  finish: trap.finish ?? finishDump,
};

/** The handler says so and goes back to the same instruction, for ever. Once is a word that anybody may say. */
const simd: CrashGrammar = {
  name: 'simd',
  source: 'arch/x86/traps.c do_simd_coprocessor_error',
  kind: 'fault',
  start: /^(SIMD copro error)$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [{ pattern: /^SIMD copro error$/, to: 'again' }],
  confirmed: (draft) => draft.section === 'again',
  maxForeignLines: 0,
};

const assertion: CrashGrammar = {
  name: 'assert',
  source: 'include/lib.h ASSERT, BUG_ON',
  kind: 'assert',
  start: /^(ASSERTION FAILED: .{1,1000}) at (\S{1,512}):(\d{1,9})\.$/,
  glued: 'ASSERTION FAILED: ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.location = { file: match[2] ?? '', line: Number(match[3]), function: null };
  },
  lines: [EXIT, ...DUMP],
  // The words are not Mini-OS' alone; what follows them is.
  confirmed: (draft) => draft.section === 'exit',
};

/** What the system says just before it calls do_exit; another line there may be anybody's. */
const LAST_WORDS: readonly { readonly pattern: RegExp; readonly kind: CrashKind }[] = [
  { pattern: /^main returned -?\d{1,10}$/, kind: 'abort' },
  { pattern: /^lwIP assertion failed: /, kind: 'assert' },
  {
    pattern:
      /^(?:stack smashing detected|stack overflow|Too many opened files|Must not call schedule\(\) (?:with IRQs disabled|from a callback))$/,
    kind: 'panic',
  },
  { pattern: /^(?:Unsupported function .{1,64} called in Mini-OS kernel|Can't start lwIP thread: )/, kind: 'panic' },
  {
    pattern:
      /^(?:ERROR: .{0,64}mmu_update failed|ERROR: set_readonly\(\): |Error: Too many pfns|Failed to (?:un)?map shared_info|Unable to (?:remap|unmap) NULL page|could not get memory (?:size|map)|Map -?\d{1,20} \([0-9a-f]{1,16}, \.\.\.\) at | {7}mmu_update failed with rc=|new_pt_frame\(\) called with )/,
    kind: 'panic',
  },
];

/** The end that is asked for: BUG(), a failed start, `exit` with a code. */
const exit: CrashGrammar = {
  name: 'exit',
  source: 'kernel.c do_exit',
  kind: 'panic',
  start: /^(Do_exit called!)$/,
  begin: (match, draft) => {
    const last = draft.before?.text ?? '';
    const words = LAST_WORDS.find(({ pattern }) => pattern.test(last));
    draft.kind = words?.kind ?? 'panic';
    draft.message = words === undefined ? (match[1] ?? '') : last.trim();
    draft.section = 'exit';
  },
  lines: DUMP,
};

/** 32-bit ARM has no registers here: what is kept is where it was. */
const armFault: CrashGrammar = {
  name: 'arm-fault',
  source: 'arch/arm/panic.c dump_registers',
  kind: 'fault',
  start:
    /^(?:Fault handler at (?:0x)?[0-9a-f]{1,8} called \(((?:reset|undefined_instruction|svc|prefetch_call|prefetch_abort|data_abort|unknown fault type!))\))$/,
  begin: (match, draft) => {
    draft.message = `Fault handler called (${match[1] ?? ''})`;
  },
  lines: [
    {
      pattern: /^r(1[45]) = ([0-9a-f]{1,8})$/,
      read: (match, draft) => {
        const address = hexWord(match[2]);
        if (match[1] === '15') draft.frames.unshift(reportedFrame({ address }));
        else draft.frames.push(reportedFrame({ address, addressIs: 'return' }));
      },
    },
    { pattern: /^(?:r\d{1,2} = [0-9a-f]{1,8}|CPSR = [0-9a-f]{1,8}|Stack dump \(innermost last\))$/ },
    { pattern: /^ {2}\[ {0,8}(?:0x)?[0-9a-f]{1,8}\] {1,9}[0-9a-f]{1,8}$/ },
  ],
  end: /^End of stack$/,
  maxLines: 20_000,
};

/** A null pointer that an allocator gave: it said so just before. */
const noMemory: CrashOmen = {
  pattern: /^(?:Cannot handle page request order -?\d{1,9}!|Heap exhausted: .{1,128}|Memory exhausted: want .{1,128})$/,
  kind: 'out-of-memory',
  explains: ({ faultAddress }) => faultAddress !== null && faultAddress < 0x1000n,
};

/** For the systems built on Mini-OS. */
export const MINIOS_OMENS: readonly CrashOmen[] = [noMemory];

/** Mini-OS. */
export const minios: Unikernel = {
  name: 'minios',
  title: 'Mini-OS (Xen)',
  support: {
    levels: ['post-mortem', 'text'],
    tried:
      'mirage/mini-os (2018) as PV and PVH domains of Xen 4.17, about thirty ways to die in each, recorded; a core of each read; ARM and i386 texts are written from source',
    silent:
      'A stack overflow, a lost stack, a triple fault: only the hypervisor tells them (`xl dmesg`). A domain that died is `---sc-` in `xl list`, its reason code in `xl list -v`: 0 poweroff, 1 reboot, 3 crash. A spinning one is only seen by its growing time.',
  },
  recognise: {
    symbols: ['_minios_entry_load_page_size', 'minios_do_exit', 'arch_do_exit', 'idle_thread_fn'],
    sections: [],
    banner: /^Xen Minimal OS/,
  },
  crashes: [pageFault, protection, trap, exception, simd, assertion, exit, armFault],
  omens: MINIOS_OMENS,
  unwindRules: [],
  // These two tell Xen themselves that the domain crashed (SCHEDOP_shutdown).
  deadIn: ['do_exit', 'minios_do_exit', 'do_page_fault', 'do_general_protection'],
  idleIn: ['block_domain'],
  crashMachinery: [
    // The first page is unmapped at boot: who is there jumped to null.
    /^_(?:text|start)$/,
    /^(?:do_page_fault|do_general_protection|do_trap|do_debug|do_coprocessor_error|dump_regs|dump_mem|page_walk)$/,
    /^do_(?:divide_error|int3|overflow|bounds|invalid_op|device_not_available|coprocessor_segment_overrun)$/,
    /^do_(?:invalid_TSS|segment_not_present|stack_segment|alignment_check|machine_check)$/,
    /^(?:minios_)?(?:do_exit|arch_do_exit|(?:do_)?stack_walk|error_entry|HYPERVISOR_sched_op|hypercall_page|__stack_chk_fail)$/,
  ],
  explainExit: () => null,
};
