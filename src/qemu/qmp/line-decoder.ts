// Bytes of a socket → lines of text, whatever the chunks. QMP sends one JSON object per line, ended by CR LF
// (QEMU docs/interop/qmp-spec: "2.1 General Definitions").

import { UnidbgError } from '../../model/error.ts';

const LINE_FEED = 0x0a;

/** Longest line taken: `query-rx-filter` and `query-qmp-schema` reach a few hundred KiB, nothing known more. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** Cuts a byte stream into UTF-8 lines without their ends; empty lines are dropped. Cannot mind where a chunk ends. */
export class LineDecoder {
  private readonly maxBytes: number;
  private parts: Uint8Array[] = [];
  private held = 0;

  constructor(maxBytes: number = MAX_LINE_BYTES) {
    this.maxBytes = maxBytes;
  }

  /** The lines that `chunk` completes. Throws QMP_MALFORMED when a line has no end within the limit. */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      this.hold(chunk.subarray(from, end));
      const line = this.takeLine();
      if (line !== '') lines.push(line);
      from = end + 1;
    }
    this.hold(chunk.subarray(from));
    return lines;
  }

  private hold(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.held += bytes.length;
    if (this.held > this.maxBytes) {
      throw new UnidbgError('QMP_MALFORMED', `a line of more than ${this.maxBytes} bytes came from the monitor: this is not QMP`);
    }
    // The chunk's memory belongs to the socket: what outlives this call is copied.
    this.parts.push(bytes.slice());
  }

  private takeLine(): string {
    const bytes = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
    this.parts = [];
    this.held = 0;
    return new TextDecoder().decode(bytes).trim();
  }
}
