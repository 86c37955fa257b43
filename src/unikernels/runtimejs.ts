// runtime.js: V8 5 on a kernel in C++, QEMU/KVM only. Read from runtimejs/runtime 0a6e84c (2019): src/kernel/{boot-services.h,
// irqs.cc,mem-manager.cc,thread.cc}, src/libc_calls.cc. A page fault below 128 TiB is mapped in silence: a null dereference goes on.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, Unikernel } from '../model/unikernel.ts';
import { hexWord } from './printed-registers.ts';

/** What an unhandled vector is called in its assertion: `!"!Ex_x86_64_UD"`. */
const VECTOR = /^!"!Ex_(?:x86_64_([A-Z]{2,3})|OTHER)"$/;

/** The line before, of the vectors that print where they were taken. */
function readPlace(draft: CrashDraft): void {
  const match = /^ >>>> RIP = (0x[0-9a-f]{1,16}), CS = 0x[0-9a-f]{1,4}, CPU = (\d{1,4})$/.exec(draft.before?.text ?? '');
  if (match === null) return;
  draft.registers.rip = hexWord(match[1]) ?? 0n;
  draft.vcpu = Number(match[2]);
}

const kernelAssertion: CrashGrammar = {
  name: 'kernel-assert',
  source: 'src/libc_calls.cc __assert_fail, src/kernel/irqs.cc',
  kind: 'assert',
  start: /^Kernel error: Assertion failed: (.{1,1000}) \((.{1,512}): (.{1,512}): (\d{1,9})\)$/,
  glued: 'Kernel error: Assertion failed: ',
  begin: (match, draft) => {
    const vector = VECTOR.exec(match[1] ?? '');
    if (vector === null) {
      draft.message = `Assertion failed: ${match[1] ?? ''}`;
      draft.location = { file: match[2] ?? '', line: Number(match[4]), function: match[3] ?? null };
      return;
    }
    // The place is the handler's, always the same.
    draft.kind = 'fault';
    draft.message = `exception ${vector[1] === undefined ? 'without a name' : `#${vector[1]}`}`;
    readPlace(draft);
  },
  lines: [],
};

const kernelError: CrashGrammar = {
  name: 'kernel-error',
  source: 'src/kernel/boot-services.h FatalError: all its callers',
  kind: 'panic',
  start:
    /^Kernel error: ((?:abort|exit)\(\) requested|Invalid Faulting address = ((?:0x)?[0-9a-f]{1,16}), error code = \d{1,5}, alloc to \S{1,18}, cpu (\d{1,4})|Invalid memory map provided\.|__cxa_bad_(?:cast: dynamic_cast failed|typeid)|\w{1,32} requested|stdio read requested)$/,
  glued: 'Kernel error: ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (match[2] !== undefined) {
      draft.kind = 'fault';
      draft.faultAddress = hexWord(match[2]);
      draft.vcpu = Number(match[3]);
    } else if (draft.message === 'abort() requested') {
      draft.kind = 'abort';
      // dlmalloc's check of its own heap says so just before.
      if (/^Allocator fatal error, CPU = \d{1,4}$/.test(draft.before?.text ?? '')) {
        draft.kind = 'panic';
        draft.message = 'Allocator fatal error: abort() requested';
      }
    }
  },
  lines: [],
};

const protection: CrashGrammar = {
  name: 'general-protection',
  source: 'src/kernel/irqs.cc exception_GP_event',
  kind: 'fault',
  start:
    /^\[GP\+\] >>>> RIP = (0x[0-9a-f]{1,16}), CS = 0x[0-9a-f]{1,4}, ERRCODE = \d{1,10}, RAX = (0x[0-9a-f]{1,16}) CPU = (\d{1,4})$/,
  glued: '[GP+] >>>> RIP = ',
  begin: (match, draft) => {
    draft.message = 'general protection';
    draft.registers = { rip: hexWord(match[1]) ?? 0n, rax: hexWord(match[2]) ?? 0n };
    draft.vcpu = Number(match[3]);
  },
  lines: [],
};

const uncaught: CrashGrammar = {
  name: 'uncaught-exception',
  source: 'src/kernel/thread.cc',
  kind: 'exception',
  start: /^Uncaught exception: (?:(\S{1,512}):(\d{1,9}): )?(.{1,2000})$/,
  begin: (match, draft) => {
    draft.message = match[3] ?? '';
    if (match[1] !== undefined) draft.location = { file: match[1], line: Number(match[2]), function: null };
  },
  lines: [
    {
      pattern: /^ {4}at (?:(.{1,512}) \()?([^()\s]{1,512}):(\d{1,9}):(\d{1,9})\)?$/,
      to: 'stack',
      read: (match, draft) => {
        draft.frames.push(
          reportedFrame({
            function: match[1] ?? null,
            file: match[2] ?? null,
            line: Number(match[3]),
            column: Number(match[4]),
          }),
        );
      },
    },
    { pattern: /^ {4}at (?:.{1,512} \()?(?:native|<anonymous>)\)?$/ },
    // V8's stack begins with the exception again.
    { pattern: /^[A-Z]\w{0,63}(?:Error|Exception)?(?:: .{0,2000})?$/, in: '', to: 'stack' },
  ],
  maxForeignLines: 2,
  confirmed: (draft) => draft.frames.length > 0,
};

/** runtime.js. */
export const runtimejs: Unikernel = {
  name: 'runtimejs',
  title: 'runtime.js',
  support: {
    levels: ['text'],
    tried: 'texts written from its source (0a6e84c, 2019); no package carries its kernel, so no image was run here',
    silent: 'A null dereference is no fault at all: its kernel maps any page below 128 TiB that is touched.',
  },
  recognise: {
    symbols: ['exception_GP_event', '_ZN2rt10MemManager9PageFaultEPvm'],
    sections: [],
    banner: /^runtime\.js kernel build #\d{1,6}\.$/,
  },
  crashes: [kernelAssertion, kernelError, protection, uncaught],
  unwindRules: [],
  deadIn: ['_ZN2rt3Cpu10HangSystemEv', '_ZN2rt11CpuPlatform10HangSystemEv', '_ZN2rt12BootServices10FatalErrorEPKcz'],
  idleIn: ['_ZN2rt3Cpu9WaitPauseEv'],
  crashMachinery: [
    /^(?:exception_\w+_event|__assert_fail|abort|allocator_abort|rt::(?:BootServices::FatalError|Cpu(?:Platform)?::HangSystem)(?:\(.*)?)$/,
  ],
  explainExit: () => null,
};
