// A unikernel or a language runtime as data: how to recognise it, how it dies. One file + one line in a list each.

import type { ReportedFrame } from './console-text.ts';
import type { CrashKind } from './crash.ts';
import type { Registers } from './registers.ts';
import type { Symbolizer } from './symbolizer.ts';
import type { Memory } from './target.ts';

/** What a grammar fills in while it reads a crash's lines. */
export interface CrashDraft {
  kind: CrashKind;
  message: string;
  location: { file: string; line: number | null; function: string | null } | null;
  vcpu: number | null;
  faultAddress: bigint | null;
  /** gdb's register names. */
  registers: Record<string, bigint>;
  frames: ReportedFrame[];
  loadOffsets: { module: string | null; base: bigint; size: number | null }[];
  corrupted: string | null;
}

/** A line inside a crash: what it looks like and what it adds. */
export interface CrashLine {
  readonly pattern: RegExp;
  readonly read: (match: RegExpExecArray, draft: CrashDraft) => void;
}

/** One text form of a crash. Patterns see the line without its prefix (time stamp, level, `[lib] <file @ line>`). */
export interface CrashGrammar {
  readonly name: string;
  /** Where the system prints this: `plat/common/x86/traps.c`. */
  readonly source: string;
  readonly start: RegExp;
  /** Reads the first line. `draft.kind` starts as `kind`. */
  readonly kind: CrashKind;
  readonly begin: (match: RegExpExecArray, draft: CrashDraft) => void;
  readonly lines: readonly CrashLine[];
  /** The last line, which belongs to the crash. Without one (or when it never comes) silence or `maxLines` ends it. */
  readonly end?: RegExp;
  /** Lines that may stand between without belonging to it are skipped up to this many in a row; then the crash ends. Default 8. */
  readonly maxForeignLines?: number;
  /** Default 400. */
  readonly maxLines?: number;
  /** Another grammar of the same system whose start continues this crash rather than beginning a new one (names). */
  readonly continuedBy?: readonly string[];
}

/** Grammars and prefixes that the console engine needs from a system. */
export interface CrashTexts {
  readonly name: string;
  /** Stripped from the start of each line before grammars see it, once, if it matches. */
  readonly prefix?: RegExp;
  /** Most specific first. */
  readonly crashes: readonly CrashGrammar[];
}

/** What a caller's registers are when CFI and frame pointers do not know: trap vectors, context switches. */
export interface UnwindRule {
  /** Matches the function name of the frame being left (linker name). */
  readonly function: RegExp;
  /** The case seen, for the reader: which system, which file. */
  readonly source: string;
  /** The caller's registers, or null when the rule does not apply here. */
  readonly unwind: (
    frame: { readonly registers: Registers; readonly pc: bigint },
    memory: Memory,
    symbols: Symbolizer,
  ) => {
    readonly registers: Registers;
    /** True when the new pc is exact (it faulted there), false when it is a return address. */
    readonly exactPc: boolean;
  } | null;
}

/** A unikernel. Data, so that it can be printed (`unidbg doctor`). */
export interface Unikernel extends CrashTexts {
  readonly title: string;
  readonly recognise: {
    /** Any of these linker symbols in the image says it is this system. */
    readonly symbols: readonly string[];
    /** Any of these sections or note names. */
    readonly sections: readonly string[];
    /** A console line that only this system prints. */
    readonly banner: RegExp | null;
  };
  readonly unwindRules: readonly UnwindRule[];
  /** Functions in which a halted guest sits after its own fatal stop (`ukplat_terminate`, `halt_with_code`). */
  readonly deadIn: readonly string[];
  /** Functions in which an idle vCPU sits. */
  readonly idleIn: readonly string[];
  /** Functions that are the system's crash machinery: never the guilty frame. */
  readonly crashMachinery: readonly RegExp[];
  /** Explains QEMU's exit status, where the system sets it. Null = says nothing. */
  readonly explainExit: (status: number) => string | null;
  /** Run-time address minus link address from a vCPU's registers and memory, for kernels that move themselves; null = cannot tell. */
  readonly findLoadBias?: (guest: {
    readonly registers: Registers;
    readonly memory: Memory;
    readonly linkSymbol: (name: string) => bigint | null;
  }) => {
    readonly bias: bigint;
    readonly by: string;
  } | null;
  /** The guest's own console log kept in its memory, oldest byte first; null when there is none yet. */
  readonly readMemoryLog?: (guest: {
    readonly memory: Memory;
    readonly findSymbol: Symbolizer['findSymbol'];
  }) => Uint8Array | null;
}

/** A language runtime. */
export interface Runtime extends CrashTexts {
  readonly title: string;
  readonly recognise: { readonly symbols: readonly RegExp[] };
  /** Turns a linker name into the programmer's: `camlApp.deep_517` → `App.deep`; null = not one of mine. */
  readonly demangle: (linkerName: string) => string | null;
  readonly crashMachinery: readonly RegExp[];
}
