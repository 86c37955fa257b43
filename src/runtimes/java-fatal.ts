// HotSpot's fatal report: a block of `#` lines, and, where `-XX:+ErrorFileToStdout` sends it, the whole of hs_err_pid.log
// (src/hotspot/share/utilities/vmError.cpp VMError::report, src/hotspot/share/runtime/frame.cpp print_on_error).

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine } from '../model/unikernel.ts';

/** Sections of the report that tell nothing of the crash: heap, events, libraries. */
const MAX_UNREAD = 2000;

/** `V  [libjvm.so+0xed2f94]  Unsafe_PutLong+0x124`, `C  [libc.so.6+0x1]`. */
const NATIVE =
  /^(?:# )?([VC]) {2}\[(\S{1,200})\+0x([0-9a-f]{1,16})\](?: {1,2}(\S.{0,1000}?)(?:\+0x([0-9a-f]{1,16}))?(?: {1,2}\([\w.+-]{1,100}:\d{1,9}\))?)?$/;
/** `j  Crash.poke(Lsun/misc/Unsafe;)V+3`, `J 123 c2 A.b(I)V (10 bytes) @ 0x… [0x…+0x…]`, `v  ~StubRoutines::call_stub`. */
const JAVA =
  /^(?:# )?(?:[jJA] {1,2}(?:\d{1,9}(?:%| )? ?(?:c[12]|jvmci)? )?([\w$.<>/]{1,1000})\(.{0,2000}\)\S{1,500}(?: .{0,500})?|v {2}~?(\S{1,200})(?: 0x[0-9a-f]{1,16})?)$/;

/** `Foo.bar` of a frame line; null when it is none. */
function nameIn(line: string): { file: string | null; function: string | null; offset: string | undefined } | null {
  const native = NATIVE.exec(line);
  if (native !== null) return { file: native[2] ?? null, function: native[4] ?? null, offset: native[5] };
  const script = JAVA.exec(line);
  return script === null ? null : { file: null, function: script[1] ?? script[2] ?? null, offset: undefined };
}

const HEADER: readonly CrashLine[] = [
  {
    pattern: /^# {1,2}(SIG[A-Z]{2,8} \(0x[0-9a-f]{1,2}\)|EXCEPTION_\w{1,40} \(0x[0-9a-f]{1,8}\)) at pc=0x[0-9a-f]{1,16}, pid=/,
    in: '',
    to: 'told',
    read: (match, draft) => {
      draft.kind = /^SIG(?:ABRT|TRAP)/.test(match[1] ?? '') ? 'abort' : 'fault';
      draft.message = match[1] ?? '';
    },
  },
  {
    pattern: /^# {1,2}(?:Internal Error|Out of Memory Error) \((.{1,200}):(\d{1,9})\), pid=/,
    in: '',
    to: 'told',
    read: (match, draft) => {
      draft.location = { file: match[1] ?? '', line: Number(match[2]), function: null };
      draft.message = match[0].startsWith('#  Out') ? 'Out of Memory Error' : 'Internal Error';
      if (draft.message.startsWith('Out')) draft.kind = 'out-of-memory';
    },
  },
  {
    pattern: /^# {1,2}((?:fatal error|Error|guarantee|assert|ShouldNotReachHere|OutOfMemory)\b.{0,1000})$/,
    in: 'told',
    read: (match, draft) => {
      draft.message += `: ${match[1] ?? ''}`;
      if (/OutOfMemory|memory/.test(match[1] ?? '')) draft.kind = 'out-of-memory';
      else if (/^(?:guarantee|assert)/.test(match[1] ?? '')) draft.kind = 'assert';
    },
  },
  { pattern: /^# Problematic frame:$/, to: 'frame' },
  {
    pattern: /^# (?:[VCjJAv]|\S) .{1,2000}$/,
    in: 'frame',
    to: 'told',
    read: (match, draft) => {
      const name = nameIn(match[0]);
      if (name?.function != null) draft.location = { file: name.file ?? '', line: null, function: name.function };
    },
  },
  { pattern: /^#/ },
];

/** `# A fatal error has been detected by the Java Runtime Environment:` to the last `#`. */
export const fatalReport: CrashGrammar = {
  name: 'fatal-report',
  source: 'hotspot src/hotspot/share/utilities/vmError.cpp VMError::report',
  kind: 'panic',
  start: /^# A fatal error has been detected by the Java Runtime Environment:$/,
  begin: (_match, draft) => {
    draft.message = 'A fatal error has been detected by the Java Runtime Environment';
  },
  lines: HEADER,
  continuedBy: ['fatal-report-body'],
};

function readFrame(draft: CrashDraft, line: string): void {
  const name = nameIn(line);
  if (name === null) return;
  const offset = name.offset === undefined ? null : Number.parseInt(name.offset, 16);
  draft.frames.push(reportedFrame({ function: name.function, functionOffset: offset, file: name.file }));
}

const REGISTERS = /(R[A-Z0-9]{1,2} ?|EFLAGS|TRAPNO|ERR|CSGSFS)=(0x[0-9a-f]{1,16})/g;

/** The rest of hs_err_pid.log; its first stack is the native one, which has the Java frames too. */
export const fatalReportBody: CrashGrammar = {
  name: 'fatal-report-body',
  source: 'hotspot src/hotspot/share/utilities/vmError.cpp VMError::report',
  kind: 'panic',
  start: /^-{15} {2}S U M M A R Y -{12}$/,
  begin: (_match, draft) => {
    draft.message = 'fatal error of the Java Runtime Environment';
  },
  lines: [
    { pattern: /^Native frames: /, in: '', to: 'frames', takesBetween: true },
    { pattern: /^Java frames: /, in: '', to: 'frames', takesBetween: true },
    { pattern: /^Java frames: /, in: 'told', to: 'other-frames', takesBetween: true },
    // Since 21 no empty line stands before them.
    { pattern: /^Java frames: /, in: 'frames', to: 'other-frames' },
    { pattern: /^$/, in: 'other-frames', to: 'told' },
    { pattern: /^[VCjJAv] {1,2}\S/, in: 'other-frames' },
    { pattern: /^$/, in: 'frames', to: 'told' },
    {
      pattern: /^[VCjJAv] {1,2}\S.{0,2000}$/,
      in: 'frames',
      read: (match, draft) => {
        readFrame(draft, match[0]);
      },
    },
    {
      pattern: /^siginfo: si_signo: \d{1,3} \((SIG[A-Z]{2,8})\).{0,100}?(?:, si_addr: (0x[0-9a-f]{1,16}))?$/,
      takesBetween: true,
      read: (match, draft) => {
        draft.kind = 'fault';
        draft.message = match[1] ?? '';
        if (match[2] !== undefined && /SIG(?:SEGV|BUS)/.test(draft.message)) draft.faultAddress = BigInt(match[2]);
      },
    },
    { pattern: /^Registers:$/, in: 'told', to: 'registers', takesBetween: true },
    {
      pattern: /^ {0,4}(?:R[A-Z0-9]{1,2} ?|EFLAGS|TRAPNO)=.{1,300}$/,
      in: 'registers',
      read: (match, draft) => {
        for (const [, name = '', value = '0'] of match[0].matchAll(REGISTERS)) {
          if (/^R/.test(name)) draft.registers[name.trim().toLowerCase()] = BigInt(value);
          else if (name === 'EFLAGS') draft.registers.eflags = BigInt(value);
        }
      },
    },
    { pattern: /^$/, in: 'registers', to: 'told' },
    { pattern: /^Top of Stack:/, takesBetween: true, to: 'told' },
    { pattern: /^END\.$/, takesBetween: true, to: 'over' },
  ],
  end: /^END\.$/,
  maxForeignLines: MAX_UNREAD,
  maxLines: MAX_UNREAD,
  confirmed: (draft) => draft.frames.length > 0 || draft.section === 'over',
};

/** The machine has no memory for the JVM itself. */
export const outOfNativeMemory: CrashGrammar = {
  name: 'out-of-native-memory',
  source: 'hotspot src/hotspot/share/utilities/vmError.cpp print_oom_reasons, report',
  kind: 'out-of-memory',
  start: /^# (There is insufficient memory for the Java Runtime Environment to continue\.)$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [
    {
      pattern: /^# (Native memory allocation \(.{1,40}\) failed to .{1,300})$/,
      read: (match, draft) => {
        draft.message += ` ${match[1] ?? ''}`;
      },
    },
    { pattern: /^#/ },
  ],
  continuedBy: ['fatal-report-body'],
};
