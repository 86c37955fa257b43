// Hermit (Rust) and its elders in C, HermitCore and HermiTux. Read from hermit-os/kernel 0.4–0.13 and b0678ba (2026:
// src/{rt,logging}.rs, arch/x86_64/{kernel/interrupts,kernel/processor,mm/paging}.rs, arch/aarch64/kernel/interrupts.rs) and
// ssrg-vt/hermitux-kernel ff53acc (arch/x86/{kernel/isrs,mm/page}.c). A Rust program's own words are a language's.

import type { CrashDraft, CrashGrammar, CrashLine, Unikernel } from '../model/unikernel.ts';
import { hexWord, missingRegisters, X86_64_GENERAL } from './printed-registers.ts';

const ADDRESS = '0x([0-9a-f]{1,16})';

/** `{stack_frame:#?}` of the x86_64 crate: one word a line or all in one. */
const STACK_FRAME: readonly CrashLine[] = [
  { pattern: /^(?:stack_frame = |Stack frame: )InterruptStackFrame \{$/ },
  {
    pattern: new RegExp(`^ {4}instruction_pointer: VirtAddr\\((?:${ADDRESS}\\),)?$`),
    to: 'ip',
    read: (match, draft) => {
      if (match[1] !== undefined) draft.registers.rip = hexWord(match[1]) ?? 0n;
    },
  },
  {
    pattern: new RegExp(`^ {4}stack_pointer: VirtAddr\\((?:${ADDRESS}\\),)?$`),
    to: 'sp',
    read: (match, draft) => {
      if (match[1] !== undefined) draft.registers.rsp = hexWord(match[1]) ?? 0n;
    },
  },
  {
    pattern: new RegExp(`^ {8}${ADDRESS},$`),
    in: 'ip',
    to: 'frame',
    read: (match, draft) => {
      draft.registers.rip = hexWord(match[1]) ?? 0n;
    },
  },
  {
    pattern: new RegExp(`^ {8}${ADDRESS},$`),
    in: 'sp',
    to: 'frame',
    read: (match, draft) => {
      draft.registers.rsp = hexWord(match[1]) ?? 0n;
    },
  },
  {
    pattern: new RegExp(`^ {4}cpu_flags: ${ADDRESS},$`),
    read: (match, draft) => {
      draft.registers.eflags = hexWord(match[1]) ?? 0n;
    },
  },
  { pattern: /^ {4}(?:code_segment|cpu_flags|stack_segment): / },
  { pattern: /^ {8}[\w |:.]{1,200},$/ },
  { pattern: /^ {4}[)}],$/ },
  { pattern: /^\}(?:, error 0x[0-9a-f]{1,8})?$/i, to: 'end' },
  {
    pattern: /^(?:fs = 0x([0-9a-f]{1,16}), )?gs = 0x([0-9a-f]{1,16})$/i,
    read: (match, draft) => {
      if (match[1] !== undefined) draft.registers.fs_base = hexWord(match[1].toLowerCase()) ?? 0n;
      draft.registers.gs_base = hexWord((match[2] ?? '0').toLowerCase()) ?? 0n;
    },
  },
  {
    pattern: /^fs = 0x([0-9a-f]{1,16})$/i,
    read: (match, draft) => {
      draft.registers.fs_base = hexWord((match[1] ?? '0').toLowerCase()) ?? 0n;
    },
  },
  {
    pattern: new RegExp(
      `^(?:page_fault_linear_address = ${ADDRESS}|virtual_address = 0x([0-9A-F]{1,16}), page fault error = .{1,200})$`,
    ),
    read: (match, draft) => {
      draft.faultAddress = hexWord(match[1] ?? match[2]?.toLowerCase());
    },
  },
  {
    pattern: /^error_code = (PageFaultErrorCode\(.{0,100}\))$/,
    read: (match, draft) => {
      draft.message += `, ${match[1] ?? ''}`;
    },
  },
  { pattern: /^Error code: (?:None|Some\(\d{1,10}\)|Some\($)/ },
];

function finishFrame(draft: CrashDraft): void {
  if (draft.registers.rip === undefined) draft.corrupted = 'the text breaks off before the stack frame';
}

const pageFault: CrashGrammar = {
  name: 'page-fault',
  source: 'src/arch/x86_64/mm/paging.rs page_fault_handler',
  kind: 'fault',
  start: /^Page fault \(#PF\)!$/,
  begin: (_match, draft) => {
    draft.message = 'Page fault (#PF)';
  },
  lines: STACK_FRAME,
  confirmed: (draft) => draft.faultAddress !== null || draft.registers.rip !== undefined,
  finish: finishFrame,
};

const exception: CrashGrammar = {
  name: 'exception',
  source: 'src/arch/x86_64/kernel/interrupts.rs; mm/paging.rs until 0.4',
  kind: 'fault',
  start: /^([A-Z][\w -]{2,40} \((?:#[A-Z]{2}|NMI)\) Exception): (?:Interrupt|Exception)StackFrame \{$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: STACK_FRAME,
  finish: finishFrame,
};

const unknownException: CrashGrammar = {
  name: 'unnamed-exception',
  source: 'src/arch/x86_64/kernel/interrupts.rs abort',
  kind: 'fault',
  start: /^(Exception \d{1,3})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: STACK_FRAME,
  confirmed: (draft) => draft.registers.rip !== undefined,
};

const arm64Fault: CrashGrammar = {
  name: 'aarch64-page-fault',
  source: 'src/arch/aarch64/kernel/interrupts.rs do_sync',
  kind: 'fault',
  start: /^(Unable to handle page fault) at (0x[0-9a-f]{1,16})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.machine = 'aarch64';
    draft.faultAddress = hexWord(match[2]);
    const sp = /^Current stack pointer (0x[0-9a-f]{1,16})$/.exec(draft.before?.text ?? '');
    if (sp !== null) draft.registers.sp = hexWord(sp[1]) ?? 0n;
  },
  lines: [
    {
      pattern: /^Exception return address (0x[0-9a-f]{1,16})$/,
      read: (match, draft) => {
        draft.registers.pc = hexWord(match[1]) ?? 0n;
      },
    },
    { pattern: /^(?:Thread ID register|Table Base Register|Exception Syndrome Register) 0x/ },
  ],
  confirmed: (draft) => draft.registers.pc !== undefined,
};

const riscvTrap: CrashGrammar = {
  name: 'riscv64-trap',
  source: 'src/arch/riscv64/kernel/interrupts.rs trap_handler',
  kind: 'fault',
  start: /^Interrupt: (Exception\(\w{1,40}\))$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.machine = 'riscv64';
  },
  lines: [
    { pattern: /^tf = TrapFrame / },
    {
      pattern: /^stval = ([0-9a-f]{1,16})$/,
      read: (match, draft) => {
        draft.faultAddress = hexWord(match[1]);
      },
    },
    {
      pattern: /^sepc = ([0-9a-f]{1,16})$/,
      read: (match, draft) => {
        draft.registers.pc = hexWord(match[1]) ?? 0n;
      },
    },
    { pattern: /^SSTATUS FS = / },
  ],
  confirmed: (draft) => draft.registers.pc !== undefined,
};

/** Where a panic was, before Rust 1.73 behind its words, since then before them and with a line of their own. */
function readPanicked(text: string, draft: CrashDraft): void {
  const old = /^panicked at '(.{0,1000})', (\S{1,512}):(\d{1,9}):\d{1,9}$/.exec(text);
  // 0.3 printed file, line and words alone.
  const bare = /^(\S{1,512}):(\d{1,9}): (.{1,1000})$/.exec(text);
  const place = old?.slice(2) ?? bare?.slice(1) ?? /^panicked at (\S{1,512}?):(\d{1,9}):\d{1,9}:?$/.exec(text)?.slice(1);
  draft.message = old?.[1] ?? bare?.[3] ?? (place === undefined ? text : '');
  if (place !== undefined) draft.location = { file: place[0] ?? '', line: Number(place[1]), function: null };
  readKind(draft);
}

function readKind(draft: CrashDraft): void {
  if (/^memory allocation of \d+ bytes failed|^Not enough memory available/.test(draft.message)) draft.kind = 'out-of-memory';
  else if (/^assertion /.test(draft.message)) draft.kind = 'assert';
}

const panic: CrashGrammar = {
  name: 'panic',
  source: 'src/rt.rs panic',
  kind: 'panic',
  start: /^\[(\d{1,4})\]\[(?:!!!)?PANIC(?:!!!)?\] (.{1,1000})$/,
  begin: (match, draft) => {
    draft.vcpu = Number(match[1]);
    readPanicked(match[2] ?? '', draft);
  },
  lines: [
    {
      pattern: /^(.{1,1000})$/,
      in: '',
      to: 'told',
      read: (match, draft) => {
        if (draft.message !== '') return;
        draft.message = match[1] ?? '';
        readKind(draft);
      },
    },
  ],
  maxForeignLines: 0,
  confirmed: (draft) => draft.location !== null,
};

/** `rax 0x…, rbx 0x…, …` and, in the first line, `fs = 0x…`. */
function readWords(line: string, draft: CrashDraft): void {
  for (const [, name = '', digits] of line.matchAll(/\b(r[a-z0-9]{1,2}|rflags) (?:= )?(?:0x)?([0-9a-f]{1,16})\b/g)) {
    draft.registers[name === 'rflags' ? 'eflags' : name] = hexWord(digits) ?? 0n;
  }
}

const inC: CrashGrammar = {
  name: 'c-fault',
  source: 'HermitCore, HermiTux: arch/x86/mm/page.c page_fault_handler, arch/x86/kernel/isrs.c arch_fault_handler',
  kind: 'fault',
  start:
    /^ ?((?:Page Fault )?Exception \(\d{1,3}\)) on core (\d{1,4}) at (?:cs:ip = )?0x[0-9a-f]{1,4}:(0x[0-9a-f]{1,16}|0), fs = /,
  begin: (match, draft) => {
    draft.vcpu = Number(match[2]);
    draft.registers.rip = hexWord(match[3]) ?? 0n;
    draft.faultAddress = hexWord(/, addr = (0x[0-9a-f]{1,16}|0),/.exec(match.input)?.[1]);
    // The name of any other exception is a line of its own, just before.
    const named = draft.before?.text.trim() ?? '';
    const isName = !(match[1] ?? '').startsWith('Page') && /^[A-Z][\w -]{2,40}$/.test(named);
    draft.message = isName ? `${named}: ${match[1] ?? ''}` : (match[1] ?? '');
    readWords(match.input, draft);
  },
  lines: [
    {
      pattern: /^rax (?:0x)?[0-9a-f]{1,16}, rbx /,
      to: 'registers',
      read: (match, draft) => {
        readWords(match.input, draft);
      },
    },
    { pattern: /^Heap 0x[0-9a-f]{1,16} - 0x[0-9a-f]{1,16}$/ },
    { pattern: /^Terminate task: \d{1,9}, return value -?\d{1,9}$/ },
  ],
  finish: (draft) => {
    draft.corrupted = draft.section === '' ? 'the text breaks off before the registers' : missingRegisters(draft, X86_64_GENERAL);
  },
};

/** Hermit. */
export const hermit: Unikernel = {
  name: 'hermit',
  title: 'Hermit, HermiTux',
  support: {
    levels: ['text'],
    tried: 'texts written from its source (Hermit 0.4 to 2026, HermiTux 2018); no image was run here',
    silent: 'All registers but the pc and the stack pointer, and any backtrace.',
  },
  recognise: {
    symbols: ['sys_get_application_parameters', 'tux_gdb'],
    sections: ['HERMIT', '.note.hermit.entry-version'],
    banner:
      /^(?:Welcome to (?:Hermit|HermitCore-rs|RustyHermit) \S{1,32}|This is (?:HermiTux|Hermit) \S{1,32}, build date \d{1,10})$/,
  },
  // `[time][core][LEVEL target] `, without time and target before 2025; `[time][core:task][LEVEL] ` in C.
  prefix:
    /^(?:\[[ \d.]{5,20}\])?\[\d{1,4}(?::\d{1,6})?\]\[(?:ERROR|WARN|WARNING|INFO|DEBUG|TRACE|VERBOSE) {0,2}(?: [\w:.-]{1,40} *)?\] /,
  crashes: [pageFault, exception, unknownException, arm64Fault, riscvTrap, panic, inC],
  unwindRules: [],
  deadIn: ['hermit::scheduler::abort'],
  idleIn: ['hermit::arch::x86_64::kernel::interrupts::enable_and_wait'],
  crashMachinery: [
    /^(?:rust_begin_unwind|core::panicking::\w+|core::result::unwrap_failed|core::option::(?:unwrap|expect)_failed|alloc::alloc::handle_alloc_error)(?:$|::)/,
    /(?:^|::)(?:page_fault_handler|\w+_exception|scheduler::abort|scheduler::shutdown|syscalls::shutdown|do_sync|trap_handler)(?:$|::h[0-9a-f]{16}$)/,
    /^(?:arch_fault_handler|sys_exit|do_abort|do_exit|fault_handler|isr\d+)$/,
  ],
  explainExit: (status) => {
    if (status === 3) return { code: 0, how: 'Hermit shut down well, through isa-debug-exit at 0xf4' };
    const how = 'Hermit shut down with an error or a panic, through isa-debug-exit at 0xf4 (QEMU itself fails with 1 too)';
    return status === 1 ? { code: null, how } : null;
  },
};
