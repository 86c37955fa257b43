// OSv, x86-64. Read from osv 0e34e4dc (runtime.cc, core/mmu.cc, core/mempool.cc, arch/x64/{dump,exceptions,mmu}.cc) and seen
// on real guests. Every fatal stop is abort(): a message, then a backtrace of already adjusted addresses.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Unikernel } from '../model/unikernel.ts';
import { readOsvExitStatus, readOsvFreeMemory, readOsvLog } from './osv-memory.ts';
import { findOsvModules } from './osv-modules.ts';
import { hexWord, readRegisterPairs } from './printed-registers.ts';

/** The handlers of arch/x64/exceptions.cc and what they call on the way to abort(): the interrupted function comes after them. */
const HANDLER = new RegExp(
  '^(?:abort|osv::halt|page_fault|mmu::vm_fault|(?:mmu::)?vm_sigsegv|osv::handle_(?:mmap|segmentation)_fault|osv::generate_signal|ex_\\w+|general_protection|' +
    'invalid_opcode|divide_error|debug_exception|breakpoint|overflow|bound_range_exceeded|device_not_available|double_fault|' +
    'invalid_tss|segment_not_present|stack_fault|math_fault|alignment_check|machine_check|simd_exception)(?![\\w:])',
);

const MAX_HANDLERS = 8;

const BACKTRACE: readonly CrashLine[] = [
  { pattern: /^\[backtrace\]$/, to: 'backtrace' },
  {
    // Until 2014 without brackets.
    pattern: /^(0x[0-9a-f]{1,16}) (.{1,1000})\+(\d{1,12})$/,
    in: 'backtrace',
    read: readCaller,
  },
  {
    // The offset is decimal; `???+N` is no symbol but the low half of the address (exported names of programs are never found).
    pattern: /^(0x[0-9a-f]{16}) <(.{1,1000})\+(\d{1,12})>$/,
    in: 'backtrace',
    read: readCaller,
  },
];

function readCaller(match: RegExpExecArray, draft: CrashDraft): void {
  const known = match[2] !== '???';
  draft.frames.push(
    reportedFrame({
      address: hexWord(match[1]),
      function: known ? (match[2] ?? null) : null,
      functionOffset: known ? Number(match[3]) : null,
    }),
  );
}

const REGISTERS: readonly CrashLine[] = [
  { pattern: /^\[registers\]$/ },
  {
    pattern: /^(?:RIP|RFL|RAX|RSI|R9|R13): {1,2}0x[0-9a-f]{16}/,
    read: (match, draft) => {
      readRegisterPairs(match.input, draft);
      // The interrupted function is named here alone: the backtrace goes past it.
      const named = /^RIP: (0x[0-9a-f]{16}) <(.{1,1000})\+(\d{1,12})>$/.exec(match.input);
      if (named !== null) readCaller(named, draft);
    },
  },
  {
    pattern: /^(?:PC|PSTATE): 0x[0-9a-f]{16}|^X\d{2}: 0x[0-9a-f]{16} /,
    read: (match, draft) => {
      readArm64(match.input, draft);
    },
  },
];

/** arch/aarch64/dump.cc: `PC: …`, `X00: … X01: … X02: …`, `X30: … SP:  … ESR: …`. */
function readArm64(line: string, draft: CrashDraft): void {
  const names: Readonly<Record<string, string>> = { PC: 'pc', SP: 'sp', PSTATE: 'cpsr' };
  draft.machine = 'aarch64';
  for (const [, name = '', value] of line.matchAll(/\b(PC|SP|PSTATE|X\d{2}): {1,2}0x([0-9a-f]{16})/g)) {
    draft.registers[names[name] ?? `x${String(Number(name.slice(1)))}`] = hexWord(value) ?? 0n;
  }
}

/** The row of r13, r14, r15 prints r9, r10, r11 again (arch/x64/dump.cc): those three are not known. */
function dropWrongRegisters(draft: CrashDraft): void {
  for (const name of ['r13', 'r14', 'r15']) Reflect.deleteProperty(draft.registers, name);
}

/** The backtrace walks past the exception frame: the interrupted pc is missing in it and stands behind the handlers. */
function insertPc(draft: CrashDraft): void {
  const pc = draft.registers.rip ?? draft.registers.pc;
  const own = draft.frames[0]?.address === pc ? draft.frames.shift() : undefined;
  if (pc === undefined || draft.frames.some((frame) => frame.address === pc)) return;
  const last = draft.frames.slice(0, MAX_HANDLERS).findLastIndex((frame) => HANDLER.test(frame.function ?? ''));
  // The exception's entry in entry.S has no name: one `???` goes with the handlers.
  const isEntry = last >= 0 && draft.frames[last + 1]?.function === null;
  draft.frames.splice(isEntry ? last + 2 : last + 1, 0, own ?? reportedFrame({ address: pc }));
}

function isTraced(draft: CrashDraft): boolean {
  return draft.section === 'backtrace';
}

const registers: CrashGrammar = {
  name: 'fault',
  source: 'arch/{x64,aarch64}/dump.cc dump_registers, arch/x64/exceptions.cc',
  kind: 'fault',
  // `registers:` until 0.17.
  start: /^(?:\[registers\]|registers:)$/,
  begin: (_match, draft) => {
    const said = /^page fault outside application, addr: (0x[0-9a-f]{1,16})(?: pc:.{1,200})?$/.exec(draft.before?.text ?? '');
    draft.message = said?.[0] ?? '';
    draft.faultAddress = hexWord(said?.[1]);
  },
  lines: [
    ...REGISTERS,
    {
      pattern:
        /^(general protection fault|DUMMY_HANDLER for \w{1,64} aborting\.?|trying to execute .{1,64}|exception nested too deeply|page fault outside application, addr [0-9a-f]{1,16}|Aborted)$/,
      read: (match, draft) => {
        if (draft.message === '') draft.message = match[1] ?? '';
        draft.faultAddress ??= hexWord(/, addr ([0-9a-f]{1,16})$/.exec(match[1] ?? '')?.[1]);
      },
    },
    ...BACKTRACE,
  ],
  confirmed: (draft) => (draft.registers.rip ?? draft.registers.pc) !== undefined,
  finish: (draft) => {
    dropWrongRegisters(draft);
    insertPc(draft);
  },
};

const assertion: CrashGrammar = {
  name: 'assert',
  source: 'runtime.cc __assert_fail',
  kind: 'assert',
  start: /^Assertion failed: (.{1,1000}) \((.{1,512}): (.{1,512}): (\d{1,9})\)$/,
  begin: (match, draft) => {
    draft.message = `Assertion failed: ${match[1] ?? ''}`;
    draft.location = { file: match[2] ?? '', line: Number(match[4]), function: match[3] ?? null };
  },
  lines: BACKTRACE,
  confirmed: isTraced,
};

const abort: CrashGrammar = {
  name: 'abort',
  source: 'runtime.cc abort, libc/signal.cc generate_signal',
  kind: 'abort',
  start:
    /^(Aborted|trying to execute null pointer|trying to execute or access missing symbol|__stack_chk_fail\(\): Stack overflow detected\. Aborting\.|\w{1,64}: aborting on failed check|Unreasonable allocation attempt, larger than memory\. Aborting\.|exception nested too deeply|panic: .{1,400}|Unknown p_type in executable .{1,400}: \d{1,10}|Unknown symbol type \d{1,5}|Non-PIC executable \[.{1,400}\] collides with kernel: .{1,64} !|could not load libenviron\.so|application::new_program\(\) out of namespaces\.|exhausted dynamic percpu pool|Can't allocate a Thread ID|Unimplemented futex\(\) operation \d{1,5}|mprotect\(\) on linear map not supported|Neither paravirtual clock nor HPET is available\.|unknown console:.{1,64}|Out of memory: could not reclaim any further\. Current memory: \d{1,12} Kb)$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (draft.message.startsWith('Out of memory') || draft.message.startsWith('Unreasonable')) draft.kind = 'out-of-memory';
    else if (draft.message.startsWith('trying to execute')) draft.kind = 'fault';
    else if (draft.message !== 'Aborted') draft.kind = 'panic';
    if (draft.message === 'trying to execute null pointer') draft.faultAddress = 0n;
  },
  lines: BACKTRACE,
  maxForeignLines: 2,
  confirmed: isTraced,
  finish: (draft) => {
    // A program's SEGV, FPE and BUS end as `Aborted` too; the handler in the backtrace tells them.
    const handlers = draft.frames.map((frame) => /^(?:page_fault|divide_error|simd_exception)/.exec(frame.function ?? '')?.[0]);
    const handler = handlers.find((name) => name !== undefined)?.replace('_', ' ');
    if (draft.kind !== 'abort' || handler === undefined) return;
    draft.kind = 'fault';
    draft.message = `${draft.message} (in the handler of a ${handler}; the backtrace leaves out the function that faulted)`;
  },
};

const missingSymbol: CrashGrammar = {
  name: 'missing-symbol',
  source: 'core/elf.cc object::symbol, object::symbol_other',
  kind: 'panic',
  start: /^(\/[^:\s]{0,400}: failed looking up symbol .{1,1000})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: BACKTRACE,
  maxForeignLines: 2,
  confirmed: isTraced,
};

/** OSv. */
export const osv: Unikernel = {
  name: 'osv',
  title: 'OSv',
  support: {
    levels: ['live', 'post-mortem', 'text'],
    tried:
      '0e34e4dc with C, C++, Go and Node programs; texts recorded from runs; those of arm64 and of v0.08 written from its source',
    silent:
      "Fault address and registers of a null dereference: the dead vCPU's stack is walked. That memory is used up: told from stacks and its count of free pages. Its program's exit code: read from its debug log in memory.",
  },
  recognise: {
    symbols: ['_ZN3osv4haltEv', '_ZN5sched6thread7currentEv', 'debug_buffer'],
    sections: ['.tracepoint_patch_sites', '.percpu'],
    banner: /^OSv v?\S{0,64}$/,
  },
  crashes: [registers, assertion, abort, missingSymbol],
  unwindRules: [],
  deadIn: ['_ZN3osv4haltEv', '_ZN4arch17halt_no_interruptsEv'],
  // arch/x64/power.cc, runtime.cc.
  stops: [
    { function: /^(?:abort|__assert_fail)(?![\w:])/, parameter: null, explain: () => 'crash' },
    {
      function: /^osv::(?:poweroff|shutdown)(?![\w:])/,
      parameter: null,
      explain: () => ({ code: null, how: 'OSv switched itself off' }),
    },
  ],
  idleIn: ['_ZN5sched3cpu4idleEv', '_ZN5sched3cpu7do_idleEv'],
  starvesIn: [
    /^(?:memory::page_pool::l[12]::(?:refill|fill_thread|alloc_page_batch)|memory::reclaimer(?:::(?:wait_for_(?:minimum_)?memory|_do_reclaim|_shrinker_loop)|_waiters::wait))(?![\w:])/,
  ],
  readFreeMemory: readOsvFreeMemory,
  crashMachinery: [
    HANDLER,
    // What calls a program's main: behind it the program is to blame, or nobody whom we can name.
    /^(?:osv::application::(?:run_main|main|start)|__libc_start_main|thread_main_c|sched::thread::main)(?![\w:])/,
    // Its allocators and what maps pages for them: who asked is what counts.
    /^(?:(?:memory|mmu)::|(?:untracked_)?alloc_page\b|mapped_malloc_large\b|page<mmu::)/,
    /^(?:_Z5abortPKcz|__assert_fail|_ZN3osv4haltEv|_ZN3osv15generate_signal\w*|_ZN3osv17handle_mmap_fault\w*|_ZN3mmu(?:8vm_fault|10vm_sigsegv)\w*)$/,
  ],
  // core/elf.cc program_base; several programs lie above each other from there on.
  loadsProgramsAt: 0x1000_0000_0000n,
  explainExit: () => null,
  readExitStatus: readOsvExitStatus,
  findModules: findOsvModules,
  readMemoryLog: readOsvLog,
};
