// A console log that is read after the fact: bytes in, crashes out, each with its lines, which may say where code was.

import { ConsoleReader } from '../console/console-reader.ts';
import type { CrashReaderOptions } from '../console/crash-reader.ts';
import type { ReportedCrash } from '../model/console-text.ts';

/** Lines kept; of a longer crash the first ones are not among its own. */
const KEPT_LINES = 1024;

/** A crash and its lines as they came: from its first (a carrier's time stamp still on it) to where it was known to be over. */
export interface LoggedCrash {
  readonly reported: ReportedCrash;
  readonly lines: readonly string[];
}

/** Reads one log; push its bytes, then `end`. */
export class LogReader {
  private readonly reader: ConsoleReader;
  /** The last lines that may have meant something, by number modulo. */
  private readonly kept: { readonly number: number; readonly text: string }[] = [];

  constructor(options: CrashReaderOptions) {
    this.reader = new ConsoleReader(options, ({ text }, number) => {
      this.kept[number % KEPT_LINES] = { number, text };
    });
  }

  /** Lines so far. */
  get lines(): number {
    return this.reader.lines;
  }

  /** By the console's banner, or as told. */
  get unikernel(): string | null {
    return this.reader.unikernel;
  }

  /** The crashes that these bytes show to be over. */
  push(bytes: Uint8Array): readonly LoggedCrash[] {
    return this.reader.push(bytes).map((reported) => this.withLines(reported));
  }

  /** The log ends here. */
  end(): readonly LoggedCrash[] {
    return this.reader.end().map((reported) => this.withLines(reported));
  }

  private withLines(reported: ReportedCrash): LoggedCrash {
    const { firstLine, lastLine } = reported;
    const own = this.kept.filter(({ number }) => number >= firstLine && number <= lastLine + KEPT_LINES);
    return { reported, lines: own.sort((a, b) => a.number - b.number).map(({ text }) => text) };
  }
}
