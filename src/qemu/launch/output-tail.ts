// The last words of a process: what it wrote to a standard stream, the newest lines of it. Through a file, not a pipe: QEMU writes its
// serial port there without waiting, and where a reader is slower than the guest, QEMU (7.2 to 10, chardev/char.c qemu_chr_write_buffer)
// logs a character anew with each try. Seen: a stack of Nanos with every tenth digit doubled.

import { closeSync, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

const POLL_MS = 50;
const CHUNK_BYTES = 64 * 1024;
const MAX_TEXT = 64 * 1024;
const MAX_LINES = 20;
/** A guest that floods its console must not fill the disk a second time. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
/** C0 but for tab and line feed, DEL, C1. */
const UNSAFE = new RegExp('[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f]', 'g');

/** Owns a file that a process writes to its end; `fd` is for the process. */
export class OutputTail {
  readonly fd: number;
  private readonly echo: ((text: string) => void) | null;
  private readonly timer: NodeJS.Timeout;
  private readonly decoder = new StringDecoder('utf8');
  private position = 0;
  private text = '';
  private closed = false;

  /** `echo` is given each piece as it comes. */
  constructor(path: string, echo: ((text: string) => void) | null = null) {
    this.fd = openSync(path, 'a+', 0o600);
    this.echo = echo;
    this.timer = setInterval(() => {
      this.poll();
    }, POLL_MS);
    this.timer.unref();
  }

  /** The newest lines so far, safe for a terminal. */
  get lines(): readonly string[] {
    this.poll();
    return this.text
      .split('\n')
      .map((line) => line.replaceAll('\r', '').replace(UNSAFE, '?'))
      .filter((line) => line.trim() !== '')
      .slice(-MAX_LINES);
  }

  close(): void {
    if (this.closed) return;
    this.poll();
    this.closed = true;
    clearInterval(this.timer);
    closeSync(this.fd);
  }

  private poll(): void {
    if (this.closed) return;
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const { size } = fstatSync(this.fd);
    this.position = Math.max(this.position, size - MAX_FILE_BYTES);
    for (let count = 1; count > 0; ) {
      count = readSync(this.fd, chunk, 0, CHUNK_BYTES, this.position);
      this.position += count;
      const piece = this.decoder.write(chunk.subarray(0, count));
      this.text = (this.text + piece).slice(-MAX_TEXT);
      if (piece !== '') this.echo?.(piece);
    }
    if (this.position < MAX_FILE_BYTES) return;
    // It is written by appending: the next byte goes to the new end.
    ftruncateSync(this.fd, 0);
    this.position = 0;
  }
}
