// Nanos (NanoVMs, `ops`), x86-64. Read from nanos b9c3671d (src/x86_64/interrupt.c, src/unix/signal.c, src/kernel/kernel.c,
// src/kernel/log.c, src/runtime/runtime.h) and seen on real guests. Its words are in nanos-texts.ts.

import type { GuestExit } from '../model/guest-exit.ts';
import type { Unikernel } from '../model/unikernel.ts';
import { biasByHandler } from './interrupt-table.ts';
import { findNanosModules } from './nanos-modules.ts';
import { CRASHES, OMENS, SIGNALS } from './nanos-texts.ts';
import { NANOS_UNWIND_RULES } from './nanos-unwind.ts';
import { readRing, readWords } from './stack-words.ts';

/** struct klog: a dump buffer, the ring of the console's last bytes, and the count of all bytes. */
const KLOG_RING = 0x1000n;
const KLOG_SIZE = 4096;
const KLOG_COUNT = 0x2000n;
/** The dump's head: magic (4), boot id (8), exit code. klog_save (src/kernel/log.c) fills it in when the kernel shuts down. */
const KLOG_MAGIC = 'KLOG';
const KLOG_EXIT_CODE = 12;

const VM_EXIT: Readonly<Record<number, string>> = {
  0x7d: 'Nanos stopped for its debugger (0x7d)',
  0x7e: 'the Nanos kernel faulted (0x7e)',
  0x7f: 'the Nanos kernel halted itself: an assertion or halt() (0x7f)',
};

/** isa-debug-exit gives (code << 1) | 1; with `debug_exit` in the manifest only. A signal's number is the code itself. */
function explainExit(status: number): GuestExit | null {
  if (status % 2 === 0) return null;
  const code = status >> 1;
  return { code, how: code === 0 ? 'the program ended well (code 0 through isa-debug-exit)' : inWords(code) };
}

function inWords(code: number): string {
  const signal = SIGNALS[code];
  return (
    VM_EXIT[code] ??
    (signal === undefined ? `the program exited ${String(code)}` : `the program exited ${String(code)}, or ${signal} ended it`)
  );
}

/** Nanos. */
export const nanos: Unikernel = {
  name: 'nanos',
  title: 'Nanos (OPS)',
  support: {
    levels: ['live', 'post-mortem', 'text'],
    tried:
      'b9c3671d with C and Go programs on QEMU 7.2 and 10.0; texts recorded from runs; those of arm64, riscv64 and of 0.1.30 written from its source',
    silent: 'Its exit code, where no isa-debug-exit is there: the klog in its memory tells it.',
  },
  recognise: {
    symbols: ['kas_kern_offset', 'vm_exit', 'runloop_internal', 'klog_write'],
    sections: [],
    banner: /^(?:en\d{1,3}: assigned \S{1,64}|gitversion: [0-9a-f]{40})$/,
  },
  crashes: CRASHES,
  omens: OMENS,
  halt: /^ {3}(?:core dump(?: \(unimplemented\))?|terminate|stop)$/,
  unwindRules: NANOS_UNWIND_RULES,
  deadIn: ['vm_exit', 'halt_with_code', 'vm_shutdown'],
  idleIn: ['kernel_sleep', 'wait_for_interrupt'],
  crashMachinery: [
    /^(?:dump_context|print_stack|print_frame_trace|print_frame_trace_from_here|common_handler|unix_fault_handler)(?:\.cold)?$/,
    /^(?:halt_with_code|vm_exit|kernel_shutdown|default_signal_action|dispatch_signals|deliver_fault_signal|__stack_chk_fail)(?:\.cold)?$/,
    /^interrupt(?:\d+|_entry|_entry_with_ec|_common)$/,
  ],
  explainExit,
  findLoadBias: (guest) => biasByHandler(guest, 0, 'interrupt_vectors'),
  findModules: findNanosModules,
  readExitStatus: ({ memory, findSymbol }) => {
    const klog = findSymbol('klog');
    const head = klog === null ? null : memory.read(klog.address, KLOG_EXIT_CODE + 4);
    if (head === null || new TextDecoder('latin1').decode(head.subarray(0, KLOG_MAGIC.length)) !== KLOG_MAGIC) return null;
    const code = new DataView(head.buffer, head.byteOffset + KLOG_EXIT_CODE, 4).getInt32(0, true);
    return { code, how: inWords(code) };
  },
  readMemoryLog: ({ memory, findSymbol }) => {
    const klog = findSymbol('klog');
    const count = klog === null ? null : (readWords(memory, klog.address + KLOG_COUNT, 1)?.[0] ?? null);
    return klog === null || count === null || count === 0n ? null : readRing(memory, klog.address + KLOG_RING, KLOG_SIZE, count);
  },
};
