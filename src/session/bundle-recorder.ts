// What a bundle needs to have been kept of a session from its beginning: its events, and its console where no file has that.

import { existsSync } from 'node:fs';
import { openFileSource } from '../bytes/byte-source.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import { EventSpool } from './event-spool.ts';
import { consoleFileOf } from './open-console.ts';
import type { RecordingHeader } from './recording.ts';
import type { Session } from './session.ts';

/** Of a console that only we heard, so much is kept: bytes. */
const CONSOLE_BYTES = 8 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;

/** A console as it is to be written. */
export interface KeptConsole {
  /** Where it begins: one phrase. */
  readonly from: string;
  pieces(): Iterable<Uint8Array>;
}

/** Listens to a session for a bundle. Owns a private folder: `close` it. */
export class BundleRecorder {
  readonly events: EventSpool;
  private readonly unsubscribe: () => void;
  private console: Uint8Array[] = [];
  private consoleBytes = 0;
  private consoleDropped = 0;

  /** Before the session's first event. */
  constructor(session: Session, header: RecordingHeader) {
    this.events = new EventSpool(header);
    this.unsubscribe = session.subscribe((event) => {
      this.events.write(event);
    });
  }

  /** Raw bytes of the console, for LiveSessionOptions.onConsole. */
  readonly hearConsole = (bytes: Uint8Array): void => {
    this.console.push(bytes);
    this.consoleBytes += bytes.length;
    while (this.consoleBytes > CONSOLE_BYTES && this.console.length > 1) {
      const length = this.console.shift()?.length ?? 0;
      this.consoleBytes -= length;
      this.consoleDropped += length;
    }
  };

  /** The first console: its file from the first byte on where it has one, else what we heard. Null when nothing was. */
  keptConsole(record: VmRecord | null): KeptConsole | null {
    const first = record?.consoles[0];
    const path = first === undefined ? null : consoleFileOf(first);
    if (path !== null && existsSync(path)) return { from: 'from its first byte', pieces: () => piecesOfFile(path) };
    if (this.consoleBytes === 0) return null;
    const dropped = this.consoleDropped === 0 ? '' : `; ${this.consoleDropped} bytes after that were more than is kept`;
    const pieces = [...this.console];
    return { from: `from when unidbg began to read it${dropped}`, pieces: () => pieces };
  }

  close(): void {
    this.unsubscribe();
    this.events.close();
  }
}

function* piecesOfFile(path: string): Generator<Uint8Array> {
  const source = openFileSource(path);
  try {
    for (let at = 0; at < source.size; at += CHUNK_BYTES) {
      const bytes = new Uint8Array(Math.min(CHUNK_BYTES, source.size - at));
      yield bytes.subarray(0, source.read(at, bytes));
    }
  } finally {
    source.close();
  }
}
