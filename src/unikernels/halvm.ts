// HaLVM: GHC's run time on Xen PV. Read from GaloisInc/halvm-ghc rts/xen/{faults,entryexit,locks,smp,memory}.c (2016, GHC 8.0).
// Haskell's own errors are in src/runtimes/haskell.ts.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashGrammar, Unikernel } from '../model/unikernel.ts';
import { hexWord } from './printed-registers.ts';

const fault: CrashGrammar = {
  name: 'fault',
  source: 'rts/xen/faults.c DEFINE_FAULT1, DEFINE_FAULT2',
  kind: 'fault',
  start:
    /^FAULT: (divide error|int3|overflow|bounds error|invalid operation|device not available|coprocessor segment overrun|invalid TSS|segment not present|stack segment|alignment check|machine check|page fault|general protection|debug|coprocessor error|SIMD math error|SIMD coprocessor error|spurious interrupt) at ((?:0x)?[0-9a-f]{1,16})(?:, error code ([0-9a-f]{1,16}))?$/,
  glued: 'FAULT: ',
  begin: (match, draft) => {
    draft.message = `FAULT: ${match[1] ?? ''}${match[3] === undefined ? '' : `, error code ${match[3]}`}`;
    draft.frames.push(reportedFrame({ address: hexWord(match[2]) }));
  },
  lines: [],
};

/** Impossible states of its locks and of its scheduler: an assertion or a hang follows, without words. */
const state: CrashGrammar = {
  name: 'state',
  source: 'rts/xen/locks.c, smp.c',
  kind: 'panic',
  start:
    /^ERROR: (Lock in weird state(?:!| \([23]\))|(?:Running|Blocked|Sleeping|Dead) thread on run queue\.|Unacceptable task state on sleeping queue: -?\d{1,9})$/,
  glued: 'ERROR: Lock in weird state',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [],
};

/** HaLVM. */
export const halvm: Unikernel = {
  name: 'halvm',
  title: 'HaLVM',
  support: {
    levels: ['text'],
    tried: 'texts written from its source (halvm-ghc 2016); no domain was run here',
    silent:
      "Faults: its trap table is not registered, so Xen's console alone tells them. A dead domain ends as poweroff, not as crash.",
  },
  recognise: {
    symbols: ['system_start_info', 'runtime_memprotect'],
    sections: [],
    banner: /^Starting \d{1,3}-CPU HaLVM$/,
  },
  crashes: [fault, state],
  omens: [
    {
      pattern: /^WARNING: Out of memory\. The GHC RTS is about to go nuts\.$/,
      kind: 'out-of-memory',
      explains: () => true,
    },
  ],
  unwindRules: [],
  deadIn: ['runtime_exit', 'shutdown'],
  idleIn: ['runtime_block'],
  crashMachinery: [
    /^(?:do_(?:page_fault|general_protection|invalid_op|divide_error|int3|overflow|bounds|stack_segment)|runtime_exit|shutdown|barf|vbarf|errorBelch)$/,
  ],
  explainExit: () => null,
};
