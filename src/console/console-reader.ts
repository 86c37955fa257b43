// Console bytes of a file to crashes, as fast as they can be read: stretches of lines without any word of a crash's first line are
// passed by and only counted. The same crashes as by LineDecoder and CrashReader line by line.

import type { ReportedCrash } from '../model/console-text.ts';
import { CrashReader, type CrashReaderOptions } from './crash-reader.ts';
import { type DecodedLine, HiddenText, LineDecoder } from './lines.ts';

/** Reads one console from its first byte to its last, without a clock: for logs, not for guests that run. */
export class ConsoleReader {
  readonly #decoder = new LineDecoder();
  readonly #reader: CrashReader;
  readonly #onLine: ((line: DecodedLine, number: number) => void) | null;
  #lines = 0;

  /** `onLine` is given the lines that may mean something: all of a crash's, and not the healthy ones that were passed by. */
  constructor(options: CrashReaderOptions, onLine: ((line: DecodedLine, number: number) => void) | null = null) {
    this.#reader = new CrashReader(options);
    this.#onLine = onLine;
  }

  /** The unikernel, as told or as its banner said. */
  get unikernel(): string | null {
    return this.#reader.unikernel;
  }

  /** Lines begun so far: a crash's `firstLine` and `lastLine` count from 1, as an editor does. */
  get lines(): number {
    return this.#lines;
  }

  /** The next bytes; gives the crashes that they show to be over. */
  push(bytes: Uint8Array): ReportedCrash[] {
    const crashes: ReportedCrash[] = [];
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    const hidden = new HiddenText(text);
    /** No line before this place has a word. */
    let odd = 0;
    for (let at = 0; at < text.length; ) {
      if (this.#reader.isListening && this.#decoder.isAtLineStart) {
        if (odd <= at) odd = this.#reader.filter.search(bytes, at, hidden.find(at));
        at = this.#passBy(text, at, odd);
      }
      const stop = endOfLine(text, at);
      this.#take(this.#decoder.pushLatin1(text.slice(at, stop)), crashes);
      at = stop;
    }
    return crashes;
  }

  /** The console has ended. */
  end(): ReportedCrash[] {
    const crashes: ReportedCrash[] = [];
    this.#take(this.#decoder.end(), crashes);
    return [...crashes, ...this.#reader.settle()];
  }

  #take(lines: readonly DecodedLine[], crashes: ReportedCrash[]): void {
    for (const line of lines) {
      if (!line.continuation) this.#lines += 1;
      this.#onLine?.(line, this.#lines);
      for (const crash of this.#reader.push(line, this.#lines)) crashes.push(crash);
    }
  }

  /** Whole lines from `from` on that mean nothing, none of which has the place `to`: gives where the first other line begins. */
  #passBy(text: string, from: number, to: number): number {
    const { filter } = this.#reader;
    let at = from;
    let last = from;
    for (let end = text.indexOf('\n', at); end >= 0 && end < to; end = text.indexOf('\n', at)) {
      if (filter.endsTelling(text, at, text[end - 1] === '\r' ? end - 1 : end)) break;
      this.#lines += 1;
      last = at;
      at = end + 1;
    }
    if (at > from) this.#reader.passBy(() => new LineDecoder().pushLatin1(text.slice(last, at))[0]?.text ?? '');
    return at;
  }
}

/** Behind the end of the line that `at` is on. */
function endOfLine(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end + 1;
}
