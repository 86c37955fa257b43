// Where a guest's console bytes come from: a file followed from its first byte, a socket, a pty, or the log that the guest
// itself keeps in its memory. Each gives bytes and, when it ends or loses some, says so.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { connect, type NetConnectOpts } from 'node:net';
import { ReadStream } from 'node:tty';
import { errorMessage, UnidbgError } from '../model/error.ts';

/** Takes what a console source gives. `onRemark` gets a sentence when bytes were lost or the source ended. */
export interface ConsoleSink {
  readonly onBytes: (bytes: Uint8Array) => void;
  readonly onRemark: (code: string, message: string) => void;
}

/** A running console source. */
export interface ConsoleSource {
  close(): void | Promise<void>;
}

const POLL_MS = 40;
const CHUNK = 256 * 1024;

/** Follows a file that QEMU writes, from byte 0; starts over when it is truncated. Throws FILE_UNREADABLE. */
export function followFile(path: string, sink: ConsoleSink): ConsoleSource {
  const fd = openForReading(path);
  const chunk = Buffer.allocUnsafe(CHUNK);
  let position = 0;
  const poll = (): void => {
    if (fstatSync(fd).size < position) {
      sink.onRemark('console-truncated', `${path} was truncated: the console starts over`);
      position = 0;
    }
    // At most 16 chunks a turn, so that a flood cannot starve the keys; the next turn comes at once then.
    for (let turn = 0; turn < 16; turn += 1) {
      const count = readSync(fd, chunk, 0, CHUNK, position);
      if (count === 0) break;
      position += count;
      sink.onBytes(Uint8Array.prototype.slice.call(chunk, 0, count));
    }
  };
  const timer = setInterval(poll, POLL_MS);
  poll();
  return {
    close: () => {
      clearInterval(timer);
      poll();
      closeSync(fd);
    },
  };
}

/** Connects to a console socket. What the guest printed before is lost to us; the remark says so. */
export function readSocket(
  endpoint: { readonly path: string } | { readonly host: string; readonly port: number },
  sink: ConsoleSink,
): ConsoleSource {
  const name = 'path' in endpoint ? endpoint.path : `${endpoint.host}:${endpoint.port}`;
  const socket = connect(endpoint satisfies NetConnectOpts);
  let closed = false;
  socket.on('connect', () => {
    sink.onRemark(
      'console-from-now',
      `the console at ${name} is read from now on: a socket keeps nothing of what was printed before`,
    );
  });
  socket.on('data', (bytes) => {
    sink.onBytes(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
  });
  socket.on('error', (error) => {
    sink.onRemark('console-unavailable', `the console at ${name} cannot be read: ${error.message}`);
  });
  socket.on('close', () => {
    if (!closed) sink.onRemark('console-ended', `the console at ${name} was closed`);
  });
  return {
    close: () => {
      closed = true;
      socket.destroy();
    },
  };
}

/** Reads the pty that `-serial pty` made. Throws FILE_UNREADABLE. */
export function readPty(path: string, sink: ConsoleSink): ConsoleSource {
  let stream: ReadStream;
  try {
    // O_NOCTTY: the guest's console must not become our controlling terminal, or its ^C would be ours.
    stream = new ReadStream(openSync(path, constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK));
  } catch (cause) {
    throw new UnidbgError('FILE_UNREADABLE', `the console pty ${path} cannot be opened: ${errorMessage(cause)}`, { cause });
  }
  sink.onRemark('console-from-now', `the console at ${path} is read from now on: a pty keeps nothing of what was printed before`);
  stream.on('data', (bytes: Buffer) => {
    sink.onBytes(bytes);
  });
  stream.on('error', (error) => {
    sink.onRemark('console-ended', `the console pty ${path} ended: ${error.message}`);
  });
  return {
    close: () => {
      stream.destroy();
    },
  };
}

/** Polls the log that a guest keeps in its memory (Nanos' klog, the demo's console_log) and gives what is new in it. */
export function pollMemoryLog(read: () => Promise<Uint8Array | null>, sink: ConsoleSink, periodMs = 250): ConsoleSource {
  const difference = new LogDifference();
  let closed = false;
  let failures = 0;
  const poll = async (): Promise<void> => {
    try {
      const log = await read();
      if (closed || log === null) return;
      const { fresh, lost } = difference.push(log);
      if (lost)
        sink.onRemark(
          'console-lost',
          'the guest wrote more than its in-memory log holds between two looks: lines are missing here',
        );
      if (fresh.length > 0) sink.onBytes(fresh);
      failures = 0;
    } catch (error) {
      failures += 1;
      if (failures === 1) sink.onRemark('console-unavailable', `the in-memory log cannot be read: ${errorMessage(error)}`);
    }
  };
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    void poll().finally(() => {
      busy = false;
    });
  }, periodMs);
  return {
    close: () => {
      closed = true;
      clearInterval(timer);
    },
  };
}

/** What is new in a ring's content, given oldest byte first, since the last look at it. */
export class LogDifference {
  private previous = Buffer.alloc(0);

  push(log: Uint8Array): { readonly fresh: Uint8Array; readonly lost: boolean } {
    const current = Buffer.from(log);
    const previous = this.previous;
    this.previous = current;
    if (previous.length === 0) return { fresh: current, lost: false };
    if (current.subarray(0, previous.length).equals(previous)) return { fresh: current.subarray(previous.length), lost: false };
    // The ring moved on: find the end of what we know in it. A short tail could occur twice by chance, so take a long one.
    const tail = previous.subarray(-Math.min(previous.length, 512));
    const at = current.lastIndexOf(tail);
    return at < 0 ? { fresh: current, lost: true } : { fresh: current.subarray(at + tail.length), lost: false };
  }
}

function openForReading(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw new UnidbgError('FILE_UNREADABLE', `the console file ${path} cannot be read: ${errorMessage(cause)}`, { cause });
  }
}
