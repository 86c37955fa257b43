// IncludeOS, x86-64 and i686 (x86_pc), aarch64. Read from includeos/IncludeOS 0.10, 0.11–0.15 and 6fd33d3 (2026):
// src/kernel/{syscalls,elf}.cpp, src/platform/x86_pc/idt.cpp, src/platform/aarch64_vm/exception_handling.cpp.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Unikernel } from '../model/unikernel.ts';
import { hexWord, I386_GENERAL, missingRegisters, X86_64_GENERAL } from './printed-registers.ts';

/** `R 8` and `FLA` are its own; CR1 and CR8 say nothing. */
const REGISTERS: Readonly<Record<string, string>> = { FLA: 'eflags', EFL: 'eflags' };
const KNOWN = new Set([...X86_64_GENERAL, ...I386_GENERAL, 'eflags', 'cr0', 'cr2', 'cr3', 'cr4']);

function readRegisters(line: string, draft: CrashDraft): void {
  for (const [, printed = '', digits] of line.matchAll(/\b([A-Z][A-Z ]?[A-Z\d]\d?): {2}([0-9a-f]{8,16})\b/g)) {
    const name = REGISTERS[printed] ?? printed.replace(' ', '').toLowerCase();
    if (!KNOWN.has(name)) continue;
    if (name.startsWith('e') && name !== 'eflags') draft.machine = 'i386';
    draft.registers[name] = hexWord(digits) ?? 0n;
  }
}

const exception: CrashGrammar = {
  name: 'exception',
  source: 'src/platform/x86_pc/idt.cpp __cpu_exception, __cpu_dump_regs',
  kind: 'fault',
  start: /^>>>> !!! CPU (\d{1,4}) EXCEPTION !!! <<<<$/,
  glued: '>>>> !!! CPU ',
  begin: (match, draft) => {
    draft.vcpu = Number(match[1]);
  },
  lines: [
    {
      // It says EIP on x86-64 too.
      pattern: /^ {0,4}([A-Z][\w -]{2,40} \(\d{1,2}\)) {3}EIP {2}(?:0x)?[0-9a-f]{1,16} {3}CODE (?:0x)?[0-9a-f]{1,8}$/,
      read: (match, draft) => {
        draft.message = match[1] ?? '';
      },
    },
    {
      pattern: /^(Page not present|Protection violation), trying to access ((?:0x)?[0-9a-f]{1,16})$/,
      read: (match, draft) => {
        draft.message += `: ${match[1] ?? ''}`;
        draft.faultAddress = hexWord(match[2]);
      },
    },
    {
      pattern:
        /^(?:Page (?:write|read) failed\.|Privileged page access from user space\.|Found bit set in reserved field\.|Instruction fetch\. XD|Protection key violation\.|SGX access violation\.|Violated address is .{1,128})$/,
    },
    {
      pattern: /^ {2}(?:[RE][A-Z]{2}|CR\d): {2}[0-9a-f]{8,16} {2}/,
      read: (match, draft) => {
        readRegisters(match.input, draft);
      },
    },
  ],
  confirmed: (draft) => draft.message !== '',
  continuedBy: ['panic'],
  finish: (draft) => {
    const isOld = draft.machine === 'i386';
    draft.corrupted ??=
      draft.registers.rip === undefined && draft.registers.eip === undefined
        ? 'the text breaks off before the registers'
        : missingRegisters(draft, isOld ? I386_GENERAL : X86_64_GENERAL);
  },
};

/** The symbol's start and the offset in it; without a symbol table the address stands for both. 0.13 to 0.15 glue the first to the title. */
const frame: CrashLine = {
  pattern: /^(?:\*\*\* Backtrace:)?\[(\d{1,2})\] +(?:0x)?([0-9a-f]{1,16}) \+ 0x([0-9a-f]{3,8}): (.{1,1000})$/,
  to: 'backtrace',
  read: (match, draft) => {
    // Behind a second panic the trace is that one's.
    if (draft.corrupted !== null) return;
    const offset = Number.parseInt(match[3] ?? '0', 16);
    const name = match[4] ?? '';
    const known = !/^0x[0-9a-f]+$/.test(name);
    draft.frames.push(
      reportedFrame({
        address: (hexWord(match[2]) ?? 0n) + BigInt(offset),
        addressIs: 'return',
        function: known ? name : null,
        functionOffset: known ? offset : null,
      }),
    );
  },
};

function readReason(reason: string, draft: CrashDraft): void {
  if (draft.message !== '') {
    draft.corrupted = `a second panic in the crash printer: ${reason}`;
    return;
  }
  draft.message = draft.section === 'double' ? `Double fault: ${reason}` : reason;
  if (/^(?:[A-Z][\w -]{2,40} \(\d{1,2}\)|Double CPU exception)$/.test(reason)) draft.kind = 'fault';
  else if (/^(?:Expects|Ensures) failed|^Early assertion failed|^Assertion failed/.test(reason)) draft.kind = 'assert';
  else if (/out of memory|bad_alloc|heap is full/i.test(reason)) draft.kind = 'out-of-memory';
  else if (/^(?:Quick exit|>>> Quick exit|T?G?KILL called|abort)/i.test(reason)) draft.kind = 'abort';
}

const panic: CrashGrammar = {
  name: 'panic',
  source: 'src/kernel/syscalls.cpp os::panic, double_fault',
  kind: 'panic',
  // NAK, BEL and a tab lead it since 0.11; the decoder shows the first and fills up for the last.
  start: /^\\x15 {1,8}\*\*\*\* PANIC \*\*\*\*$|^ {1,8}\*\*\*\* PANIC(:)? \*\*\*\*$/,
  begin: (match, draft) => {
    if (match[1] !== undefined) draft.section = 'words';
  },
  lines: [
    {
      pattern: /^CPU: (\d{1,4}), Reason: (.{0,1000})$/,
      read: (match, draft) => {
        draft.vcpu ??= Number(match[1]);
        readReason(match[2] ?? '', draft);
      },
    },
    // 0.10: the reason alone in the next line.
    {
      pattern: /^ (.{1,1000})$/,
      in: 'words',
      to: 'told',
      read: (match, draft) => {
        readReason(match[1] ?? '', draft);
      },
    },
    { pattern: /^Double fault! ?$/, to: 'double' },
    { pattern: /^ {1,8}\*\*\*\* (?:CPU \d{1,4} )?CONTEXT: \*\*\*\*$/, to: 'context' },
    { pattern: /^ .{1,512}$/, in: 'context', to: 'told' },
    { pattern: /^ {0,8}(?:Heap (?:is at|area|usage): |Total memory use: ~)/ },
    { pattern: /^(?:\*\*\* Found \d{1,5} plugin constructors:|Plugin: .{1,1000} \((?:0x)?[0-9a-f]{1,16}\))$/ },
    { pattern: /^\*\*\* Last packet:$/, to: 'packet' },
    { pattern: /^(?:Buffer: |Layer: |Size: |Ethernet type: |[0-9a-f]{2,16}[: ])/, in: 'packet' },
    { pattern: /^\*\*\* Backtrace:(?:symtab or strtab is empty, indicating image may be stripped)?$/, to: 'backtrace' },
    { pattern: /^symtab or strtab is empty, indicating image may be stripped$/ },
    frame,
    { pattern: /^\\x04/ },
  ],
  confirmed: (draft) => draft.message !== '',
};

const aarch64: CrashGrammar = {
  name: 'aarch64-exception',
  source: 'src/platform/aarch64_vm/exception_handling.cpp exception_handler_syn_el',
  kind: 'fault',
  start: /^(SYN EXCEPTION [0-9a-f]{8})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.machine = 'aarch64';
  },
  lines: [
    {
      pattern: /^Reason: (.{1,128})$/,
      read: (match, draft) => {
        draft.message += `: ${match[1] ?? ''}`;
      },
    },
    {
      pattern: /^ esr [0-9a-f]{16} , elr ([0-9a-f]{16})$/,
      read: (match, draft) => {
        draft.registers.pc = hexWord(match[1]) ?? 0n;
      },
    },
    {
      pattern: /^ x(\d{2}) ([0-9a-f]{16}) (?:, x(\d{2}) ([0-9a-f]{16}))?$/,
      read: (match, draft) => {
        draft.registers[`x${String(Number(match[1]))}`] = hexWord(match[2]) ?? 0n;
        if (match[3] !== undefined) draft.registers[`x${String(Number(match[3]))}`] = hexWord(match[4]) ?? 0n;
      },
    },
  ],
  confirmed: (draft) => draft.registers.pc !== undefined || draft.message.includes(':'),
};

/** IncludeOS. */
export const includeos: Unikernel = {
  name: 'includeos',
  title: 'IncludeOS',
  support: {
    levels: ['text'],
    tried: 'texts written from its source, 0.10 to 2026; no image was run here',
    silent: 'Where an Expects() failed: its backtrace tells.',
  },
  recognise: {
    symbols: ['_ZN2os5panicEPKc', '_ZN2os10event_loopEv', '_ZN2OS10event_loopEv', 'panic_perform_inspection_procedure'],
    sections: [],
    banner: /^ IncludeOS v?\S{1,64} \(\S{1,16} \/ \d{2}-bit\)$/,
  },
  crashes: [exception, panic, aarch64],
  unwindRules: [],
  deadIn: ['panic_epilogue'],
  idleIn: ['_ZN2os4haltEv', '_ZN2OS4haltEv', '_ZN2os10event_loopEv', '_ZN2OS10event_loopEv'],
  crashMachinery: [
    /^(?:_ZN2os5panicEPKc|(?:os::)?panic(?:\(char const\*\))?|__expect_fail\w*(?:\(.*)?|panic_epilogue|double_fault|__cpu_exception|__page_fault|__cpu_dump_regs)$/,
    /^(?:__cpu_except_\d+|exception_\d+_entry|_?abort|abort_message|abort_ex|__assert_fail|__stack_chk_fail|__expect_emit_failure.*)$/,
    /^(?:os::print_backtrace|print_backtrace2?|_ZN2os15print_backtrace)(?:\(|P|$)/,
  ],
  explainExit: () => null,
};
