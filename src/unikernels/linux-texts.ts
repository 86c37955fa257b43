// How a Linux kernel dies, in words: oopses (arch/x86/mm/fault.c, arch/x86/kernel/{traps,dumpstack}.c, arch/arm64/kernel/traps.c),
// panics (kernel/panic.c), its watchdogs (kernel/watchdog.c, hung_task.c, rcu/tree_stall.h) and the OOM killer (mm/oom_kill.c).
// A WARNING is none: the kernel goes on.

import { type ReportedFrame, reportedFrame } from '../model/console-text.ts';
import type { CrashKind } from '../model/crash.ts';
import type { CrashDraft, CrashGrammar, CrashLine } from '../model/unikernel.ts';
import { SIGNALS } from './nanos-texts.ts';
import { hexWord, I386_GENERAL, missingRegisters, readRegisterPairs, X86_64_GENERAL } from './printed-registers.ts';

/** `name+0x1f/0x40`, `name+0x1f/0x40 [module]`; before Linux 4.10 led by `[<address>]`. */
const PLACE = String.raw`(?:\[<([0-9a-f]{8,16})>\] {1,2})?(\? )?([\w.$]{1,256})\+0x([0-9a-f]{1,8})\/0x[0-9a-f]{1,8}(?: .{0,128})?`;

/** The frame of a match whose groups from `at` on are those of `PLACE`. */
function frameOf(match: RegExpExecArray, at: number, addressIs: ReportedFrame['addressIs']): ReportedFrame {
  const [address, guess, name, offset] = match.slice(at);
  return reportedFrame({
    address: hexWord(address),
    addressIs,
    function: name ?? null,
    functionOffset: Number.parseInt(offset ?? '0', 16),
    trust: guess === undefined ? 'reported' : 'scan',
  });
}

/** On arm64 the trace begins with the pc, which was told already. */
function pushFrame(draft: CrashDraft, frame: ReportedFrame): void {
  const first = draft.frames.length === 1 ? draft.frames[0] : undefined;
  if (first?.function !== undefined && first.function === frame.function && first.functionOffset === frame.functionOffset) return;
  draft.frames.push(frame);
}

/** Registers before the trace are the crash's; those in it are of interrupted code and of user space, those behind are the same again. */
function readRegisters(match: RegExpExecArray, draft: CrashDraft): void {
  if (draft.section === '') readRegisterPairs(match.input, draft);
}

const REGISTERS: readonly CrashLine[] = [
  { pattern: /^(?:R[A-Z0-9]{2}|R[SB]P|CR[02]|CS): {1,2}(?:[0-9a-f]{4}:)?[0-9a-f]{4,16}(?: |$)/, read: readRegisters },
  {
    pattern: /^(?:E[A-D]X|ESI|DS): [0-9a-f]{4,8} /,
    read: (match, draft) => {
      draft.machine = 'i386';
      readRegisters(match, draft);
    },
  },
  { pattern: /^[FG]S: {1,2}[0-9a-f]{4,16}/ },
  {
    // arm64: `sp : …`, `x29: … x28: …`; the values of pc and lr are only names.
    pattern: /^(?:sp : [0-9a-f]{16}|x\d{1,2} {0,2}: ?[0-9a-f]{16}(?: x\d{1,2} {0,2}: ?[0-9a-f]{16}){0,2}) ?$/,
    read: (match, draft) => {
      if (draft.section !== '') return;
      draft.machine = 'aarch64';
      for (const [, name = '', value] of match.input.matchAll(/\b(sp|x\d{1,2}) {0,2}: ?([0-9a-f]{16})\b/g)) {
        draft.registers[name] = hexWord(value) ?? 0n;
      }
    },
  },
];

const PC: readonly CrashLine[] = [
  {
    pattern: new RegExp(`^(?:E?IP|RIP|pc|epc) ?: {1,2}(?:00[16][08]:)?(?:\\[<[0-9a-f]{8,16}>\\] {1,2}(?=\\[))?${PLACE}$`),
    in: '',
    read: (match, draft) => {
      const frame = frameOf(match, 1, 'exact');
      if (draft.frames.length === 0) draft.frames.push(frame);
    },
  },
  {
    // A jump to nowhere, code without symbols: the address alone.
    pattern: /^(?:RIP|EIP): (?:00[16][08]:)?0x([0-9a-f]{1,16})$/,
    in: '',
    read: (match, draft) => {
      draft.frames.push(reportedFrame({ address: hexWord(match[1]) }));
    },
  },
  // What an interrupt interrupted: the stack goes on there.
  {
    pattern: new RegExp(`^RIP: 0010:${PLACE}$`),
    in: 'trace',
    read: (match, draft) => {
      draft.frames.push(frameOf(match, 1, 'exact'));
    },
  },
  {
    pattern: /^RIP: 0033:0x([0-9a-f]{1,16})$/,
    in: 'trace',
    to: 'user',
    read: (match, draft) => {
      draft.frames.push(reportedFrame({ address: hexWord(match[1]) }));
    },
  },
  { pattern: /^(?:E?IP|RIP|EIP is at|pc|lr|epc| ra)(?: ?: ?| {1,2})(?:00[0-9a-f]{2}:)?\S/ },
];

const TRACE: readonly CrashLine[] = [
  { pattern: /^Call [Tt]race:(?: ?\(.{1,64}\))?$/, in: '', to: 'trace' },
  { pattern: /^Call [Tt]race:/, to: 'other' },
  {
    pattern: new RegExp(`^ {1,2}${PLACE}$`),
    in: 'trace',
    read: (match, draft) => {
      pushFrame(draft, frameOf(match, 1, 'return'));
    },
  },
  {
    pattern: /^ {1,2}(\? )?0x([0-9a-f]{8,16})$/,
    in: 'trace',
    read: (match, draft) => {
      const trust = match[1] === undefined ? 'reported' : 'scan';
      draft.frames.push(reportedFrame({ address: hexWord(match[2]), addressIs: 'return', trust }));
    },
  },
  { pattern: new RegExp(`^ {1,2}(?:${PLACE}|(?:\\? )?0x[0-9a-f]{8,16})$`) },
  { pattern: /^ {1,2}<\/TASK>$/, in: 'trace', to: 'traced' },
  { pattern: /^ {1,2}<\/?(?:TASK|IRQ|NMI|EOI|EOE|SOFTIRQ|#[A-Z]{2}1?|ENTRY_TRAMPOLINE)>/ },
];

/** What stands around: who ran, on what, what the page tables say. */
const AROUND: readonly CrashLine[] = [
  {
    pattern: /^CPU: (\d{1,4}) (?:UID: \d{1,10} )?PID: \d{1,10} Comm: /,
    read: (match, draft) => {
      draft.vcpu ??= Number(match[1]);
    },
  },
  {
    pattern:
      /^(?:Tainted: |Hardware name: |Workqueue: |Modules linked in:|Last unloaded: |Code: |PKRU: |Stack:$| {1,2}[0-9a-f]{16} )/,
  },
  { pattern: /^(?:PGD |P4D |\*p[dgm][a-z]* |\*pde = |#PF: |task: |Process .{1,64} \(pid: |\[[0-9a-f]{16}\] )/ },
  { pattern: /^(?:pstate: |Mem abort info:| {2}(?:ESR|EC|SET|EA|FSC|CM|ISV|GCS) = |Data abort info:|user pgtable: )/ },
  { pattern: /^ RSP <[0-9a-f]{16}>$/ },
  { pattern: /^(?:note: .{1,64} exited with |BUG: using |INFO: lockdep is turned off)/ },
  { pattern: /^-{12}\[ cut here \]-{12}$/ },
  {
    pattern: /^Kernel Offset: 0x([0-9a-f]{1,16}) from 0x[0-9a-f]{16}/,
    read: (match, draft) => {
      draft.loadOffsets.push({ module: null, base: hexWord(match[1]) ?? 0n, size: null });
    },
  },
  {
    pattern:
      /^(?:Kernel Offset: disabled|Rebooting in \d{1,6} seconds\.\.|Shutting down cpus with NMI|Dumping ftrace buffer:| {3}\(ftrace buffer empty\))/,
  },
  // The registers come once more behind it.
  { pattern: /^---\[ end trace [0-9a-f]{16} \]---$/, to: 'end', tellsAll: true },
];

/** `Oops: 0000 [#1] PREEMPT SMP`: without a number of oopses nothing of it is a crash's. */
const OOPS_COUNT: CrashLine = {
  pattern: /^(?:Internal error: )?[A-Z][A-Za-z -]{1,40}: [0-9a-f]{1,16} \[#\d{1,4}\]/i,
};

const LINES: readonly CrashLine[] = [OOPS_COUNT, ...PC, ...TRACE, ...AROUND, ...REGISTERS];

function isTold(draft: CrashDraft): boolean {
  return draft.frames.length > 0 || Object.keys(draft.registers).length > 0;
}

/** The names of the registers are told instead of the pc's value. */
function finishDump(draft: CrashDraft): void {
  if (draft.machine === 'aarch64') return;
  const general = draft.machine === 'i386' ? I386_GENERAL : X86_64_GENERAL;
  const names = general.filter((name) => name !== 'rip' && name !== 'eip');
  draft.corrupted ??= missingRegisters(draft, names);
}

function finishOops(draft: CrashDraft): void {
  if (draft.section !== 'end') draft.corrupted = 'the text breaks off before the end of the trace';
  finishDump(draft);
}

/** What all oopses go on with. */
const OOPS = { lines: LINES, confirmed: isTold, continuedBy: ['panic'], finish: finishOops } as const;

const badAddress: CrashGrammar = {
  name: 'bad-address',
  source: 'arch/x86/mm/fault.c show_fault_oops; arch/arm64/mm/fault.c die_kernel_fault',
  kind: 'fault',
  start:
    /^((?:BUG: (?:kernel NULL pointer dereference, address:|unable to handle (?:page fault for address:|kernel (?:NULL pointer dereference|paging request) at))|Unable to handle kernel .{1,64} at virtual address) ([0-9a-f]{8,16}))$/,
  glued: 'BUG: kernel NULL pointer dereference, address: ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.faultAddress = hexWord(match[2]);
  },
  ...OOPS,
};

const stackGuard: CrashGrammar = {
  name: 'stack-guard',
  source: 'arch/x86/kernel/traps.c handle_stack_overflow',
  kind: 'fault',
  start: /^(BUG: (?:\w{1,16} )?stack guard page was hit) at (?:0x)?[0-9a-f]{8,16} \(stack is /,
  glued: 'BUG: TASK stack guard page was hit at ',
  begin: (match, draft) => {
    draft.message = `${match[1] ?? ''} (stack overflow)`;
  },
  ...OOPS,
};

const kernelBug: CrashGrammar = {
  name: 'bug',
  source: 'lib/bug.c report_bug',
  kind: 'assert',
  start: /^(kernel BUG at (\S{1,512}):(\d{1,9})!)$/,
  glued: 'kernel BUG at ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.location = { file: match[2] ?? '', line: Number(match[3]), function: null };
  },
  ...OOPS,
};

/** Any exception that has no words of its own but its name. Since 6.10 `Oops: ` stands before it. */
const exception: CrashGrammar = {
  name: 'exception',
  source: 'arch/x86/kernel/dumpstack.c __die_header',
  kind: 'fault',
  start:
    /^(?:Oops: |Internal error: )?((?:general protection fault(?:, (?:probably for non-canonical|maybe for) address (0x[0-9a-f]{1,16}))?|invalid opcode|divide error|double fault|stack segment|segment not present|invalid TSS|alignment check|int3|control protection fault|machine check|simd exception|coprocessor (?:error|segment overrun)|device not available|overflow|bounds|Oops(?: - [\w ]{1,40})?): [0-9a-f]{1,16} \[#\d{1,4}\])(?: .{0,64})?$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.faultAddress = hexWord(match[2]);
  },
  ...OOPS,
};

const doubleFault: CrashGrammar = {
  name: 'double-fault',
  source: 'arch/x86/kernel/traps.c exc_double_fault',
  kind: 'fault',
  start: /^traps: (PANIC: double fault, error_code: 0x[0-9a-f]{1,16})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  ...OOPS,
};

const lockup: CrashGrammar = {
  name: 'lockup',
  source: 'kernel/watchdog.c watchdog_timer_fn, kernel/watchdog_hld.c',
  kind: 'hang',
  start:
    /^(?:NMI )?watchdog: ((?:BUG: soft lockup - CPU#(\d{1,4}) stuck for \d{1,6}s! \[.{1,64}\]|Watchdog detected hard LOCKUP on cpu (\d{1,4})))/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.vcpu = Number(match[2] ?? match[3]);
  },
  lines: LINES,
  confirmed: isTold,
  continuedBy: ['lockup', 'panic'],
  finish: finishDump,
};

const hungTask: CrashGrammar = {
  name: 'hung-task',
  source: 'kernel/hung_task.c check_hung_task',
  kind: 'hang',
  start: /^INFO: (task .{1,64} blocked (?:for more than|in I\/O wait for more than) \d{1,6} seconds)\.$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [
    { pattern: /^ {6}(?:Not tainted|Tainted: )/ },
    {
      // Where only warnings are printed, nothing more comes.
      pattern: /^"echo 0 > \/proc\/sys\/kernel\/hung_task_timeout_secs" disables this message\.$/,
      read: (_match, draft) => {
        if (draft.section === '') draft.section = 'told';
      },
    },
    { pattern: /^(?:task:\S{1,32} +state:|\S{1,32} +[DRS] +(?:[0-9a-f]{16} +)?\d+ +\d+ +\d+ 0x)/ },
    { pattern: /^Future hung task reports are suppressed/ },
    { pattern: /^Call Trace:$/, in: 'told', to: 'trace' },
    ...LINES,
  ],
  confirmed: (draft) => draft.section !== '',
  continuedBy: ['hung-task', 'panic'],
};

const rcuStall: CrashGrammar = {
  name: 'rcu-stall',
  source: 'kernel/rcu/tree_stall.h',
  kind: 'hang',
  start: /^(?:rcu: )?INFO: (rcu_\w{1,32} (?:detected (?:expedited )?stalls on CPUs\/tasks|self-detected stall on CPU))/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [
    { pattern: /^(?:rcu: )?\s{1,16}(?:\(?\d{1,4}-|\(detected by|\(t=|Tasks blocked on|Possible timer handling)/ },
    { pattern: /^rcu: (?!INFO: )\S/ },
    {
      pattern:
        /^(?:Sending NMI from CPU \d{1,4} to CPUs .{1,64}:|NMI backtrace for cpu \d{1,4}.{0,64}|task:\S{1,32} +state:.{0,128})$/,
    },
    ...LINES,
  ],
  confirmed: isTold,
  continuedBy: ['rcu-stall', 'panic'],
};

const outOfMemory: CrashGrammar = {
  name: 'oom-kill',
  source: 'mm/oom_kill.c __oom_kill_process',
  kind: 'out-of-memory',
  start:
    /^((?:Memory cgroup out of memory|Out of memory(?: \(oom_kill_allocating_task\))?): Kill(?:ed)? process \d{1,10} \(.{1,64}?\)) (?:total-vm:|score |UID)/,
  glued: 'Out of memory: Killed process ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [{ pattern: /^(?:Killed process \d{1,10} |oom_reaper: reaped process \d{1,10} )/ }],
  maxForeignLines: 1,
};

/** The guest's own program is init; anybody else's segmentation fault is not the guest's end. */
const userFault: CrashGrammar = {
  name: 'init-fault',
  source: 'arch/x86/mm/fault.c show_signal_msg, arch/x86/kernel/traps.c show_signal',
  kind: 'fault',
  start:
    /^(?:[\w.(/-][^[\]]{0,15}\[1\]: segfault at ([0-9a-f]{1,16}) ip ([0-9a-f]{1,16}) sp ([0-9a-f]{1,16}) error [0-9a-f]{1,8}|traps: .{1,16}?\[1\] (?:general protection fault|trap [\w ]{1,32}) ip:([0-9a-f]{1,16}) sp:([0-9a-f]{1,16}) error:[0-9a-f]{1,8})(?: in .{1,200}| likely on CPU .{1,64})?$/,
  begin: (match, draft) => {
    draft.message = match[0];
    draft.faultAddress = hexWord(match[1]);
    draft.registers = { rip: hexWord(match[2] ?? match[4]) ?? 0n, rsp: hexWord(match[3] ?? match[5]) ?? 0n };
    const loaded = / in ([^[\]]{1,128})\[(?:[0-9a-f]{1,16},)?([0-9a-f]{1,16})\+([0-9a-f]{1,16})\]/.exec(match[0]);
    draft.frames.push(reportedFrame({ address: draft.registers.rip ?? null }));
    if (loaded === null) return;
    draft.loadOffsets.push({ module: loaded[1] ?? null, base: hexWord(loaded[2]) ?? 0n, size: Number(hexWord(loaded[3])) });
  },
  lines: [{ pattern: /^Code: / }],
  maxForeignLines: 2,
  continuedBy: ['panic'],
};

const PANIC_KINDS: readonly (readonly [RegExp, CrashKind])[] = [
  [/^(?:Out of memory|System is deadlocked on memory)/, 'out-of-memory'],
  [/^(?:softlockup: |hung_task: |Hard LOCKUP|Watchdog detected hard LOCKUP|RCU Stall)/, 'hang'],
  [/^(?:Fatal (?:exception|hardware error|machine check)|Oops)/, 'fault'],
  [/^sysrq triggered crash$/, 'abort'],
];

/** `exitcode=0x0000000b`: the wait status of the program that was all there is. */
function readInitEnd(draft: CrashDraft): void {
  const status = /^Attempted to kill init! exitcode=0x([0-9a-f]{8})$/.exec(draft.message)?.[1];
  if (status === undefined) return;
  const signal = Number.parseInt(status, 16) & 0x7f;
  const exit = (Number.parseInt(status, 16) >> 8) & 0xff;
  const name = SIGNALS[signal];
  draft.message +=
    signal === 0 ? ` (init exited ${String(exit)})` : ` (signal ${String(signal)}${name === undefined ? '' : `, ${name}`})`;
  if (signal === 6) draft.kind = 'abort';
  else if ([4, 5, 7, 8, 11].includes(signal)) draft.kind = 'fault';
}

const panic: CrashGrammar = {
  name: 'panic',
  source: 'kernel/panic.c panic',
  kind: 'panic',
  start: /^Kernel panic - not syncing: (.{1,1000})$/,
  glued: 'Kernel panic - not syncing: ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.kind = PANIC_KINDS.find(([pattern]) => pattern.test(draft.message))?.[1] ?? 'panic';
    readInitEnd(draft);
  },
  // Where it is told to reboot at once, the last line does not come.
  lines: [
    {
      pattern: /^---\[ end Kernel panic - not syncing(?:: (.{0,1000}?))?(?: \]---)?$/,
      read: (match, draft) => {
        if (draft.message.startsWith(match[1] ?? '')) draft.section = 'end';
      },
    },
    ...LINES,
  ],
  confirmed: (draft) => draft.vcpu !== null || draft.section !== '' || draft.loadOffsets.length > 0,
};

export const CRASHES: readonly CrashGrammar[] = [
  badAddress,
  stackGuard,
  kernelBug,
  exception,
  doubleFault,
  lockup,
  hungTask,
  rcuStall,
  outOfMemory,
  userFault,
  panic,
];
