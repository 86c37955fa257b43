// A console log that is read after the fact: bytes in, crashes out, each with the lines around it, which may say where code was.

import { CrashReader, type CrashReaderOptions } from '../console/crash-reader.ts';
import { type DecodedLine, LineDecoder } from '../console/lines.ts';
import type { ReportedCrash } from '../model/console-text.ts';

/** Lines kept for the context of a crash; a longer one's first lines are not in it. */
const KEPT_LINES = 1024;
/** Lines before a crash that may tell of it: a carrier's time stamp, a load offset. */
const LINES_BEFORE = 8;

/** A crash and the console's lines from shortly before its first to where it was known to be over, as they came. */
export interface LoggedCrash {
  readonly reported: ReportedCrash;
  readonly lines: readonly string[];
}

/** Reads one log; push its bytes, then `end`. */
export class LogReader {
  private readonly decoder = new LineDecoder();
  private readonly reader: CrashReader;
  private readonly kept: string[] = [];
  private number = 0;

  constructor(options: CrashReaderOptions) {
    this.reader = new CrashReader(options);
  }

  /** Lines so far. */
  get lines(): number {
    return this.number;
  }

  /** By the console's banner, or as told. */
  get unikernel(): string | null {
    return this.reader.unikernel;
  }

  /** The crashes that these bytes show to be over. */
  push(bytes: Uint8Array): readonly LoggedCrash[] {
    return this.take(this.decoder.push(bytes));
  }

  /** The log ends here. */
  end(): readonly LoggedCrash[] {
    const last = this.take(this.decoder.end());
    return [...last, ...this.reader.settle().map((reported) => this.withLines(reported))];
  }

  private take(lines: readonly DecodedLine[]): readonly LoggedCrash[] {
    const crashes: LoggedCrash[] = [];
    for (const line of lines) {
      if (!line.continuation) this.number += 1;
      this.kept[this.number % KEPT_LINES] = line.text;
      for (const reported of this.reader.push(line, this.number)) crashes.push(this.withLines(reported));
    }
    return crashes;
  }

  private withLines(reported: ReportedCrash): LoggedCrash {
    const first = Math.max(1, reported.firstLine - LINES_BEFORE, this.number - KEPT_LINES + 1);
    const numbers = Array.from({ length: Math.max(0, this.number - first + 1) }, (_, index) => first + index);
    return { reported, lines: numbers.map((number) => this.kept[number % KEPT_LINES] ?? '') };
  }
}
