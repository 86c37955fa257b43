// The last words of a process: what it wrote to its standard streams, the newest lines of it.

import type { Readable } from 'node:stream';

const MAX_BYTES = 64 * 1024;
const MAX_LINES = 20;
/** C0 but for tab and line feed, DEL, C1. */
const UNSAFE = new RegExp('[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f]', 'g');

/** Collects; `lines` are the newest ones, safe for a terminal. */
export class OutputTail {
  private text = '';

  /** Reads a stream to its end; `echo` is given each piece. */
  follow(stream: Readable | null, echo?: (text: string) => void): void {
    stream?.setEncoding('utf8');
    stream?.on('error', () => undefined);
    stream?.on('data', (piece: string) => {
      this.text = (this.text + piece).slice(-MAX_BYTES);
      echo?.(piece);
    });
  }

  get lines(): readonly string[] {
    return this.text
      .split('\n')
      .map((line) => line.replaceAll('\r', '').replace(UNSAFE, '?'))
      .filter((line) => line.trim() !== '')
      .slice(-MAX_LINES);
  }
}
