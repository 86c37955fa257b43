// One connection to a stub: acknowledgements, one request at a time, running and stopped. GDB manual, E.5 "Packet
// Acknowledgment", E.2 (requests), E.3 (stop replies). What the packets mean is the business of stub-client.ts.
//
// Folklore: on connect QEMU stops a running guest and sends a stop reply that nobody asked for; it comes before the first
// answer and is not taken for one. Test: test/gdbstub/connection.test.ts "a stop reply that nobody asked for".

import type { Duplex } from 'node:stream';
import { RspError } from '../error.ts';
import { decodeLatin1, quote } from '../framing/bytes.ts';
import type { Unit } from '../framing/decoder.ts';
import { UnitDecoder } from '../framing/decoder.ts';
import { ACK, encodePacket, INTERRUPT, NAK } from '../framing/encode.ts';
import { expectText } from '../packets/reply.ts';
import type { StopReply } from '../packets/stop-reply.ts';
import { decodeOutput, decodeStopReply, isStopReply } from '../packets/stop-reply.ts';

/** Limits of one request. `timeoutMs` counts from when it is sent; 0 = none. */
export interface RequestOptions {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A request's own ear: what counts as its answer, and what output comes before it. */
interface RequestHandling extends RequestOptions {
  /** A stop reply answers it (`?`); else one is somebody else's and is passed over. */
  readonly stopReply?: boolean;
  readonly onOutput?: (text: string) => void;
}

interface Job {
  readonly type: 'request' | 'resume';
  readonly name: string;
  readonly handling: RequestHandling;
  readonly resolve: (reply: Uint8Array) => void;
  readonly reject: (error: Error) => void;
  readonly sent: Uint8Array;
  tries: number;
  timer: NodeJS.Timeout | null;
}

interface Run {
  readonly promise: Promise<StopReply>;
  readonly resolve: (stop: StopReply) => void;
  readonly reject: (error: Error) => void;
}

const MAX_TRIES = 4;
const MAX_QUEUE = 4096;

/** File-I/O requests of a semihosting guest are answered "unknown error": unidbg opens no file for a guest. E.14. */
const FILE_IO_REFUSED = 'F-1,270f';

/** Owns a socket to a stub. All requests share one queue; closing rejects every one that is pending. */
export class Connection {
  private readonly socket: Duplex;
  private readonly decoder: UnitDecoder;
  private readonly timeoutMs: number;
  private readonly queue: Job[] = [];
  private current: Job | null = null;
  private acks = true;
  private badPackets = 0;
  private closedBy: RspError | null = null;
  /** Set while the guest runs; `lastRun` stays, for who asks after the stop has come. */
  private run: Run | null = null;
  private lastRun: Run | null = null;
  /** The packet that set it running. */
  private resuming: Job | null = null;
  /** Called with what a running program prints through the stub. */
  onOutput: (text: string) => void = () => undefined;
  /** Called with each stop reply that ends a run, before the waiting caller hears of it. */
  onStop: (stop: StopReply) => void = () => undefined;
  /** Called with each notification (`%`), text without framing. */
  onNotification: (text: string) => void = () => undefined;
  /** Called once, when the connection has ended. */
  onClose: (error: RspError) => void = () => undefined;

  constructor(socket: Duplex, options: { requestTimeoutMs: number; decoder?: UnitDecoder }) {
    this.socket = socket;
    this.timeoutMs = options.requestTimeoutMs;
    this.decoder = options.decoder ?? new UnitDecoder();
    socket.on('data', (chunk: Uint8Array) => {
      for (const unit of this.decoder.push(chunk)) this.receive(unit);
    });
    socket.on('error', (cause: Error) => {
      this.end(new RspError('RSP_CLOSED', `the connection to the gdbstub broke: ${cause.message}`, { cause }));
    });
    const onEnd = (): void => {
      this.end(new RspError('RSP_CLOSED', 'the gdbstub closed the connection'));
    };
    socket.on('end', onEnd).on('close', onEnd);
  }

  /** Whether the guest runs as far as this connection set it going. */
  get running(): boolean {
    return this.run !== null;
  }

  get closed(): boolean {
    return this.closedBy !== null;
  }

  /** Sends a packet and gives the reply's payload, whatever it is. Throws RSP_CLOSED, _TIMEOUT, _ABORTED, _RUNNING, _CHECKSUM. */
  async request(payload: Uint8Array | string, handling: RequestHandling = {}): Promise<Uint8Array> {
    return this.enqueue('request', payload, handling);
  }

  /** The next answer, to something that was sent over this socket before this object owned it. Throws as `request`. */
  async awaitReply(handling: RequestHandling = {}): Promise<Uint8Array> {
    return this.enqueue('request', null, handling);
  }

  /**
   * Sends a packet that makes the guest run; the promise settles when it stops again, or when the stub refuses. An aborted
   * wait leaves the guest running.
   */
  async resume(payload: string, options: RequestOptions = {}): Promise<StopReply> {
    const timeoutMs = options.timeoutMs ?? 0;
    await this.enqueue('resume', payload, { signal: options.signal });
    return this.waitForStop({ ...options, timeoutMs });
  }

  /** The stop reply that ends the present run. Throws RSP_TIMEOUT (the connection stays), RSP_ABORTED, RSP_CLOSED. */
  async waitForStop(options: RequestOptions = {}): Promise<StopReply> {
    if (this.closedBy !== null) throw this.closedBy;
    const run = this.run ?? this.lastRun;
    if (run === null) throw new RspError('RSP_MALFORMED', 'the guest was not set running through this connection');
    return withLimits(run.promise, options, 'the guest did not stop');
  }

  /** Sends the interrupt byte; the stop it causes comes out of waitForStop. */
  interrupt(): void {
    if (this.closedBy !== null) throw this.closedBy;
    this.socket.write(INTERRUPT);
  }

  /** From now on neither side acknowledges: call when QStartNoAckMode was answered OK. */
  stopAcknowledging(): void {
    this.acks = false;
  }

  /** Ends the connection; everything pending is rejected with RSP_CLOSED. */
  close(): void {
    this.end(new RspError('RSP_CLOSED', 'the connection to the gdbstub was closed'));
  }

  private async enqueue(type: Job['type'], payload: Uint8Array | string | null, handling: RequestHandling): Promise<Uint8Array> {
    if (this.closedBy !== null) throw this.closedBy;
    if (handling.signal?.aborted === true) throw aborted();
    if (this.queue.length >= MAX_QUEUE) throw new RspError('RSP_TIMEOUT', `more than ${MAX_QUEUE} requests wait for the gdbstub`);
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const sent = payload === null ? new Uint8Array() : encodePacket(payload);
    const name = decodeLatin1(sent.subarray(1, 41)).replace(/#.*$/s, '');
    const job: Job = { type, name, handling, resolve, reject, sent, tries: 0, timer: null };
    const onAbort = (): void => {
      this.abandon(job);
    };
    handling.signal?.addEventListener('abort', onAbort, { once: true });
    this.queue.push(job);
    this.dispatch();
    try {
      return await promise;
    } finally {
      handling.signal?.removeEventListener('abort', onAbort);
    }
  }

  private dispatch(): void {
    while (this.current === null && this.closedBy === null) {
      const job = this.queue.shift();
      if (job === undefined) return;
      if (this.run !== null) {
        job.reject(new RspError('RSP_RUNNING', `the guest runs; ${quote(job.name)} has to wait until it is interrupted`));
        continue;
      }
      this.current = job;
      const timeoutMs = job.handling.timeoutMs ?? this.timeoutMs;
      // All is in place before the sending: a stream inside this process answers at once.
      if (job.type === 'resume') this.startRun(job);
      else if (timeoutMs > 0) {
        job.timer = setTimeout(() => {
          this.timeOut(job, timeoutMs);
        }, timeoutMs);
      }
      this.send(job);
    }
  }

  private send(job: Job): void {
    job.tries += 1;
    if (job.sent.length > 0) this.socket.write(job.sent);
  }

  /** A resume has no answer but the stop, so its job ends with the sending; what is still refused rejects the run. */
  private startRun(job: Job): void {
    const { promise, resolve, reject } = Promise.withResolvers<StopReply>();
    promise.catch(() => undefined);
    this.run = { promise, resolve, reject };
    this.lastRun = this.run;
    this.resuming = job;
    this.current = null;
    job.resolve(new Uint8Array());
  }

  private receive(unit: Unit): void {
    if (this.closedBy !== null) return;
    switch (unit.type) {
      case 'ack':
      case 'interrupt':
        return;
      case 'nak':
        this.resend();
        return;
      case 'notification':
        this.onNotification(decodeLatin1(unit.payload));
        return;
      case 'corrupt':
        this.refuse(unit.reason);
        return;
      case 'packet':
        this.badPackets = 0;
        if (this.acks) this.socket.write(ACK);
        this.receivePacket(unit.payload);
    }
  }

  private receivePacket(payload: Uint8Array): void {
    const text = decodeLatin1(payload);
    if (this.run !== null) {
      this.receiveWhileRunning(this.run, text, payload);
      return;
    }
    const job = this.current;
    // An answer to nothing: a late stop reply, or a stub that says things twice.
    if (job === null) return;
    if (isStopReply(text) && job.handling.stopReply !== true) return;
    const output = job.handling.onOutput === undefined ? null : decodeOutput(text);
    if (output !== null) {
      job.handling.onOutput?.(output);
      return;
    }
    if (job.timer !== null) clearTimeout(job.timer);
    this.current = null;
    job.resolve(payload);
    this.dispatch();
  }

  private receiveWhileRunning(run: Run, text: string, payload: Uint8Array): void {
    const output = decodeOutput(text);
    if (output !== null) this.onOutput(output);
    else if (text.startsWith('F')) this.socket.write(encodePacket(FILE_IO_REFUSED));
    else {
      this.run = null;
      const name = this.resuming?.name ?? 'c';
      this.resuming = null;
      try {
        if (!isStopReply(text)) expectText(payload, name);
        const stop = decodeStopReply(text);
        this.onStop(stop);
        run.resolve(stop);
      } catch (error) {
        run.reject(error instanceof Error ? error : new Error(String(error)));
      }
      this.dispatch();
    }
  }

  private resend(): void {
    const job = this.current ?? this.resuming;
    if (job === null) return;
    if (job.tries >= MAX_TRIES)
      this.end(new RspError('RSP_CHECKSUM', `the gdbstub asked ${MAX_TRIES} times for ${quote(job.name)} again`));
    else this.send(job);
  }

  private refuse(reason: string): void {
    this.badPackets += 1;
    if (reason === 'truncated') return;
    if (reason !== 'checksum') {
      this.end(new RspError('RSP_MALFORMED', `the gdbstub sent a packet that cannot be read (${reason})`, { facts: { reason } }));
    } else if (!this.acks || this.badPackets >= MAX_TRIES) {
      this.end(new RspError('RSP_CHECKSUM', 'the gdbstub sent packets whose checksum is wrong'));
    } else this.socket.write(NAK);
  }

  private timeOut(job: Job, timeoutMs: number): void {
    const error = new RspError('RSP_TIMEOUT', `the gdbstub did not answer ${quote(job.name)} within ${timeoutMs} ms`, {
      facts: { request: job.name, timeoutMs },
    });
    job.reject(error);
    this.end(new RspError('RSP_CLOSED', `the connection was given up: ${error.message}`, { cause: error }));
  }

  /** Its caller has gone; the answer of a request already sent is still awaited, to keep in step. */
  private abandon(job: Job): void {
    job.reject(aborted());
    const waiting = this.queue.indexOf(job);
    if (waiting >= 0) this.queue.splice(waiting, 1);
  }

  private end(error: RspError): void {
    if (this.closedBy !== null) return;
    this.closedBy = error;
    const jobs = [...(this.current === null ? [] : [this.current]), ...this.queue.splice(0)];
    this.current = null;
    for (const job of jobs) {
      if (job.timer !== null) clearTimeout(job.timer);
      job.reject(error);
    }
    this.run?.reject(error);
    this.run = null;
    this.socket.destroy();
    this.onClose(error);
  }
}

/** `promise`, or RSP_TIMEOUT or RSP_ABORTED when a limit is reached first. */
async function withLimits<T>(promise: Promise<T>, { timeoutMs = 0, signal }: RequestOptions, what: string): Promise<T> {
  const limit = Promise.withResolvers<never>();
  limit.promise.catch(() => undefined);
  const onAbort = (): void => {
    limit.reject(aborted());
  };
  const timer =
    timeoutMs > 0
      ? setTimeout(() => {
          limit.reject(new RspError('RSP_TIMEOUT', `${what} within ${timeoutMs} ms`));
        }, timeoutMs)
      : null;
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  try {
    return await Promise.race([promise, limit.promise]);
  } finally {
    if (timer !== null) clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function aborted(): RspError {
  return new RspError('RSP_ABORTED', 'the request to the gdbstub was given up');
}
