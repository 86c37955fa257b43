// Console bytes of a file to crashes, as fast as they can be read: stretches of lines without any word of a crash's first line are
// passed by and only counted. The same crashes as by LineDecoder and CrashReader line by line.

import type { ReportedCrash } from '../model/console-text.ts';
import { CrashReader, type CrashReaderOptions } from './crash-reader.ts';
import { type DecodedLine, HiddenText, LineDecoder } from './lines.ts';

/** While a crash is read, about so many bytes are decoded at a time. */
const STRIDE = 4096;

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
    for (let at = 0; at < text.length; ) {
      let odd = at + STRIDE;
      if (this.#reader.isListening && this.#decoder.isAtLineStart) {
        odd = this.#reader.search(bytes, at, hidden.find(at));
        at = this.#passBy(text, at, odd);
      }
      const stop = endOfLine(text, odd);
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

  /** The whole lines from `from` to the place `to`: gives where the line begins that it is on. */
  #passBy(text: string, from: number, to: number): number {
    const end = startOfLine(text, to, from);
    if (end === from) return end;
    for (let at = text.indexOf('\n', from); at >= 0 && at < end; at = text.indexOf('\n', at + 1)) this.#lines += 1;
    this.#reader.passBy(() => new LineDecoder().pushLatin1(text.slice(startOfLine(text, end - 1, from), end)).at(-1)?.text ?? '');
    return end;
  }
}

/** Where the line begins that the character at `at` is on; not before `from`. */
function startOfLine(text: string, at: number, from: number): number {
  return at <= from ? from : Math.max(text.lastIndexOf('\n', at - 1) + 1, from);
}

/** Behind the end of the line that `at` is on. */
function endOfLine(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end + 1;
}
