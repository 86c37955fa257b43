// What a collector's log on the console says of collections: metrics of a guest whose memory tells them not, or cannot be read.

import type { MetricDeclaration, Sample } from './metric.ts';

/** What one line says. `set` are values as of the line; `add` are steps of counters, which count from the first line that was seen. */
export interface GcLogLine {
  readonly set?: Readonly<Record<string, number>>;
  readonly add?: Readonly<Record<string, number>>;
}

/** The log of one runtime's collector. */
export interface GcLogFormat {
  /** The runtime's name, as in its file in src/runtimes. */
  readonly runtime: string;
  /** What turns the log on: `-Xlog:gc`. */
  readonly flag: string;
  /** Each line that is understood has one of these: all others are passed by. */
  readonly words: readonly string[];
  readonly metrics: Readonly<Record<string, MetricDeclaration>>;
  /** Null for a line that is not of this log. Pure, linear in the line's length. */
  readonly parse: (text: string) => GcLogLine | null;
}

/** The logs of all collectors, read line by line. */
export interface GcLog {
  /** What `text`, one console line, tells: samples to date, none for most lines. Never throws. */
  push(text: string): readonly Sample[];
  /** The guest began anew. */
  reset(): void;
}
