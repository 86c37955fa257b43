// A recording: a header line, then the events, one JSON object a line (docs/recording.md). Written as they happen, so
// that what was written before a crash of anything is there; read lazily, line by line, and a cut-off last line is said, not fatal.

import { closeSync, openSync, writeSync } from 'node:fs';
import { type ByteSource, openFileSource } from '../bytes/byte-source.ts';
import { errorMessage, UnidbgError } from '../model/error.ts';
import type { GuestEvent } from '../model/event.ts';
import { decodeEvent, encodeEvent } from './event-codec.ts';

const FORMAT = 1;
const MAX_LINE = 16 * 1024 * 1024;

/** Appends events to a file. A disk that is full loses what follows, is told once, and never disturbs the session. */
export class RecordingWriter {
  readonly path: string;
  private fd: number | null;
  private pending: string[] = [];
  private failure: UnidbgError | null = null;

  /** Creates `path` (mode 0600; refuses to overwrite). Throws FILE_UNREADABLE. */
  constructor(path: string, header: { readonly unidbg: string; readonly target: string }) {
    this.path = path;
    try {
      this.fd = openSync(path, 'wx', 0o600);
    } catch (cause) {
      throw new UnidbgError('FILE_UNREADABLE', `cannot create the recording ${path}: ${errorMessage(cause)}`, { cause });
    }
    this.pending.push(encodeRecordingHeader(header));
    this.flush();
  }

  /** Queues one event; `flush` writes. Console floods thus cost one write a tick. */
  write(event: GuestEvent): void {
    if (this.fd === null) return;
    this.pending.push(encodeEvent(event));
    if (this.pending.length >= 256) this.flush();
  }

  /** Writes what is queued. Returns the error that ended the recording, the first time it is known; null otherwise. */
  flush(): UnidbgError | null {
    if (this.fd === null || this.pending.length === 0) return null;
    const bytes = Buffer.from(`${this.pending.join('\n')}\n`);
    this.pending = [];
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.fd, bytes, done);
      return null;
    } catch (cause) {
      this.failure = new UnidbgError('FILE_UNREADABLE', `the recording ${this.path} ends here: ${errorMessage(cause)}`, {
        cause,
      });
      closeSync(this.fd);
      this.fd = null;
      return this.failure;
    }
  }

  close(): void {
    this.flush();
    if (this.fd !== null) closeSync(this.fd);
    this.fd = null;
  }
}

/** What a recording says of itself. */
export interface RecordingHeader {
  readonly unidbg: string;
  readonly target: string;
}

/** The first line, without its end. */
export function encodeRecordingHeader({ unidbg, target }: RecordingHeader): string {
  return JSON.stringify({ unidbgRecording: FORMAT, unidbg, target });
}

/** A place between two lines of a recording, from which it can be read on. */
export interface RecordingPlace {
  /** Bytes and lines before it. */
  readonly position: number;
  readonly lines: number;
  /** Time of the event before it: a damaged line has none of its own. */
  readonly at: number;
}

/** An event, and the place behind it. */
export interface RecordedEvent {
  readonly event: GuestEvent;
  readonly end: RecordingPlace;
}

/** A recording opened for reading: its header at once, its events on demand. */
export interface RecordingReader {
  readonly header: RecordingHeader;
  /** Bytes that it had when it was opened. */
  readonly size: number;
  /** Where its events begin. */
  readonly start: RecordingPlace;
  /** Events in order. A damaged line becomes a `diagnostic` event and reading goes on. */
  events(): Generator<GuestEvent>;
  /** The same from any place on, with the places between them. */
  read(from: RecordingPlace): Generator<RecordedEvent>;
  close(): void;
}

/** Opens a recording's file. Throws FILE_UNREADABLE, or RECORDING_MALFORMED when it is none. */
export function openRecording(path: string): RecordingReader {
  return readRecording(openFileSource(path));
}

/** A recording wherever its bytes are; closes `source` with it, and when it is none. Throws RECORDING_MALFORMED. */
export function readRecording(source: ByteSource): RecordingReader {
  const first = readLines(source, { position: 0, lines: 0 }).next();
  const header = first.done === true ? null : parseHeader(first.value);
  if (first.done === true || header === null) {
    source.close();
    const message = `${source.name} is not a recording of unidbg (no header line); recordings are made with --record FILE`;
    throw new UnidbgError('RECORDING_MALFORMED', message);
  }
  const start: RecordingPlace = { position: first.value.end, lines: 1, at: 0 };
  const read = (from: RecordingPlace): Generator<RecordedEvent> => decodeLines(readLines(source, from), from.at);
  return {
    header,
    size: source.size,
    start,
    read,
    *events() {
      for (const { event } of read(start)) yield event;
    },
    close: () => {
      source.close();
    },
  };
}

function parseHeader(line: Line): RecordingHeader | null {
  try {
    const value: unknown = JSON.parse(line.text);
    if (typeof value !== 'object' || value === null || !('unidbgRecording' in value)) return null;
    if (value.unidbgRecording !== FORMAT) return null;
    const { unidbg, target } = value as { unidbg?: unknown; target?: unknown };
    return { unidbg: String(unidbg), target: String(target) };
  } catch {
    return null;
  }
}

function* decodeLines(lines: Generator<Line>, before: number): Generator<RecordedEvent> {
  let at = before;
  for (const line of lines) {
    const event = decodeLine(line, at);
    at = event.at;
    yield { event, end: { position: line.end, lines: line.number, at } };
  }
}

function decodeLine(line: Line, before: number): GuestEvent {
  try {
    return decodeEvent(line.text);
  } catch (error) {
    const message = line.complete
      ? `line ${line.number} of the recording is skipped: ${errorMessage(error)}`
      : `the recording was cut off in line ${line.number}: the last event is lost`;
    return { at: before, type: 'diagnostic', diagnostic: { code: 'recording-damaged', message } };
  }
}

interface Line {
  readonly number: number;
  readonly text: string;
  readonly complete: boolean;
  /** Position behind it and its end of line. */
  readonly end: number;
}

/** Lines of a source from a place on, 64 KiB at a time; of a line longer than MAX_LINE only so much is kept, which decodes to nothing. */
function* readLines(source: ByteSource, from: Pick<RecordingPlace, 'position' | 'lines'>): Generator<Line> {
  const chunk = Buffer.alloc(64 * 1024);
  let { position, lines: number } = from;
  let end = position;
  // A line over many chunks is put together once, when its end is there: a long one must not be copied for each.
  let pieces: Buffer[] = [];
  let kept = 0;
  const keep = (piece: Buffer): void => {
    const part = piece.subarray(0, MAX_LINE - kept);
    if (part.length > 0) pieces.push(part);
    kept += part.length;
    end += piece.length;
  };
  const take = (): string => {
    const text = Buffer.concat(pieces).toString('utf8');
    pieces = [];
    kept = 0;
    return text;
  };
  for (let count = source.read(position, chunk); count > 0; count = source.read(position, chunk)) {
    position += count;
    const bytes = chunk.subarray(0, count);
    let start = 0;
    for (let stop = bytes.indexOf(10); stop >= 0; stop = bytes.indexOf(10, start)) {
      keep(bytes.subarray(start, stop));
      number += 1;
      end += 1;
      yield { number, text: take(), complete: true, end };
      start = stop + 1;
    }
    // A copy: the chunk is read into again.
    keep(Buffer.from(bytes.subarray(start)));
  }
  if (kept > 0) yield { number: number + 1, text: take(), complete: false, end };
}
