// Java and what else runs on a JVM (Kotlin, Scala, Clojure): uncaught exceptions (java/lang/ThreadGroup.java uncaughtException,
// java/lang/Throwable.java printStackTrace), and HotSpot's own ends (src/hotspot/share/utilities/vmError.cpp, debug.cpp).
//
// A stack trace alone is no death: programs print those of exceptions they caught. Only `Exception in thread "…"` is told, which the
// handler of last resort prints. Test: test/panics/java.md, "a handled exception".

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Runtime } from '../model/unikernel.ts';
import { fatalReport, fatalReportBody, outOfNativeMemory } from './java-fatal.ts';

const MAX_MESSAGE_LINES = 20;
const MAX_CAUSES = 8;

/** `\tat java.base/java.util.List.get(List.java:12)`, also with a class loader's name, `Native Method`, `Unknown Source`. */
const FRAME =
  /^ {1,8}at (?:[\w.@+-]{0,200}\/){0,2}([\w$.<>/-]{1,1000})\((?:([^:()]{1,500}\.\w{1,10})(?::(\d{1,9}))?|Native Method|Unknown Source|.{0,200})\)(?: ~?\[.{1,200}\])?$/;

function takeRest(draft: CrashDraft): void {
  if (draft.between.length > 0) draft.message = [draft.message, ...draft.between.slice(0, MAX_MESSAGE_LINES)].join('\n');
}

function readFrame(match: RegExpExecArray, draft: CrashDraft): void {
  if (draft.frames.length === 0) takeRest(draft);
  const [, name, file, line] = match;
  draft.frames.push(
    reportedFrame({ function: name ?? null, file: file ?? null, line: line === undefined ? null : Number(line) }),
  );
}

const TRACE: readonly CrashLine[] = [
  { pattern: FRAME, in: '', takesBetween: true, read: readFrame },
  {
    pattern: /^Caused by: (.{1,4000})$/,
    takesBetween: true,
    to: 'causes',
    read: (match, draft) => {
      if (draft.frames.length === 0) takeRest(draft);
      if (draft.message.split('\nCaused by: ').length <= MAX_CAUSES) draft.message += `\nCaused by: ${match[1] ?? ''}`;
    },
  },
  { pattern: /^ {8,64}(?:Suppressed: |Caused by: |at \S|\.\.\. \d{1,9} (?:more|common frames omitted)$)/, takesBetween: true },
  { pattern: /^ {1,8}\.\.\. \d{1,9} (?:more|common frames omitted)$/ },
  { pattern: FRAME, in: 'causes', takesBetween: true },
];

/** The frames are those of the exception that nobody caught; what caused it is in the message. */
const uncaught: CrashGrammar = {
  name: 'uncaught-exception',
  source: 'jdk java/lang/ThreadGroup.java uncaughtException, java/lang/Throwable.java',
  kind: 'exception',
  start: /^Exception in thread "(.{0,200}?)" ([\w$.]{1,500})((?:: .{0,4000})?)$/,
  glued: 'Exception in thread "',
  begin: (match, draft) => {
    draft.message = `${match[2] ?? ''}${match[3] ?? ''}`;
    if (match[2] === 'java.lang.OutOfMemoryError') draft.kind = 'out-of-memory';
  },
  lines: TRACE,
  maxForeignLines: MAX_MESSAGE_LINES,
  maxLines: 8192,
  confirmed: (draft) => draft.frames.length > 0 || /^[a-z][\w$]*\.[\w$.]+$/.test(draft.message.split(':')[0] ?? ''),
};

/** Not even the trace could be printed. */
const inHandler: CrashGrammar = {
  name: 'in-handler',
  source: 'hotspot src/hotspot/share/runtime/javaThread.cpp ensure_join, exit',
  kind: 'exception',
  start: /^Exception: ([\w$.]{1,500}) thrown from the UncaughtExceptionHandler in thread "(.{0,200})"$/,
  glued: 'Exception: java.lang.',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (match[1] === 'java.lang.OutOfMemoryError') draft.kind = 'out-of-memory';
  },
  lines: [],
  maxForeignLines: 2,
};

/** `-XX:+ExitOnOutOfMemoryError`, `-XX:+CrashOnOutOfMemoryError`; the latter's fatal report follows. */
const outOfHeap: CrashGrammar = {
  name: 'exit-on-out-of-memory',
  source: 'hotspot src/hotspot/share/utilities/debug.cpp report_java_out_of_memory',
  kind: 'out-of-memory',
  start: /^(?:Terminating|Aborting) due to (java\.lang\.OutOfMemoryError: .{1,500})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [{ pattern: /^#$/ }],
  continuedBy: ['fatal-report', 'fatal-report-body'],
  maxForeignLines: 4,
};

const initialization: CrashGrammar = {
  name: 'initialization',
  source: 'hotspot src/hotspot/share/runtime/java.cpp vm_exit_during_initialization',
  kind: 'panic',
  start: /^Error occurred during initialization of (?:VM|boot layer)$/,
  begin: (match, draft) => {
    draft.message = match[0];
  },
  lines: [
    {
      pattern: /^(\S.{0,1000})$/,
      in: '',
      to: 'told',
      read: (match, draft) => {
        draft.message += `: ${match[1] ?? ''}`;
        if (/\b(?:memory|reserve enough space|Could not allocate)\b/.test(match[1] ?? '')) draft.kind = 'out-of-memory';
      },
    },
  ],
  maxForeignLines: 1,
};

/** Java. */
export const java: Runtime = {
  name: 'java',
  title: 'Java (JVM)',
  recognise: { symbols: ['JNI_CreateJavaVM', 'JLI_Launch', 'gHotSpotVMTypes'], sections: [] },
  crashes: [uncaught, inHandler, outOfHeap, fatalReport, fatalReportBody, outOfNativeMemory, initialization],
  demangle: () => null,
  endsByExit: true,
  crashMachinery: [
    // The libraries throw what their callers asked for.
    /^(?:java|javax|jdk|sun|com\.sun|kotlin|kotlinx|scala|clojure\.(?:lang|core))\.[\w.$]/,
    /^(?:VMError|report_(?:vm_error|fatal|vm_out_of_memory|should_not_\w+|java_out_of_memory)|JVM_handle_linux_signal|crash_handler|JavaCalls::|jni_(?:invoke|Call)|~?StubRoutines::|Unsafe_)/,
    /^(?:MemAllocator|(?:Type|Obj)ArrayKlass|InstanceKlass|InterpreterRuntime|OptoRuntime|SharedRuntime|Runtime1|G1CollectedHeap|CollectedHeap)::/,
    /^(?:JavaMain|ThreadJavaMain)$/,
  ],
};
