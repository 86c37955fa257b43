// The Xen hypervisor's own console (`xl dmesg`, serial): the only witness when a guest dies without a word.
// Read from Xen 4.17 (xen/arch/x86/{traps,domain}.c, common/domain.c) and seen on real hosts.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Unikernel } from '../model/unikernel.ts';
import { hexWord, readRegisterPairs } from './printed-registers.ts';

const STATE: readonly CrashLine[] = [
  { pattern: /^(?:\*\*\* Dumping Dom\d{1,5} vcpu#\d{1,4} state: \*\*\*|----\[ Xen-.{1,128} \]----)$/ },
  { pattern: /^CPU: {4}\d{1,4}$/ },
  {
    pattern: /^RIP: {4}[0-9a-f]{4}:\[<([0-9a-f]{16})>\]/,
    to: 'state',
    read: (match, draft) => {
      draft.registers.rip = hexWord(match[1]) ?? 0n;
    },
  },
  {
    pattern: /^RFLAGS: ([0-9a-f]{16})(?: .{0,100})?$/,
    read: (match, draft) => {
      draft.registers.eflags = hexWord(match[1]) ?? 0n;
    },
  },
  {
    pattern: /^(?:r[a-z0-9]{1,2}|cr[0-4]|[fg]sb): {1,4}[0-9a-f]{16}/,
    in: 'state',
    read: (match, draft) => {
      readRegisterPairs(match.input, draft);
    },
  },
  { pattern: /^ds: [0-9a-f]{4} /, in: 'state' },
  { pattern: /^Guest stack trace from rsp=/, to: 'stack' },
  { pattern: /^ {1,4}[0-9a-f]{16}(?: [0-9a-f]{16}){0,3}$/, in: 'stack' },
  { pattern: /^(?:Pagetable walk from [0-9a-f]{16}:| L[1-4]\[0x[0-9a-f]{3}\] = )/ },
  { pattern: /^Domain \d{1,5} \(vcpu#\d{1,4}\) crashed on cpu#\d{1,4}:$/ },
  { pattern: /^domain_crash(?:_sync)? called from / },
];

function begin(match: RegExpExecArray, draft: CrashDraft): void {
  draft.message = match[1] ?? '';
  draft.vcpu = match[2] === undefined ? null : Number(match[2]);
}

const tripleFault: CrashGrammar = {
  name: 'triple-fault',
  source: 'xen/arch/x86/hvm/hvm.c hvm_triple_fault',
  kind: 'fault',
  start: /^d\d{1,5}v\d{1,4} (Triple fault - invoking HVM shutdown action \d)$/,
  begin,
  lines: STATE,
};

const unhandled: CrashGrammar = {
  name: 'unhandled-fault',
  source: 'xen/arch/x86/traps.c, pv/traps.c',
  kind: 'fault',
  start: /^d\d{1,5}v\d{1,4} (Unhandled: vec \d{1,3}, #[A-Z]{2,3}\[[0-9a-f]{4}\])$/,
  begin,
  lines: STATE,
};

const crashed: CrashGrammar = {
  name: 'domain-crash',
  source: 'xen/common/domain.c __domain_crash',
  kind: 'fault',
  start: /^(Domain \d{1,5} \(vcpu#(\d{1,4})\) crashed on cpu#\d{1,4}):$/,
  begin,
  lines: STATE,
  finish: (draft) => {
    if (draft.registers.rip !== undefined) draft.frames.push(reportedFrame({ address: draft.registers.rip }));
  },
};

/** Xen's console, as a witness of its guests. */
export const xen: Unikernel = {
  name: 'xen',
  title: 'Xen hypervisor console',
  support: {
    levels: ['text'],
    tried: 'Xen 4.17 under QEMU; recorded texts',
    silent: null,
  },
  recognise: { symbols: [], sections: [], banner: null },
  prefix: /^\(XEN\) (?:\[ *\d{1,9}\.\d{1,9}\] )?/,
  crashes: [tripleFault, unhandled, crashed],
  unwindRules: [],
  deadIn: [],
  idleIn: [],
  crashMachinery: [],
  explainExit: () => null,
};
