// How Unikraft dies, in words: the texts of 2024 (up to 0.17: plat/common/x86/{traps,trace}.c, no call trace of its own) and
// the crash screen of lib/ukdebug (0.15/0.16 in unikraft.cloud's builds, 0.18 and later everywhere).

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, CrashOmen } from '../model/unikernel.ts';
import { hexWord, missingRegisters, readRegisterPairs, X86_64_GENERAL } from './printed-registers.ts';
import { arm64Trap, minios64 } from './unikraft-older-texts.ts';

/** What print.c puts before a line, after the time stamp: every piece but the level is a matter of configuration. */
export const PREFIX =
  /^(?<level>CRIT|ERR|Warn|Info|dbg): +(?:<(?<thread>[^<>@]{1,64})> )?(?:\{r:[^{}]{1,64}\} )?(?:\[(?<lib>[\w.-]{1,64})\] )?(?:<(?<file>[^<>@]{1,128}) @ {1,5}(?<line>\d{1,6})> ?)?/;

/** An assertion's place is in its line's prefix. */
function locationOf(prefix: CrashDraft['prefix']): CrashDraft['location'] {
  return prefix.file === undefined ? null : { file: prefix.file, line: Number(prefix.line), function: null };
}

/** `RIP: 000000000011b6f5 CS: 0008`, or the screen's ` rip: 0008:0000000000113413`. */
const registerRow: CrashLine = {
  pattern: /^ ?(?:r[a-z0-9]{1,2}): ?(?:[0-9a-f]{4}:)?[0-9a-f]{16}(?: |$)/i,
  read: (match, draft) => {
    readRegisterPairs(match.input, draft);
  },
};

/** A walk over frame pointers, printed by recursion: it may cycle or run off (unikraft#823: 19,500 lines). */
const callerRow: CrashLine = {
  pattern: /^base is (0x[0-9a-f]{1,16}) caller is (0x[0-9a-f]{1,16}|0)$/,
  read: (match, draft) => {
    const base = hexWord(match[1]) ?? 0n;
    const caller = hexWord(match[2]) ?? 0n;
    const climbs = draft.lastSlot === null || base > draft.lastSlot;
    draft.lastSlot = base;
    if (!climbs) draft.corrupted = 'the printed walk over the stack does not go up: the frame pointers are damaged';
    else if (caller !== 0n) draft.frames.push(reportedFrame({ address: caller, addressIs: 'return' }));
  },
};

/** dump_mem's rows, uk_asmdump's, and the lines without any text that go with them. */
const memoryRow: CrashLine = { pattern: /^ *[0-9a-f]{1,16}:(?: |$)/ };
const registersAt: CrashLine = { pattern: /^Regs address 0x/ };
const handlerError: CrashLine = { pattern: /^(?:page fault|trap|event) handler returned error: -?\d+$/ };
const unhandledFault: CrashLine = {
  pattern: /^Unhandled page fault vaddr=(0x[0-9a-f]{1,16}|0), error code=/,
  read: (match, draft) => {
    draft.faultAddress = hexWord(match[1]);
  },
};

const DUMP: readonly CrashLine[] = [registerRow, callerRow, memoryRow, registersAt, handlerError, unhandledFault];

function finishDump(draft: CrashDraft): void {
  draft.corrupted ??= missingRegisters(draft, X86_64_GENERAL);
}

const pageFault: CrashGrammar = {
  name: 'page-fault',
  source: 'lib/ukvmem/arch/x86_64/pagefault.c, plat/common/x86/traps.c do_page_fault',
  kind: 'fault',
  start: /^(Cannot handle (?:read|write|exec) page fault at (0x[0-9a-f]{1,16}) \(ec: 0x[0-9a-f]{1,8}\): .{1,128})$/,
  glued: 'Cannot handle ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.faultAddress = hexWord(match[2]);
  },
  lines: DUMP,
  end: /^Crashing$/,
  continuedBy: ['screen', 'guard-page', 'arm64-trap'],
  // Seen: its own tests probe unmapped memory and go on; a fault that kills prints its registers.
  confirmed: (draft) => Object.keys(draft.registers).length > 0 || draft.frames.length > 0,
  nests: true,
  finish: finishDump,
};

const guardPage: CrashGrammar = {
  name: 'guard-page',
  source: 'lib/ukvmem/vma_stack.c',
  kind: 'fault',
  start: /^(Guard page (0x[0-9a-f]{1,16}) of stack VMA 0x[0-9a-f]{1,16} - 0x[0-9a-f]{1,16} hit!)$/,
  glued: 'Guard page ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.faultAddress = hexWord(match[2]);
  },
  lines: [{ pattern: /^Cannot handle (?:read|write|exec) page fault at / }, ...DUMP],
  end: /^Crashing$/,
  continuedBy: ['screen'],
  finish: finishDump,
};

const unhandledTrap: CrashGrammar = {
  name: 'trap',
  source: 'plat/common/x86/traps.c do_unhandled_trap',
  kind: 'fault',
  start: /^(Unhandled Trap \d{1,3} \(.{1,64}\), error code=0x[0-9a-f]{1,16})$/,
  glued: 'Unhandled Trap ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: DUMP,
  end: /^Crashing$/,
  continuedBy: ['screen'],
  finish: finishDump,
};

/** Without libukvmem a page fault says nothing but its registers; the address (CR2) is not printed at all. */
const bareDump: CrashGrammar = {
  name: 'page-fault-without-vmem',
  source: 'plat/common/x86/traps.c do_page_fault, trace.c dump_regs',
  kind: 'fault',
  start: /^RIP: [0-9a-f]{16} CS: [0-9a-f]{4}$/,
  begin: (match, draft) => {
    draft.message = 'page fault (the system prints no address)';
    readRegisterPairs(match.input, draft);
  },
  lines: DUMP,
  end: /^Crashing$/,
  finish: finishDump,
};

const unhandledPageFault: CrashGrammar = {
  name: 'unhandled-page-fault',
  source: 'plat/common/x86/traps.c do_page_fault with lib/ukdebug/crash.c',
  kind: 'fault',
  start: /^(Unhandled page fault vaddr=(0x[0-9a-f]{1,16}|0), error code=0x[0-9a-f]{1,16})$/,
  glued: 'Unhandled page fault vaddr=',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.faultAddress = hexWord(match[2]);
  },
  lines: DUMP,
  continuedBy: ['screen'],
};

const assertion: CrashGrammar = {
  name: 'assert',
  source: 'lib/ukdebug/include/uk/assert.h UK_ASSERT, UK_BUGON',
  kind: 'assert',
  start: /^Assertion failure: (.{1,1000})$/,
  glued: 'Assertion failure: ',
  begin: (match, draft) => {
    draft.message = `Assertion failure: ${match[1] ?? ''}`;
    draft.location = locationOf(draft.prefix);
  },
  lines: [],
  continuedBy: ['screen'],
};

const abort: CrashGrammar = {
  name: 'abort',
  source: 'lib/nolibc/stdlib.c abort; lib-musl abort.c',
  kind: 'abort',
  start: /^(?:Abnormal termination!|abort called)$/,
  begin: (match, draft) => {
    draft.message = match[0];
  },
  lines: [],
  continuedBy: ['screen'],
  confirmed: (draft) => draft.prefix.level !== undefined,
};

const bootFailure: CrashGrammar = {
  name: 'boot-failure',
  source: 'lib/ukboot/boot.c',
  kind: 'panic',
  start:
    /^((?:Init function at 0x[0-9a-f]{1,16} returned error|Early init call @ 0x[0-9a-f]{1,16} failed with) -?\d{1,9}|Failed to initialize memory allocator)/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.location = locationOf(draft.prefix);
  },
  lines: [],
  continuedBy: ['screen'],
  confirmed: (draft) => draft.prefix.level !== undefined,
};

/** The newer crash screen. Addresses of its call trace are already taken back into the call (x86-64; frame[1] − 1). */
const screen: CrashGrammar = {
  name: 'screen',
  source: 'lib/ukdebug/crash.c, crashdump.c, arch/x86_64/dumpsup.c, arch/arm64/dumpsup.c',
  kind: 'panic',
  start: /^Unikraft [Cc]rash - .{1,64} \(.{1,64}\)$/,
  glued: 'Unikraft Crash - ',
  begin: (_match, draft) => {
    // UK_CRASH(words) prints the words at CRIT just before; there is no other mark of it.
    const said = draft.before?.prefix.level === 'CRIT' && draft.before.text.trim() !== '' ? draft.before : null;
    draft.message = said?.text.trim() ?? 'crash without words';
    draft.location = said === null ? null : locationOf(said.prefix);
  },
  lines: [
    { pattern: /^Thread ".{0,128}"@0x/ },
    { pattern: /^Current thread information corrupted$/ },
    { pattern: /^ *(?:_|cx xo|\(\|O\|\)\/V)? *$/ },
    { pattern: /^Registers:$/ },
    registerRow,
    {
      pattern: /^(?:SP|ESR_EL1|ELR_EL1|LR|PSTATE): +0x([0-9a-f]{16})$/,
      read: (match, draft) => {
        readArm64(match.input, draft);
      },
    },
    {
      pattern: /^X\d{1,2} ?: [0-9a-f]{16} X\d{1,2} ?: [0-9a-f]{16}$/,
      read: (match, draft) => {
        readArm64(match.input, draft);
      },
    },
    { pattern: /^Stack:$/, to: 'stack' },
    { pattern: /^ *[0-9a-f]{1,16} {2}(?:[0-9a-f]{2} |Bad stack address)/, in: 'stack' },
    { pattern: /^Call Trace:$/, to: 'trace' },
    {
      pattern: /^ ?\[(0x[0-9a-f]{16})\]$/,
      in: 'trace',
      read: (match, draft) => {
        const address = hexWord(match[1]) ?? 0n;
        const isReturn = draft.machine === 'aarch64' && draft.frames.length > 0;
        if (address !== 0n || draft.frames.length === 0)
          draft.frames.push(reportedFrame({ address, addressIs: isReturn ? 'return' : 'exact' }));
      },
    },
    { pattern: /^ Bad frame pointer$/, in: 'trace' },
    { pattern: /^System rebooting in \d+ seconds/ },
  ],
  finish: (draft) => {
    if (draft.machine === 'x86_64') finishDump(draft);
  },
};

/** `SP:      0x…`, `ELR_EL1: 0x…`, `X0 : … X1 : …` under gdb's names. */
function readArm64(line: string, draft: CrashDraft): void {
  draft.machine = 'aarch64';
  const names: Readonly<Record<string, string>> = { ELR_EL1: 'pc', LR: 'x30', PSTATE: 'cpsr', SP: 'sp' };
  for (const match of line.matchAll(/\b(SP|ESR_EL1|ELR_EL1|LR|PSTATE|X\d{1,2}) ?: +(?:0x)?([0-9a-f]{16})\b/g)) {
    const name = match[1] ?? '';
    draft.registers[names[name] ?? name.toLowerCase()] = hexWord(match[2]) ?? 0n;
  }
}

/** UK_CRASH(words) of 2024 prints only the words, at CRIT: what tells them is that the system halts at once. */
const explicitCrash: CrashGrammar = {
  name: 'explicit-crash',
  source: 'lib/ukdebug/include/uk/assert.h UK_CRASH, plat/kvm/shutdown.c',
  kind: 'panic',
  start: /^Unikraft halted$/,
  begin: (_match, draft) => {
    draft.message = draft.before?.text.trim() ?? '';
    draft.location = draft.before === null ? null : locationOf(draft.before.prefix);
  },
  lines: [],
  maxForeignLines: 0,
  confirmed: (draft) => draft.before?.prefix.level === 'CRIT' && draft.message !== '' && draft.message !== 'Crashing',
};

export const CRASHES: readonly CrashGrammar[] = [
  guardPage,
  pageFault,
  unhandledTrap,
  unhandledPageFault,
  ...minios64(DUMP, finishDump),
  arm64Trap,
  bareDump,
  assertion,
  abort,
  bootFailure,
  screen,
  explicitCrash,
];

/** Seen with `oom`: malloc gives null, the program writes through it or crashes in words of its own. */
export const OMENS: readonly CrashOmen[] = [
  {
    pattern: /^[0-9a-f]{1,16}: Cannot handle palloc request of order \d{1,3}: Out of memory$/,
    kind: 'out-of-memory',
    explains: (draft) =>
      draft.kind === 'fault' ? draft.faultAddress !== null && draft.faultAddress < 0x1000n : /memory|alloc/i.test(draft.message),
  },
];
