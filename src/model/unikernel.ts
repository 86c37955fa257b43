// A unikernel or a language runtime as data: how to recognise it, how it dies. One file + one line in a list each.

import type { Address } from './address.ts';
import type { CodeImage, CodeTable } from './code-table.ts';
import type { ReportedFrame } from './console-text.ts';
import type { CrashKind } from './crash.ts';
import type { GuestExit } from './guest-exit.ts';
import type { GuestModule } from './image.ts';
import type { TypeSource } from './layout.ts';
import type { Machine } from './machine.ts';
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
  machine: Machine;
  /** gdb's register names. */
  registers: Record<string, bigint>;
  /** Innermost first. The engine puts the pc in front when no frame has its address. */
  frames: ReportedFrame[];
  loadOffsets: { module: string | null; base: bigint; size: number | null }[];
  /** Where on the stack the last frame read lay: a walk that does not go up any more is a loop. Null at first. */
  lastSlot: bigint | null;
  /** Why the text cannot be fully trusted; the engine adds its own findings. */
  corrupted: string | null;
  /** Which part of the text is being read: `CrashLine.in` and `to` speak of it. Empty at the start. */
  section: string;
  /** The line just before the first one, its prefix apart; null when there was none. */
  readonly before: PrefixedText | null;
  /** The prefix of the first line (`CrashTexts.prefix`), for systems that say file and line there. */
  readonly prefix: Readonly<Record<string, string | undefined>>;
  /** Lines since the last one that was read which no pattern knew: see `CrashLine.takesBetween`. */
  readonly between: readonly string[];
}

/** A line without its prefix, and the prefix's named groups. */
export interface PrefixedText {
  readonly text: string;
  readonly prefix: Readonly<Record<string, string | undefined>>;
}

/** A line inside a crash: what it looks like and what it adds. */
export interface CrashLine {
  readonly pattern: RegExp;
  /** Only in this section of the text; in any when left out. */
  readonly in?: string;
  /** The section that begins here. */
  readonly to?: string;
  /** The unknown lines just before (`draft.between`) belong to the crash: a message of several lines. Else they are foreign. */
  readonly takesBetween?: true;
  /** With this line the text is whole. Unlike `CrashGrammar.end` it need not come: not all versions print it. */
  readonly ends?: true;
  /** With this line all is told, though more of it may follow: what begins behind it is the next crash. */
  readonly tellsAll?: true;
  readonly read?: (match: RegExpExecArray, draft: CrashDraft) => void;
}

/** One text form of a crash. Patterns see the line without its prefix (time stamp, level, `[lib] <file @ line>`). */
export interface CrashGrammar {
  readonly name: string;
  /** Where the system prints this: `plat/common/x86/traps.c`. */
  readonly source: string;
  /** Anchored with `^`. No named groups, no flags: the engine joins all starts into one filter. */
  readonly start: RegExp;
  /** A literal that `start` begins with, so telling that it is also looked for behind a half-printed line. */
  readonly glued?: string;
  /** Reads the first line. `draft.kind` starts as `kind`. */
  readonly kind: CrashKind;
  readonly begin: (match: RegExpExecArray, draft: CrashDraft) => void;
  readonly lines: readonly CrashLine[];
  /** The last line, which belongs to the crash (also read by `lines`). When it never came the text was cut off. */
  readonly end?: RegExp;
  /**
   * Lines that may stand between without belonging to it are skipped up to this many in a row; then the crash ends.
   * Default 8; 0 ends it at the first one. Empty lines do not count.
   */
  readonly maxForeignLines?: number;
  /** Default 400. */
  readonly maxLines?: number;
  /** Other grammars of the same system whose start continues this crash rather than beginning a new one (names). */
  readonly continuedBy?: readonly string[];
  /** The start alone proves nothing (`Aborted`, `panic: …`): false at the end = it was no crash, nothing is reported. */
  readonly confirmed?: (draft: CrashDraft) => boolean;
  /** With `confirmed`: inside another crash the start is a second one all the same, and not somebody's words. */
  readonly nests?: true;
  /** Last touches when all is read: order of frames, `corrupted` where something that must be there is not. */
  readonly finish?: (draft: CrashDraft) => void;
}

/** A line that is no crash but changes the meaning of one that follows at once: `page fill failed (… out of memory)`. */
export interface CrashOmen {
  readonly pattern: RegExp;
  readonly kind: CrashKind;
  /** Whether this crash is what the omen foretold. */
  readonly explains: (draft: CrashDraft) => boolean;
}

/** Grammars and prefixes that the console engine needs from a system. */
export interface CrashTexts {
  readonly name: string;
  /** Stripped from the start of each line before grammars see it, once, if it matches (the engine strips time stamps itself). */
  readonly prefix?: RegExp;
  /** Most specific first. */
  readonly crashes: readonly CrashGrammar[];
  readonly omens?: readonly CrashOmen[];
  /** The system's last words, crash or not: they end an open crash and belong to it. Anchored with `^`. */
  readonly halt?: RegExp;
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
    types: TypeSource,
  ) => {
    readonly registers: Registers;
    /** True when the new pc is exact (it faulted there), false when it is a return address. */
    readonly exactPc: boolean;
  } | null;
}

/** How far a system is supported, and how that was tried: what `unidbg doctor --support` and the README say. */
export interface Support {
  /** Best first. `live`: attached to while it runs. `post-mortem`: read after its death. `text`: its console is read. `hosted`: it is a process of a host system. */
  readonly levels: readonly ('live' | 'post-mortem' | 'text' | 'hosted')[];
  /** Which versions on what, and whether its texts were recorded from runs or written from its source. */
  readonly tried: string;
  /** What it does not say when it dies, and how that is found anyway; null when it says all. */
  readonly silent: string | null;
}

/** A function through which a system stops itself, for good or ill. */
export interface Stop {
  /** By the name that stacks have. */
  readonly function: RegExp;
  /** Its parameter that tells; null: that it was called does. */
  readonly parameter: string | null;
  /** What the value of that parameter (`0`, `UKPLAT_HALT`) says: how the guest ended, that it crashed, or nothing. */
  readonly explain: (value: string) => GuestExit | 'crash' | null;
}

/** A unikernel. Data, so that it can be printed (`unidbg doctor --support`). */
export interface Unikernel extends CrashTexts {
  readonly title: string;
  readonly support: Support;
  readonly recognise: {
    /** Any of these linker symbols in the image says it is this system. */
    readonly symbols: readonly string[];
    /** Any of these sections or note names. */
    readonly sections: readonly string[];
    /** A console line that only this system prints, at boot. Anchored with `^`, no flags. */
    readonly banner: RegExp | null;
  };
  readonly unwindRules: readonly UnwindRule[];
  /** Functions in which a halted guest sits after its own fatal stop (`ukplat_terminate`, `halt_with_code`). */
  readonly deadIn: readonly string[];
  /** Functions on the way to `deadIn` that say whether the guest ended as it should; left out where they are of deaths alone. */
  readonly stops?: readonly Stop[];
  /** Functions in which an idle vCPU sits. */
  readonly idleIn: readonly string[];
  /** Functions in which threads wait, or try again and again, while there is no memory left; in a system that then falls silent. */
  readonly starvesIn?: readonly RegExp[];
  /** What memory is left, by the system's own count; null when it cannot be read. */
  readonly readFreeMemory?: (guest: {
    readonly memory: Memory;
    readonly findSymbol: Symbolizer['findSymbol'];
  }) => { readonly freeBytes: number; readonly totalBytes: number } | null;
  /** Functions that are the system's crash machinery: never the guilty frame. */
  readonly crashMachinery: readonly RegExp[];
  /** Where the first position-independent program that it loads always begins; left out where that differs from boot to boot. */
  readonly loadsProgramsAt?: Address;
  /** How the program ended, where the system's last words on the console say it; null of any other line. */
  readonly exitOfWords?: (line: string) => GuestExit | null;
  /** Explains QEMU's exit status, where the system sets it. Null = says nothing. */
  readonly explainExit: (status: number) => GuestExit | null;
  /** Run-time address minus link address from a vCPU's registers and memory, for kernels that move themselves; null = cannot tell. */
  readonly findLoadBias?: (guest: {
    readonly registers: Registers;
    readonly memory: Memory;
    readonly linkSymbol: (name: string) => bigint | null;
  }) => {
    readonly bias: bigint;
    readonly by: string;
  } | null;
  /** What the guest has loaded beside its kernel, by its own tables; only places to look at, each of which is then read. Bounded. */
  readonly findModules?: (guest: {
    readonly memory: Memory;
    readonly types: TypeSource;
    readonly symbols: Pick<Symbolizer, 'findSymbol'>;
  }) => readonly GuestModule[];
  /** How the program ended, as a guest that is off left it in its memory; null when it did not, or does not say. */
  readonly readExitStatus?: (guest: {
    readonly memory: Memory;
    readonly findSymbol: Symbolizer['findSymbol'];
  }) => GuestExit | null;
  /** The guest's own console log kept in its memory, oldest byte first; null when there is none yet. */
  readonly readMemoryLog?: (guest: {
    readonly memory: Memory;
    readonly findSymbol: Symbolizer['findSymbol'];
  }) => Uint8Array | null;
}

/** A language runtime. */
export interface Runtime extends CrashTexts {
  readonly title: string;
  /** Any of these linker symbols, or of these sections, in an image says that it is in it. */
  readonly recognise: { readonly symbols: readonly string[]; readonly sections: readonly string[] };
  /** Turns a linker name into the programmer's: `camlApp.deep_517` → `App.deep`; null = not one of mine. */
  readonly demangle: (linkerName: string) => string | null;
  /** Its own tables of code in an image, which need no debug info; null when the image has none. Throws UnidbgError. */
  readonly openCodeTable?: (image: CodeImage) => CodeTable | null;
  readonly crashMachinery: readonly RegExp[];
  /** An exception that nobody caught ends the program by `exit`: the stack on which the guest dies then is not the exception's. */
  readonly endsByExit?: true;
  /** Source files of the run time and its standard library: what is in them is never the guilty frame. */
  readonly libraryFiles?: readonly RegExp[];
}
