// Solo5 (MirageOS' base): bindings for virtio, Xen PVH, hvt and spt print the same texts. Read from Solo5 v0.12.1
// (bindings/cpu_x86_64.c, abort.c, exit.c, crt.c, cpu_vectors_x86_64.S, tenders/hvt) and seen on real guests.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashGrammar, Unikernel, UnwindRule } from '../model/unikernel.ts';
import { findInterruptFrame, interrupted } from './interrupt-frame.ts';
import { hexWord } from './printed-registers.ts';
import { readWords } from './stack-words.ts';

const trap: CrashGrammar = {
  name: 'trap',
  source: 'bindings/cpu_x86_64.c cpu_trap_handler',
  kind: 'fault',
  start:
    /^Solo5: trap: type=(#[0-9A-Z]{1,3}) ec=(0x[0-9a-f]{1,16}) rip=(0x[0-9a-f]{1,16}) rsp=(0x[0-9a-f]{1,16}) rflags=(0x[0-9a-f]{1,16})$/,
  glued: 'Solo5: trap: type=#',
  begin: (match, draft) => {
    draft.message = `trap ${match[1] ?? ''}, error code ${match[2] ?? ''}`;
    draft.registers = {
      rip: hexWord(match[3]) ?? 0n,
      rsp: hexWord(match[4]) ?? 0n,
      eflags: hexWord(match[5]) ?? 0n,
    };
  },
  lines: [
    {
      pattern: /^Solo5: trap: cr2=(0x[0-9a-f]{1,16})$/,
      read: (match, draft) => {
        draft.faultAddress = hexWord(match[1]);
      },
    },
  ],
  // Its file and line are the handler's, always the same: no location.
  end: /^Solo5: ABORT: \S{1,256}:\d{1,9}: Fatal trap$/,
};

const assertion: CrashGrammar = {
  name: 'assert',
  source: 'bindings/abort.c _assert_fail',
  kind: 'assert',
  start: /^Solo5: ABORT: (\S{1,512}):(\d{1,9}): (Assertion `.{0,2000}' failed)$/,
  begin: (match, draft) => {
    draft.message = match[3] ?? '';
    draft.location = { file: match[1] ?? '', line: Number(match[2]), function: null };
  },
  lines: [],
};

const abort: CrashGrammar = {
  name: 'abort',
  source: 'bindings/abort.c _abort, crt.c __stack_chk_fail',
  kind: 'panic',
  start: /^Solo5: ABORT: (?:(\S{1,512}):(\d{1,9}): )?(.+)$/,
  glued: 'Solo5: ABORT: ',
  begin: (match, draft) => {
    draft.message = match[3] ?? '';
    // With `--solo5:quiet` the trap lines are not printed and this is all there is.
    if (draft.message === 'Fatal trap') draft.kind = 'fault';
    else if (match[1] !== undefined) draft.location = { file: match[1], line: Number(match[2]), function: null };
    if (/not enough memory|out of memory/i.test(draft.message)) draft.kind = 'out-of-memory';
  },
  lines: [],
};

const abortCalled: CrashGrammar = {
  name: 'abort-called',
  source: 'bindings/exit.c solo5_abort; nolibc abort() prints `Aborted` before it',
  kind: 'abort',
  start: /^Solo5: solo5_abort\(\) called$/,
  glued: 'Solo5: solo5_abort() called',
  begin: (_match, draft) => {
    draft.message = 'solo5_abort() called';
  },
  lines: [],
};

const devices: CrashGrammar = {
  name: 'devices',
  source: 'bindings/virtio/start.c: a device of the manifest is not attached (the line before has no end of line)',
  kind: 'panic',
  start:
    /^Solo5: ((?:All declared devices must be attached|Built-in manifest validation failed|PCI enumeration failed)\. Aborting\.|first entry in manifest is not of type .{1,64})$/,
  glued: 'Solo5: All declared devices must be attached.',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [],
  continuedBy: ['abort', 'abort-called'],
};

/** On arm64 the handler dumps the registers itself. */
const arm64Trap: CrashGrammar = {
  name: 'aarch64-trap',
  source: 'bindings/cpu_aarch64.c cpu_trap_handler, dump_registers',
  kind: 'fault',
  start: /^Solo5: Trap: (EL[0-3] (?:Invalid )?(?:Synchronous Abort|IRQ|FIQ|Error)) caught$/,
  glued: 'Solo5: Trap: EL',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.machine = 'aarch64';
  },
  lines: [
    {
      pattern: /^Data Abort Address: (0x[0-9a-f]{16})$/,
      read: (match, draft) => {
        draft.faultAddress = hexWord(match[1]);
      },
    },
    { pattern: /^Solo5: Dump registers:$/ },
    {
      pattern: /^ {8,9}(ESR|PC|LR|PSTATE) {1,5}: (0x[0-9a-f]{16})$/,
      read: (match, draft) => {
        const names: Readonly<Record<string, string>> = { PC: 'pc', LR: 'x30', PSTATE: 'cpsr' };
        const name = names[match[1] ?? ''];
        if (name !== undefined) draft.registers[name] = hexWord(match[2]) ?? 0n;
      },
    },
    {
      pattern: /^ {8,9}x(\d{2}) ~ x\d{2}: (0x[0-9a-f]{16}(?: 0x[0-9a-f]{16}){1,3})$/,
      read: (match, draft) => {
        (match[2] ?? '').split(' ').forEach((value, index) => {
          draft.registers[`x${String(Number(match[1]) + index)}`] = hexWord(value) ?? 0n;
        });
      },
    },
  ],
  end: /^Solo5: ABORT: \S{1,256}:\d{1,9}: Fatal trap$/,
};

/** The tender's own end: the guest did what it cannot serve, or the host could not run it any further. */
const tender: CrashGrammar = {
  name: 'hvt-fault',
  source: 'tenders/hvt/hvt_kvm_{x86_64,aarch64}.c hvt_vcpu_loop, hvt.h HVT_CHECKED_GPA_P; ukvm until 0.3',
  kind: 'fault',
  start:
    /^(?:solo5-hvt(?:-debug)?|ukvm-bin(?:\.\w{1,16})?): (?:\S{1,128}:\d{1,6}: )?(?:KVM: )?((?:host\/guest translation fault|unhandled exit: exit_reason=0x[0-9a-f]{1,8},?|internal error exit: suberror=0x[0-9a-f]{1,8}|entry failure: hw_entry_failure_reason=0x[0-9a-f]{1,16}|Invalid guest (?:access: gpa=0x[0-9a-f]{1,16}, sz=\d{1,20}|(?:port|mmio) access: .{1,64}|hypercall: num=-?\d{1,9})))(?::? (?:rip|pc)=(0x[0-9a-f]{1,16}))?$/,
  begin: (match, draft) => {
    draft.message = match[1]?.replace(/,$/, '') ?? '';
    const pc = hexWord(match[2]);
    if (pc !== null) draft.frames.push(reportedFrame({ address: pc }));
  },
  lines: [{ pattern: /^solo5-hvt(?:-debug)?: dumpcore: dumping guest core to: / }],
};

/** Exceptions for which the CPU pushes an error code (Intel SDM vol. 3, table 6-1). */
const WITH_ERROR_CODE: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);
/** PUSH_CALLER_SAVE in order of address, then struct trap_regs. */
const SAVED = ['r11', 'r10', 'r9', 'r8', 'rcx', 'rdx', 'rsi', 'rdi', 'rax'] as const;
const TRAP_REGS = { rip: 2, cs: 3, rflags: 4, rsp: 5, ss: 6, length: 7 } as const;

const trapFrame: UnwindRule = {
  function: /^cpu_trap_\d+$/,
  source: 'bindings/cpu_vectors_x86_64.S has no CFI: every backtrace ended in cpu_trap_14',
  unwind: ({ registers }, memory, symbols) => {
    const sp = registers.values.rsp;
    if (sp === undefined) return null;
    const words = readWords(memory, sp, SAVED.length + TRAP_REGS.length);
    if (words === null) return null;
    const [saved, trapRegs] = [words.slice(0, SAVED.length), words.slice(SAVED.length)];
    const selector = trapRegs[TRAP_REGS.cs] ?? 0n;
    // A code selector of ring 0 in a small table; anything else and this is not the struct.
    if (selector === 0n || selector > 0xffn || (selector & 3n) !== 0n) return null;
    const values: Record<string, bigint> = { ...registers.values };
    SAVED.forEach((name, index) => {
      values[name] = saved[index] ?? 0n;
    });
    const vector = symbols.symbolize(registers.values.rip ?? 0n, { isReturnAddress: true }).at(-1)?.function ?? '';
    // The entry of a vector with an error code takes rdi as scratch for cr2 before it saves it: rdi is lost.
    if (WITH_ERROR_CODE.has(Number(/\d+$/.exec(vector)?.[0] ?? '14'))) delete values.rdi;
    values.rip = trapRegs[TRAP_REGS.rip] ?? 0n;
    values.eflags = trapRegs[TRAP_REGS.rflags] ?? 0n;
    values.rsp = trapRegs[TRAP_REGS.rsp] ?? 0n;
    return { registers: { machine: registers.machine, values }, exactPc: true };
  },
};

/** What a vector may have pushed when it is stopped: the caller-saved registers, error code and cr2. */
const PUSHED_WORDS = SAVED.length + TRAP_REGS.cs;

/** A vector that has not pushed everything yet, or has taken some of it back; and interrupts, which keep no struct trap_regs. */
const vectorEntry: UnwindRule = {
  function: /^cpu_(?:trap|irq)_\d+$/,
  source: 'bindings/cpu_vectors_x86_64.S: TRAP_ENTRY and IRQ_ENTRY have no CFI',
  unwind: ({ registers }, memory) => {
    const sp = registers.values.rsp;
    const frame = sp === undefined ? null : findInterruptFrame(memory, sp, PUSHED_WORDS + 1);
    return frame === null ? null : interrupted(registers, frame, SAVED);
  },
};

/** Solo5. */
export const solo5: Unikernel = {
  name: 'solo5',
  title: 'Solo5 / MirageOS',
  support: {
    levels: ['live', 'post-mortem', 'text'],
    tried:
      'Solo5 469c1a8 (virtio, Xen PVH) with C, OCaml 4.13 and 5.2; texts recorded from runs, those of arm64 and of the tender hvt written from its source',
    silent: 'Why it ended: under QEMU every end is exit status 83. Under spt a fault is a signal of the host, without a word.',
  },
  recognise: {
    symbols: ['solo5_app_main', '__solo5_mft1_note'],
    sections: ['.note.solo5.manifest', '.note.solo5.abi'],
    banner: /^Solo5: Bindings version /,
  },
  crashes: [trap, arm64Trap, assertion, abort, abortCalled, devices, tender],
  halt: /^Solo5: (?:solo5_exit\(\d{1,9}\) called|Halted)$/,
  unwindRules: [trapFrame, vectorEntry],
  deadIn: ['platform_exit', 'cpu_halt'],
  // bindings/exit.c: solo5_exit(int status), solo5_abort(void).
  stops: [
    {
      function: /^solo5_exit$/,
      parameter: 'status',
      explain: (value) => (/^-?\d+$/.test(value) ? { code: Number(value), how: `solo5_exit(${value}) called` } : null),
    },
    { function: /^(?:solo5_abort|_abort)$/, parameter: null, explain: () => 'crash' },
  ],
  idleIn: ['cpu_block', 'solo5_yield'],
  crashMachinery: [
    /^cpu_trap_/,
    /^(?:_abort|_assert_fail|__stack_chk_fail|solo5_abort|solo5_exit|platform_exit|cpu_halt|abort)$/,
  ],
  exitOfWords: (line) => {
    const status = /^Solo5: solo5_exit\((\d{1,9})\) called$/.exec(line)?.[1];
    return status === undefined ? null : { code: Number(status), how: `the program called solo5_exit(${status})` };
  },
  explainExit: (status) => {
    if (status === 83) {
      const how = 'Solo5 ended through isa-debug-exit, which always gives 83: whether it exited or aborted only its console says';
      return { code: null, how };
    }
    return status === 255 ? { code: 255, how: "Solo5 aborted: hvt's and spt's exit status for it" } : null;
  },
};
