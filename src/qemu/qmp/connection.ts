// One QMP connection from connect to close (QEMU docs/interop/qmp-spec): greeting, capabilities negotiation, commands
// with ids, events. It never comes back: reconnecting is client.ts.

import { connect, type Socket } from 'node:net';
import { errorMessage, UnidbgError } from '../../model/error.ts';
import { type Endpoint, formatEndpoint, socketAddress } from './endpoint.ts';
import { encodeExactJson, findInteger, findMember, findText, type Json, type JsonObject, parseExactJson } from './exact-json.ts';
import { LineDecoder } from './line-decoder.ts';

/** An asynchronous QMP message. `at` is QEMU's time stamp, ms since the Unix epoch (ours where QEMU had none). */
export interface QmpEvent {
  readonly name: string;
  readonly data: JsonObject;
  readonly at: number;
}

/** What the greeting says of the QEMU at the other end. */
export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  /** The distribution's name for the build, often empty. */
  readonly package: string;
}

/** An open, negotiated connection. */
export interface QmpConnection {
  readonly version: QemuVersion;
  /** Runs one command. Throws QMP_COMMAND (QEMU refused), QMP_TIMEOUT, QMP_CLOSED. */
  execute(command: string, args: JsonObject | undefined, timeoutMs: number): Promise<Json>;
  /** Called once, when the connection is no more; every pending command has been rejected with `error` by then. */
  onClose(listener: (error: UnidbgError) => void): void;
  close(): void;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: Json) => void;
  readonly reject: (error: UnidbgError) => void;
  readonly timer: NodeJS.Timeout;
}

/** Connects and negotiates. Throws QMP_CONNECT with what is wrong at that address and what to do. */
export async function connectQmp(
  endpoint: Endpoint,
  options: { readonly timeoutMs: number; readonly onEvent: (event: QmpEvent) => void },
): Promise<QmpConnection> {
  const link = new QmpLink(endpoint, options.onEvent);
  const { version } = await link.greeted(options.timeoutMs);
  await link.execute('qmp_capabilities', undefined, options.timeoutMs);
  return {
    version,
    execute: (command, args, timeoutMs) => link.execute(command, args, timeoutMs),
    onClose: (listener) => {
      link.onClose(listener);
    },
    close: () => {
      link.close();
    },
  };
}

class QmpLink {
  private readonly where: string;
  private readonly socket: Socket;
  private readonly decoder = new LineDecoder();
  private readonly pending = new Map<number, Pending>();
  private readonly onEvent: (event: QmpEvent) => void;
  private readonly closeListeners: ((error: UnidbgError) => void)[] = [];
  private readonly greeting = Promise.withResolvers<{ version: QemuVersion }>();
  private connected = false;
  private greetingSeen = false;
  private ended: UnidbgError | null = null;
  private nextId = 1;

  constructor(endpoint: Endpoint, onEvent: (event: QmpEvent) => void) {
    this.where = formatEndpoint(endpoint);
    this.onEvent = onEvent;
    this.greeting.promise.catch(() => undefined);
    this.socket = connect(socketAddress(endpoint));
    this.socket.setNoDelay(true);
    this.socket.on('connect', () => (this.connected = true));
    this.socket.on('data', (chunk) => {
      this.receive(chunk);
    });
    this.socket.on('error', (error) => {
      this.end(this.connected ? this.lost(error.message, error) : connectFailure(this.where, error));
    });
    this.socket.on('close', () => {
      this.end(this.lost('QEMU closed it'));
    });
  }

  async greeted(timeoutMs: number): Promise<{ version: QemuVersion }> {
    const timer = setTimeout(() => {
      this.end(this.connected ? noGreeting(this.where, timeoutMs) : unanswered(this.where, timeoutMs));
    }, timeoutMs);
    try {
      return await this.greeting.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  execute(command: string, args: JsonObject | undefined, timeoutMs: number): Promise<Json> {
    return new Promise((resolve, reject) => {
      if (this.ended !== null) {
        reject(this.ended);
        return;
      }
      const id = this.nextId;
      this.nextId += 1;
      const timer = setTimeout(() => {
        this.pending.delete(id);
        reject(new UnidbgError('QMP_TIMEOUT', `QEMU (${this.where}) did not answer ${command} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.pending.set(id, { command, resolve, reject, timer });
      const request: JsonObject = args === undefined ? { execute: command, id } : { execute: command, arguments: args, id };
      // Questions of one moment go out in one write: each write costs a system call and wakes QEMU.
      this.socket.cork();
      this.socket.write(`${encodeExactJson(request)}\n`);
      process.nextTick(() => {
        this.socket.uncork();
      });
    });
  }

  onClose(listener: (error: UnidbgError) => void): void {
    if (this.ended === null) this.closeListeners.push(listener);
    else listener(this.ended);
  }

  close(): void {
    this.end(new UnidbgError('QMP_CLOSED', `the QMP connection to ${this.where} was closed by unidbg`));
  }

  private receive(chunk: Uint8Array): void {
    try {
      for (const line of this.decoder.push(chunk)) this.take(line);
    } catch (error) {
      this.end(
        error instanceof UnidbgError
          ? error
          : new UnidbgError('QMP_MALFORMED', `${this.where}: ${errorMessage(error)}`, { cause: error }),
      );
    }
  }

  private take(line: string): void {
    if (this.ended !== null) return;
    const message = this.parse(line);
    const version = findMember(findMember(message, 'QMP'), 'version');
    if (version !== undefined) {
      this.greetingSeen = true;
      this.greeting.resolve({ version: readVersion(version) });
    } else if (findMember(message, 'event') !== undefined) {
      this.onEvent(readEvent(message));
    } else {
      this.settle(message);
    }
  }

  private parse(line: string): Json {
    try {
      return parseExactJson(line);
    } catch (error) {
      const speaksHmp = !this.greetingSeen && /monitor|\(qemu\)/.test(line);
      const what = speaksHmp ? 'this is a human monitor (HMP), not QMP' : `not JSON: ${line.slice(0, 80)}`;
      throw new UnidbgError('QMP_MALFORMED', `${this.where}: ${what}`, {
        cause: error,
        facts: { speaks: speaksHmp ? 'hmp' : null },
      });
    }
  }

  private settle(message: Json): void {
    // A reply without an id answers a request that QEMU could not even parse: the oldest one.
    const id = findInteger(findMember(message, 'id')) ?? this.pending.keys().next().value;
    const pending = id === undefined ? undefined : this.pending.get(id);
    // Unknown ids are late answers to commands that timed out.
    if (id === undefined || pending === undefined) return;
    this.pending.delete(id);
    clearTimeout(pending.timer);
    const error = findMember(message, 'error');
    if (error === undefined) {
      pending.resolve(findMember(message, 'return') ?? null);
      return;
    }
    const why = findText(findMember(error, 'desc')) ?? 'no reason given';
    const facts = { command: pending.command, class: findText(findMember(error, 'class')) };
    pending.reject(new UnidbgError('QMP_COMMAND', `QEMU refused ${pending.command}: ${why}`, { facts }));
  }

  private lost(why: string, cause?: unknown): UnidbgError {
    const code = this.greetingSeen ? 'QMP_CLOSED' : 'QMP_CONNECT';
    return new UnidbgError(code, `the QMP connection to ${this.where} ended: ${why}`, { cause });
  }

  private end(error: UnidbgError): void {
    if (this.ended !== null) return;
    this.ended = error;
    this.socket.destroy();
    this.greeting.reject(error);
    for (const { reject, timer } of this.pending.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.pending.clear();
    for (const listener of this.closeListeners) listener(error);
  }
}

function readVersion(version: Json): QemuVersion {
  const numbers = findMember(version, 'qemu');
  const part = (name: string): number => findInteger(findMember(numbers, name)) ?? 0;
  return {
    major: part('major'),
    minor: part('minor'),
    micro: part('micro'),
    package: findText(findMember(version, 'package')) ?? '',
  };
}

function readEvent(message: Json): QmpEvent {
  const timestamp = findMember(message, 'timestamp');
  const seconds = findInteger(findMember(timestamp, 'seconds')) ?? -1;
  const microseconds = findInteger(findMember(timestamp, 'microseconds')) ?? 0;
  const data = findMember(message, 'data');
  return {
    name: findText(findMember(message, 'event')) ?? '',
    data: typeof data === 'object' && data !== null && !Array.isArray(data) ? (data as JsonObject) : {},
    // QEMU writes −1 when its clock failed.
    at: seconds < 0 ? Date.now() : seconds * 1000 + microseconds / 1000,
  };
}

function connectFailure(where: string, error: Error & { code?: string }): UnidbgError {
  const why =
    error.code === 'ENOENT'
      ? 'there is no such socket: is QEMU running, with -qmp?'
      : error.code === 'ECONNREFUSED'
        ? 'nobody listens there: the QEMU that made it has ended'
        : error.code === 'EACCES' || error.code === 'EPERM'
          ? 'not permitted: run unidbg as the user who started QEMU'
          : error.message;
  return new UnidbgError('QMP_CONNECT', `cannot connect to QMP at ${where}: ${why}`, {
    cause: error,
    facts: { errno: error.code ?? null },
  });
}

function noGreeting(where: string, timeoutMs: number): UnidbgError {
  return new UnidbgError(
    'QMP_CONNECT',
    `${where} took the connection but sent no QMP greeting within ${timeoutMs} ms: most likely another program is connected ` +
      'to it, and a QMP socket serves one client at a time. Close that program, or start QEMU with a second one: ' +
      '-qmp unix:/path/to/second.sock,server=on,wait=off',
    { facts: { inUse: 1 } },
  );
}

function unanswered(where: string, timeoutMs: number): UnidbgError {
  // A full listen queue makes connect() itself wait: QEMU listens with a backlog of 1, so one more waiting client fills it.
  return new UnidbgError(
    'QMP_CONNECT',
    `cannot connect to QMP at ${where} within ${timeoutMs} ms: other programs are connected or waiting there ` +
      '(a QMP socket serves one client at a time). Start QEMU with a second one: -qmp unix:/path/to/second.sock,server=on,wait=off',
    { facts: { inUse: 1 } },
  );
}
