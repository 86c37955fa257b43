// The Xen hypervisor's own console (`xl dmesg`, serial): the only witness when a guest dies without a word, and of its own death.
// Read from Xen 4.3, 4.14, 4.16 and a tree of 2026 (xen/arch/x86/{traps,domain}.c, pv/traps.c, hvm/hvm.c, common/domain.c,
// drivers/char/console.c) and seen on Xen 4.17.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Unikernel } from '../model/unikernel.ts';
import { hexWord, missingRegisters, readRegisterPairs, X86_64_GENERAL } from './printed-registers.ts';

/** Words of the guest's stack as they come, from the address up. Kept beside the draft: no other system prints its stack so. */
const stacks = new WeakMap<CrashDraft, { readonly from: bigint; readonly words: bigint[] }>();
const MAX_WORDS = 4096;

const REGISTERS: readonly CrashLine[] = [
  { pattern: /^----\[ Xen-.{1,128} \]----$/ },
  { pattern: /^CPU: {4}\d{1,4}$/ },
  {
    pattern: /^RIP: {4}[0-9a-f]{4}:\[<([0-9a-f]{16})>\]/,
    to: 'state',
    read: (match, draft) => {
      draft.registers.rip = hexWord(match[1]) ?? 0n;
    },
  },
  {
    pattern: /^RFLAGS: ([0-9a-f]{16})(?: .{0,100}?(?:\(d\d{1,5}v(\d{1,4})\))?)?$/,
    read: (match, draft) => {
      draft.registers.eflags = hexWord(match[1]) ?? 0n;
      if (match[2] !== undefined) draft.vcpu ??= Number(match[2]);
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
];

const PAGE_WALK: readonly CrashLine[] = [
  {
    pattern: /^Pagetable walk from ([0-9a-f]{16}):$/,
    read: (match, draft) => {
      draft.faultAddress ??= hexWord(match[1]);
    },
  },
  { pattern: /^ L[1-4]\[0x[0-9a-f]{3}\] = / },
];

const GUEST: readonly CrashLine[] = [
  ...REGISTERS,
  ...PAGE_WALK,
  { pattern: /^\*\*\* Dumping Dom\d{1,5} vcpu#\d{1,4} state: \*\*\*$/ },
  {
    pattern: /^Guest stack trace from (?:rsp|sp)=([0-9a-f]{16}): ?$/,
    to: 'stack',
    read: (match, draft) => {
      stacks.set(draft, { from: hexWord(match[1]) ?? 0n, words: [] });
    },
  },
  { pattern: /^Guest stack trace from /, to: 'stack' },
  {
    pattern: /^ {1,4}[0-9a-f]{16}(?: [0-9a-f]{16}){0,3}$/,
    in: 'stack',
    read: (match, draft) => {
      const words = stacks.get(draft)?.words;
      const row = match[0].trim().split(' ');
      if (words !== undefined && words.length < MAX_WORDS) words.push(...row.map((word) => BigInt(`0x${word}`)));
    },
  },
  { pattern: /^ {1,4}[0-9a-f]{8}(?: [0-9a-f]{8}){0,7}$/, in: 'stack' },
  { pattern: /^ {1,4}(?:Stack empty|Fault while accessing guest memory|Guest-inaccessible memory)\.?$/, in: 'stack' },
  { pattern: /^domain_crash(?:_sync)? called from / },
  {
    pattern: /^Domain \d{1,5} \(vcpu#(\d{1,4})\) crashed on cpu#\d{1,4}:$/,
    to: 'crashed',
    read: (match, draft) => {
      draft.vcpu ??= Number(match[1]);
    },
  },
];

/** The callers by frame pointers, as far as the stack was printed. */
function walkStack(draft: CrashDraft): void {
  const stack = stacks.get(draft);
  const read = (address: bigint): bigint | undefined =>
    stack === undefined || address < stack.from || address % 8n !== 0n
      ? undefined
      : stack.words[Number((address - stack.from) / 8n)];
  let frame = draft.registers.rbp ?? 0n;
  for (;;) {
    const [next, caller] = [read(frame), read(frame + 8n)];
    if (next === undefined || caller === undefined || caller === 0n) return;
    draft.frames.push(reportedFrame({ address: caller, addressIs: 'return' }));
    if (next <= frame) return;
    frame = next;
  }
}

function finishGuest(draft: CrashDraft): void {
  if (draft.registers.rip !== undefined) draft.frames.push(reportedFrame({ address: draft.registers.rip }));
  walkStack(draft);
  draft.corrupted ??= missingRegisters(draft, X86_64_GENERAL);
}

function begin(match: RegExpExecArray, draft: CrashDraft): void {
  draft.message = match[2] ?? '';
  if (match[1] !== undefined) draft.vcpu = Number(match[1]);
}

const tripleFault: CrashGrammar = {
  name: 'triple-fault',
  source: 'xen/arch/x86/hvm/hvm.c hvm_triple_fault',
  kind: 'fault',
  start: /^d\d{1,5}v(\d{1,4}) (Triple fault - invoking HVM shutdown action \d)$/,
  begin,
  lines: GUEST,
  finish: finishGuest,
};

const unhandled: CrashGrammar = {
  name: 'unhandled-fault',
  source: 'xen/arch/x86/pv/traps.c pv_inject_event',
  kind: 'fault',
  start:
    /^(?:(?:traps\.c:\d{1,5}:)?d\d{1,5}:?v?(\d{1,4})?:? )(Unhandled: vec \d{1,3}, #[A-Z]{2,3}\[[0-9a-f]{4}\]|Unhandled .{1,48} fault\/trap \[#\d{1,3}(?:, ec=[0-9a-f]{4})?\](?: on VCPU \d{1,4} \[ec=[0-9a-f]{4}\])?|unhandled page fault \(ec=[0-9A-F]{4}\))$/,
  begin,
  lines: GUEST,
  finish: finishGuest,
};

const NO_STACK = /^domain_crash_sync called from .{1,64}: fault at .{1,64}#(?:domain_crash_page_fault|create_bounce_frame)/;

/**
 * Domains crashed by the hypervisor. Most are PV guests whose stack ran out or was lost: the exception of that cannot be delivered
 * (`create_bounce_frame`), so nothing but this tells it. The page walk is then of the exception frame's place, no fault of the guest's.
 */
const domainCrash: CrashGrammar = {
  name: 'domain-crash',
  source: 'xen/arch/x86/traps.c asm_domain_crash_synchronous, xen/common/domain.c __domain_crash',
  kind: 'fault',
  start:
    /^(?:Pagetable walk from [0-9a-f]{16}:|domain_crash(?:_sync)? called from .{1,256}|(?:Domain \d{1,5} \(vcpu#(\d{1,4})\) crashed on cpu#\d{1,4}):)$/,
  begin: (match, draft) => {
    draft.message = match[0].startsWith('domain_crash') ? match[0] : 'the hypervisor crashed the domain';
    if (match[1] !== undefined) draft.vcpu = Number(match[1]);
    draft.faultAddress = hexWord(/^Pagetable walk from ([0-9a-f]{16}):/.exec(match[0])?.[1]);
    draft.section = match[0].startsWith('Domain ') ? 'crashed' : '';
  },
  lines: [
    {
      pattern: /^domain_crash(?:_sync)? called from .{1,256}$/,
      read: (match, draft) => {
        draft.message = match[0];
        if (!NO_STACK.test(match[0]) || draft.faultAddress === null) return;
        draft.message = `no writable stack for an exception frame\n${match[0]}`;
        draft.faultAddress = null;
      },
    },
    ...GUEST,
  ],
  // A page walk alone is printed by debug keys, and by the hypervisor's own fatal page fault.
  confirmed: (draft) => draft.section !== '',
  finish: finishGuest,
};

const crashedByOther: CrashGrammar = {
  name: 'reported-crashed',
  source: 'xen/common/domain.c __domain_crash',
  kind: 'panic',
  start: /^(Domain \d{1,5}) (reported crashed by domain \d{1,5}) on cpu#\d{1,4}:$/,
  begin: (match, draft) => {
    draft.message = match[2] ?? '';
  },
  lines: [],
};

const STARS = /^\*{40}$/;

const HYPERVISOR: readonly CrashLine[] = [
  ...REGISTERS,
  { pattern: /^Xen code around <[0-9a-f]{16}> \(.{1,256}\)(?: \[fault on access\])?:$/ },
  { pattern: /^(?: (?:<(?:[0-9a-f]{2}|--)>|[0-9a-f]{2}|--)){8,32}$/ },
  { pattern: /^Xen stack trace from rsp=[0-9a-f]{16}:$/, to: 'stack' },
  { pattern: /^ {2,4}[0-9a-f]{16}(?: [0-9a-f]{16}){0,3}$/, in: 'stack' },
  { pattern: /^(?:Xen call trace:|Xen stack overflow \(dumping trace .{1,64}\):)$/, to: 'trace' },
  {
    // R is the pc, F a frame's return address, S a word of the stack that may be one. `file.c#static_function`.
    pattern:
      /^ {3}\[<([0-9a-f]{16})>\] (?:([RFS]) )?(?:([\w./-]{1,128})#)?([\w.$]{1,256})\+(?:0x)?([0-9a-f]{1,8})\/0x[0-9a-f]{1,8}$/,
    in: 'trace',
    read: (match, draft) => {
      const isPc = match[2] === 'R' || (match[2] === undefined && draft.frames.length === 0);
      draft.frames.push(
        reportedFrame({
          address: hexWord(match[1]),
          addressIs: isPc ? 'exact' : 'return',
          function: match[4] ?? null,
          functionOffset: Number.parseInt(match[5] ?? '0', 16),
          file: match[3] ?? null,
          trust: isPc || match[2] === 'F' ? 'reported' : 'scan',
        }),
      );
    },
  },
  ...PAGE_WALK,
  { pattern: /^(?:Valid stack range: |Current stack base |No stack overflow detected)/ },
  { pattern: STARS, in: 'panic', to: 'after' },
  { pattern: STARS },
  { pattern: /^Panic on CPU \d{1,5}:$/, to: 'panic' },
  {
    pattern: /^.{1,400}$/,
    in: 'panic',
    read: (match, draft) => {
      readPanicWords(match[0], draft);
    },
  },
];

/** One line of what panic() was called with. */
function readPanicWords(line: string, draft: CrashDraft): void {
  const address = /^Faulting linear address: ([0-9a-f]{16})$/.exec(line);
  const location = /^(?:Xen BUG at|Assertion '.*' failed at) (\S{1,512}):(\d{1,9})$/.exec(line);
  if (address !== null) draft.faultAddress = hexWord(address[1]);
  if (location !== null) draft.location ??= { file: location[1] ?? '', line: Number(location[2]), function: null };
  if (location !== null && line.startsWith('Assertion ')) draft.kind = 'assert';
  if (/^(?:FATAL (?:RESERVED )?TRAP|FATAL PAGE FAULT|GENERAL PROTECTION FAULT|DOUBLE FAULT|CONTROL-FLOW)/.test(line))
    draft.kind = 'fault';
  if (/out of memory|not enough memory/i.test(line)) draft.kind = 'out-of-memory';
  if (draft.message === '') draft.message = line.trim();
}

const PANIC_END = /^(?:(?:Reboot|Crash) in five seconds\.\.\.|Manual reset required \('noreboot' specified\))$/;

/** The hypervisor's own end: state and trace first, the panic's words last. */
const panic: CrashGrammar = {
  name: 'panic',
  source: 'xen/drivers/char/console.c panic, xen/arch/x86/traps.c fatal_trap, do_invalid_op',
  kind: 'panic',
  start:
    /^(?:Panic on CPU \d{1,5}:|----\[ Xen-.{1,128} \]----|\*\*\* DOUBLE FAULT \*\*\*|Xen BUG at \S{1,512}:\d{1,9}|Assertion '.{1,1000}' failed at \S{1,512}:\d{1,9})$/,
  begin: (match, draft) => {
    draft.section = match[0].startsWith('Panic') ? 'panic' : '';
    if (/^(?:Xen BUG|Assertion)/.test(match[0])) readPanicWords(match[0], draft);
  },
  lines: HYPERVISOR,
  end: PANIC_END,
  // State alone is what debug keys print; an assertion in other words may be anybody's.
  confirmed: (draft) => draft.message !== '' && (draft.section === 'panic' || draft.section === 'after'),
};

/** Xen's console, as a witness of its guests. */
export const xen: Unikernel = {
  name: 'xen',
  title: 'Xen hypervisor console',
  support: {
    levels: ['text'],
    tried: "Xen 4.17 under QEMU; recorded texts of guests' deaths, of dom0's and of its own",
    silent: "Which guest it was by name: domain numbers are in `xl list`. A guest's stack beyond what was printed.",
  },
  recognise: { symbols: [], sections: [], banner: null },
  prefix: /^\(XEN\) (?:\[ *\d{1,9}\.\d{1,9}\] |\[[-\d]{10} [:\d]{8}(?:\.\d{1,9})?\] )?/,
  crashes: [tripleFault, unhandled, domainCrash, crashedByOther, panic],
  halt: /^(?:Hardware )?Dom(?:ain )?0 (?:crashed|halted): /,
  unwindRules: [],
  deadIn: [],
  idleIn: [],
  crashMachinery: [/^(?:panic|machine_restart|fatal_trap|do_page_fault|do_invalid_op|do_double_fault|show_execution_state)$/],
  explainExit: () => null,
};
