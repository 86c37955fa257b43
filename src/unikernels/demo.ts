// The demo guest of this project (test/guests/demo): x86-64, PVH boot. Its panic text is described at the head of trap.c.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashKind } from '../model/crash.ts';
import type { CrashDraft, CrashGrammar, Unikernel } from '../model/unikernel.ts';
import { hexWord, missingRegisters, readRegisterPairs, X86_64_GENERAL } from './printed-registers.ts';
import { readRing, readWords } from './stack-words.ts';

const LOG_SIZE = 64 * 1024;
const EXCEPTION = / \((?:#[A-Z]{2}|NMI)\)$/;

function kindOf(what: string): CrashKind {
  if (what.startsWith('assertion failed: ')) return 'assert';
  if (what.startsWith('out of memory')) return 'out-of-memory';
  if (what === 'abort called') return 'abort';
  return EXCEPTION.test(what) || what.startsWith('stack overflow') || what.startsWith('exception ') ? 'fault' : 'panic';
}

/** `assertion failed: CONDITION (FILE:LINE, FUNCTION)` */
function readLocation(what: string, draft: CrashDraft): void {
  const match = /\(([^()\s]{1,512}):(\d{1,9}), (\w{1,256})\)$/.exec(what);
  if (match !== null) draft.location = { file: match[1] ?? '', line: Number(match[2]), function: match[3] ?? null };
}

const panic: CrashGrammar = {
  name: 'panic',
  source: 'test/guests/demo/trap.c',
  kind: 'panic',
  start: /^PANIC: (.+) cpu (\d+) thread (\S+)$/,
  glued: 'PANIC: ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.kind = kindOf(draft.message);
    draft.vcpu = Number(match[2]);
    if (draft.kind === 'assert') readLocation(draft.message, draft);
  },
  lines: [
    {
      pattern: /^address (0x[0-9a-f]{1,16}) error 0x[0-9a-f]{1,16}$/,
      read: (match, draft) => {
        draft.faultAddress = hexWord(match[1]);
      },
    },
    { pattern: /^error 0x[0-9a-f]{1,16}$/ },
    {
      pattern: /^(?:r[a-z0-9]{1,2}|rip|cr2)=0x[0-9a-f]{16} /,
      read: (match, draft) => {
        readRegisterPairs(match.input, draft);
      },
    },
    { pattern: /^trace:$/ },
    {
      pattern: /^ {2}#(\d+) (0x[0-9a-f]{1,16})$/,
      read: (match, draft) => {
        draft.frames.push(reportedFrame({ address: hexWord(match[2]), addressIs: match[1] === '0' ? 'exact' : 'return' }));
      },
    },
    { pattern: /^scan:$/ },
    {
      pattern: /^ {2}\? (0x[0-9a-f]{1,16})$/,
      read: (match, draft) => {
        draft.frames.push(reportedFrame({ address: hexWord(match[1]), addressIs: 'return', trust: 'scan' }));
      },
    },
  ],
  end: /^-- halted --$/,
  finish: (draft) => {
    draft.corrupted = missingRegisters(draft, X86_64_GENERAL);
  },
};

const doublePanic: CrashGrammar = {
  name: 'double-panic',
  source: 'test/guests/demo/trap.c',
  kind: 'panic',
  start: /^PANIC: (panic while panicking: .+) at (0x[0-9a-f]{1,16})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.frames.push(reportedFrame({ address: hexWord(match[2]) }));
  },
  lines: [],
  end: /^-- halted --$/,
};

/** The demo guest. */
export const demo: Unikernel = {
  name: 'demo',
  title: 'unidbg demo guest',
  support: {
    levels: ['live', 'post-mortem', 'text'],
    tried: "unidbg's own test guest, in three builds, on QEMU 7.2 and 10.0, in every test run",
    silent:
      "A triple fault, a deadlock, a spin, memory that is used up, a boot that never ends: from the VM's state, registers, stacks and threads.",
  },
  recognise: { symbols: ['switch_resume'], sections: [], banner: /^demo: unikernel up, / },
  crashes: [doublePanic, panic],
  unwindRules: [],
  deadIn: ['halt_dead'],
  idleIn: ['sched_run'],
  starvesIn: [/^alloc_or_wait$/],
  readFreeMemory: ({ memory, findSymbol }) => {
    const stats = findSymbol('alloc_stats');
    const [total, used] = (stats === null ? null : readWords(memory, stats.address, 2)) ?? [];
    if (total === undefined || used === undefined || used > total || total === 0n) return null;
    return { freeBytes: Number(total - used), totalBytes: Number(total) };
  },
  crashMachinery: [
    /^(?:die|die_of_exception|halt_dead|panic|assert_failed|trap_handler|trap_entry|vector_\d+|alloc_or_panic|alloc_or_wait|power_report_panic)$/,
    /^(?:switch_context|switch_to|reschedule|mutex_lock)$/,
  ],
  explainExit: () => null,
  readMemoryLog: ({ memory, findSymbol }) => {
    const log = findSymbol('console_log');
    const written = log === null ? null : (readWords(memory, log.address + BigInt(LOG_SIZE), 1)?.[0] ?? null);
    return log === null || written === null || written === 0n ? null : readRing(memory, log.address, LOG_SIZE, written);
  },
};
