// What the sanitizers of clang and gcc print (compiler-rt lib/sanitizer_common, lib/asan/asan_report.cpp, lib/msan/msan_report.cpp).
//
// Not told as deaths, because the program lives on, or was over: ThreadSanitizer's `WARNING: … data race`, LeakSanitizer's `detected
// memory leaks` (at the end of a program), and UBSan's `file.c:3:5: runtime error: …`, after which some programs die and the text
// does not say which. Test: test/panics/c.md.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar } from '../model/unikernel.ts';

const SIGNALS = /^(?:SEGV|BUS|FPE|ILL|ABRT|TRAP|stack-overflow)$/;
const MEMORY = /^(?:out-of-memory|allocation-size-too-big|calloc-overflow|requested allocation size|rss-limit-exceeded)/;

/** `heap-buffer-overflow on address 0x… at pc …`, `SEGV on unknown address 0x… (pc 0x… bp 0x… sp 0x… T0)`. */
function begin(match: RegExpExecArray, draft: CrashDraft): void {
  const [, tool = '', words = ''] = match;
  const what =
    /^(?:attempting (?:double-free|free on address which was not malloc\(\)-ed)|[\w-]+(?: [\w-]+){0,2}?(?= on |: |$|0x| \())/.exec(
      words,
    )?.[0];
  const name = what ?? words;
  draft.message = `${tool}: ${name}`;
  if (SIGNALS.test(name)) draft.kind = name === 'ABRT' || name === 'TRAP' ? 'abort' : 'fault';
  else if (MEMORY.test(words)) draft.kind = 'out-of-memory';
  // For a division or an invalid opcode the "address" is the pc itself.
  const address = /^(?:FPE|ILL|ABRT|TRAP)$/.test(name) ? null : /(?:address|on) (0x[0-9a-f]{1,16})\b/.exec(words);
  if (address !== null) draft.faultAddress = BigInt(address[1] ?? '0');
  const registers = /\(pc (0x[0-9a-f]{1,16}) bp (0x[0-9a-f]{1,16}) sp (0x[0-9a-f]{1,16})/.exec(words);
  if (registers === null) return;
  const [, rip = '0', rbp = '0', rsp = '0'] = registers;
  draft.registers = { rip: BigInt(rip), rbp: BigInt(rbp), rsp: BigInt(rsp) };
}

const FRAME =
  /^ {4}#\d{1,4} (0x[0-9a-f]{1,16}) (?:in (.{1,1000}?) | ?)(?:\(\S{1,512}\+0x[0-9a-f]{1,16}\)|([\w./<][^\s()]{0,1000}?)(?::(\d{1,9}))?(?::(\d{1,9}))?)(?: \(BuildId: [0-9a-f]{1,64}\))?$/;

/** Addresses of callers are printed less one already. */
function readFrame(match: RegExpExecArray, draft: CrashDraft): void {
  const [, address, name, file, line, column] = match;
  draft.frames.push(
    reportedFrame({
      address: BigInt(address ?? '0'),
      function: name ?? null,
      file: file === undefined || file === '<null>' ? null : file,
      line: line === undefined ? null : Number(line),
      column: column === undefined ? null : Number(column),
    }),
  );
}

/** All sanitizers' errors that end the program; the first stack is the crash's own, the others tell of allocations and threads. */
export const sanitizer: CrashGrammar = {
  name: 'sanitizer',
  source: 'compiler-rt lib/sanitizer_common/sanitizer_symbolizer_report.cpp, lib/asan/asan_errors.cpp',
  kind: 'panic',
  start:
    /^==\d{1,10}==(?:ERROR|WARNING): ((?:HW)?(?:Address|Memory|Thread|UndefinedBehavior)Sanitizer): (?!data race|thread leak|lock-order)(.{1,1000})$/,
  begin,
  lines: [
    {
      pattern: /^((?:READ|WRITE) of size \d{1,19}) at 0x/,
      in: '',
      read: (match, draft) => {
        draft.message += `: ${match[1] ?? ''}`;
      },
    },
    { pattern: /^==\d{1,10}==The signal is caused by a \w{1,16} memory access\.$|^==\d{1,10}==(?:Hint|HINT): / },
    { pattern: FRAME, in: '', to: 'stack', read: readFrame },
    { pattern: FRAME, in: 'stack', read: readFrame },
    { pattern: /^$/, in: 'stack', to: 'more' },
    { pattern: FRAME, in: 'more', takesBetween: true },
    { pattern: /^(?:SUMMARY: \w{1,40}: |==\d{1,10}==ABORTING$|Exiting$|Shadow byte)/, takesBetween: true, to: 'more' },
    { pattern: /^(?:=>| {2})0x[0-9a-f]{6,16}: ?[ [][0-9a-f]{2}/, in: 'more' },
    { pattern: /^ {2}[A-Z][\w ]{1,40}: {1,24}[0-9a-f]{2}(?: [0-9a-f]{2}){0,16} ?$/, in: 'more' },
  ],
  maxForeignLines: 16,
  confirmed: (draft) => draft.section !== '',
};
