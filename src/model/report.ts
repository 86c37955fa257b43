// A report: what is told of one run of a guest, whatever it was read from; and of many runs together. All forms (text, JSON, HTML,
// JUnit, …) are views of it.

import type { Crash, CrashKind } from './crash.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { ConsoleLine, TargetIdentity } from './event.ts';
import type { Finding } from './finding.ts';
import type { Stack } from './frame.ts';
import type { GuestExit } from './guest-exit.ts';
import type { OutOfMemory } from './heap.ts';
import type { Image } from './image.ts';
import type { Sample } from './metric.ts';
import type { Registers } from './registers.ts';
import type { Series } from './snapshot.ts';

/**
 * `ok`: no crash, every expectation held. `exit`: it ended by itself with a code that means failure. `qemu-failed`: QEMU could not be
 * started, or died of itself, and nothing is told of the guest. `unknown`: a dump of which nothing can be told, for want of symbols or
 * because it is not whole. Else
 * the kind of its first crash.
 */
export type Verdict = 'ok' | 'expectation-failed' | 'exit' | 'qemu-failed' | 'unknown' | CrashKind;

/** One run. */
export interface Report {
  /** What was read: a file's name, or a VM's. */
  readonly source: string;
  /** When its crash was seen, by the log's own time stamps or the file's; ms since the epoch, null when nothing tells. */
  readonly seenAt: number | null;
  readonly verdict: Verdict;
  /** `name` of the unikernel and the runtime. */
  readonly unikernel: string | null;
  readonly runtime: string | null;
  /** What was looked at; null of a log. */
  readonly target: TargetIdentity | null;
  /** How it was run; null where nobody saw it. */
  readonly launch: Launch | null;
  /** The image that names were taken from: the guilty frame's where it is known. */
  readonly image: Image | null;
  readonly images: readonly Image[];
  /** The first one; what came after it may be its consequence. */
  readonly crash: Crash | null;
  readonly laterCrashes: readonly Crash[];
  readonly outOfMemory: OutOfMemory | null;
  readonly stacks: readonly Stack[];
  readonly registers: readonly { readonly vcpu: number; readonly registers: Registers }[];
  readonly metrics: readonly Sample[];
  /** The metrics' recent past, for plots: by series, points oldest first. Empty where there was one reading. */
  readonly history: readonly Series[];
  /** What the built-in checks said at the end. */
  readonly findings: readonly Finding[];
  readonly expectations: readonly ExpectationOutcome[];
  readonly guestExit: GuestExit | null;
  /** The newest lines of the console, and how many came before them. */
  readonly console: { readonly before: number; readonly lines: readonly ConsoleLine[] };
  /** Source around the frames of the crash, where the files were found. */
  readonly sources: readonly SourceExcerpt[];
  /** Why what was read is not whole (a dump cut off, a recording that ends in the middle); null when it is. */
  readonly partial: string | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** How a guest was run. Times in ms. */
export interface Launch {
  /** QEMU's command line as it was started; empty where it is not known. */
  readonly command: readonly string[];
  readonly startedAt: number;
  /** From the start to the verdict. */
  readonly durationMs: number;
  /** From the start to the end of boot (`--boots-within`'s moment); null = it never came, or nobody waited for it. */
  readonly bootMs: number | null;
  /** How QEMU ended: its status or signal; null while it runs or when unidbg ended it. */
  readonly qemuExit: { readonly status: number | null; readonly signal: string | null } | null;
  /** QEMU's own words on its standard error, last lines. */
  readonly qemuOutput: readonly string[];
}

/** An expectation and what became of it. */
export interface ExpectationOutcome {
  readonly text: string;
  readonly state: 'met' | 'failed' | 'undecided';
  readonly reason: string;
}

/** Lines of a source file around one that matters. `path`: the file on this machine, relative to the repository where it is under it. */
export interface SourceExcerpt {
  /** The name that frames have it by. */
  readonly file: string;
  readonly path: string;
  readonly line: number;
  readonly firstLine: number;
  readonly lines: readonly string[];
}

/** Many runs told together: `ci`, `ci --repeat`, `ci` with several sizes of memory, `analyze` of several files. */
export interface RunSet {
  /** What was run: the command, the suite's name. */
  readonly title: string;
  readonly runs: readonly Run[];
  readonly groups: readonly CrashGroup[];
  /** Against the baseline; null without one. */
  readonly comparison: Comparison | null;
}

/** One of them. */
export interface Run {
  /** `run 3`, `128 MiB`, `128 MiB, run 3`; of one run alone what was run. */
  readonly name: string;
  readonly report: Report;
  /** Whether it counts as passed, by the verdict and what the user asked for. */
  readonly passed: boolean;
  /** Where its bundle was written; null without. */
  readonly bundle: string | null;
}

/** Against a baseline: bugs by signature. */
export interface Comparison {
  /** The baseline's file. */
  readonly baseline: string;
  /** Seen now, not in the baseline. */
  readonly new: readonly CrashGroup[];
  readonly known: readonly CrashGroup[];
  /** In the baseline, not seen now. */
  readonly fixed: readonly { readonly signature: string; readonly title: string }[];
}

/** Crashes of many runs that are one bug. */
export interface CrashGroup {
  /** Of the crash that knows most. */
  readonly signature: string;
  /** Signatures that the same bug has where less is known of it. */
  readonly alternatives: readonly string[];
  readonly kind: CrashKind;
  readonly title: string;
  readonly count: number;
  readonly first: Sighting;
  readonly last: Sighting;
  /** Each run once, in the order of time. */
  readonly sources: readonly string[];
}

/** How many runs were looked at. */
export interface Runs {
  readonly total: number;
  readonly healthy: number;
  readonly unreadable: number;
}

/** Where and when a crash was seen. `at` in ms since the epoch; null when nothing tells. */
export interface Sighting {
  readonly source: string;
  readonly at: number | null;
}
