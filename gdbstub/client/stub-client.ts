// What a debugger asks of a stub, in its own words: registers, memory, breakpoints, run control, threads, monitor.
// GDB manual, appendix E. Connecting stops a guest on QEMU, and on most stubs: open one only on demand, and inside a
// guardian (gdbstub/guardian), which lets the guest run again whatever happens here.

import type { Duplex } from 'node:stream';
import { isRspError, RspError } from '../error.ts';
import { decodeLatin1, quote } from '../framing/bytes.ts';
import type { Breakpoint } from '../packets/breakpoints.ts';
import { encodeInsertBreakpoint, encodeRemoveBreakpoint } from '../packets/breakpoints.ts';
import type { Features } from '../packets/features.ts';
import { ASK_FEATURES, decodeFeatures, packetSize, START_NO_ACK } from '../packets/features.ts';
import { decodeMonitorEnd, encodeMonitor } from '../packets/monitor.ts';
import { expectOk, expectText } from '../packets/reply.ts';
import type { ResumeAction } from '../packets/resume.ts';
import { ASK_VCONT, decodeVContActions, encodeResume, encodeVCont, REVERSE } from '../packets/resume.ts';
import type { StopReply } from '../packets/stop-reply.ts';
import { ASK_STOP, decodeStopReply } from '../packets/stop-reply.ts';
import type { ThreadId } from '../packets/threads.ts';
import {
  CURRENT_THREAD,
  decodeThreadInfo,
  encodeSelectThread,
  encodeThreadInfo,
  isThreadId,
  parseThreadId,
} from '../packets/threads.ts';
import type { RequestOptions } from './connection.ts';
import { Connection } from './connection.ts';
import type { Endpoint } from './endpoint.ts';
import { openSocket } from './endpoint.ts';
import { MemoryAccess } from './memory-access.ts';
import { RegisterAccess } from './register-access.ts';
import { readThreadList } from './thread-list.ts';

/** How to open a stub. `requestTimeoutMs` (5000) bounds each answer. Nothing is written to the guest unless `allowWrite`. */
export interface StubOptions {
  readonly allowWrite?: boolean;
  readonly requestTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  readonly signal?: AbortSignal;
  /** gdb's name of the architecture (`i386:x86-64`, `aarch64`) for a stub that does not say it. */
  readonly architecture?: string;
}

/** A thread of the stub: a vCPU of QEMU (thread-id = cpu-index + 1). `name` in the stub's words, null without any. */
export interface ThreadInfo {
  readonly id: ThreadId;
  readonly name: string | null;
}

/** What a step or continue may be told: the thread, what the others do meanwhile, a signal to deliver, limits of the wait. */
export interface RunOptions extends RequestOptions {
  readonly thread?: ThreadId;
  readonly others?: 'halt' | 'run';
  readonly signalNumber?: number;
}

const MAX_OUTPUT = 1 << 22;

/** Connects and shakes hands. The guest is stopped from here on. Throws RspError. */
export async function openStub(endpoint: Endpoint, options: StubOptions = {}): Promise<StubClient> {
  const socket = await openSocket(endpoint, { timeoutMs: options.connectTimeoutMs ?? 5000, signal: options.signal });
  return adoptStub(socket, options);
}

/** The same over a stream that is connected already; the client owns it. */
export async function adoptStub(socket: Duplex, options: StubOptions = {}): Promise<StubClient> {
  const connection = new Connection(socket, { requestTimeoutMs: options.requestTimeoutMs ?? 5000 });
  try {
    const limits = options.signal === undefined ? {} : { signal: options.signal };
    const features = decodeFeatures(decodeLatin1(await connection.request(ASK_FEATURES, limits)));
    if (features.get(START_NO_ACK) === true) {
      expectOk(await connection.request(START_NO_ACK, limits), START_NO_ACK);
      connection.stopAcknowledging();
    }
    const stop = decodeStopReply(expectText(await connection.request(ASK_STOP, { ...limits, stopReply: true }), ASK_STOP));
    return new StubClient(connection, features, stop, options);
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** An open stub with its guest stopped or running. All methods but `interrupt` and `close` want it stopped (RSP_RUNNING). */
export class StubClient {
  readonly features: Features;
  private readonly connection: Connection;
  private readonly memory: MemoryAccess;
  private readonly registerAccess: RegisterAccess;
  private readonly inserted = new Map<string, Breakpoint>();
  private selected: { g: ThreadId | null; c: ThreadId | null } = { g: null, c: null };
  private vContActions: Promise<ReadonlySet<string>> | null = null;
  /** The newest stop reply. */
  lastStop: StopReply;

  constructor(connection: Connection, features: Features, stop: StopReply, options: StubOptions) {
    this.connection = connection;
    this.features = features;
    this.lastStop = stop;
    connection.onStop = (next) => {
      this.lastStop = next;
    };
    const allowWrite = options.allowWrite ?? false;
    this.memory = new MemoryAccess(connection, packetSize(features), features.get('binary-upload') === true, allowWrite);
    this.registerAccess = new RegisterAccess(connection, features, { allowWrite, architecture: options.architecture ?? null });
  }

  get running(): boolean {
    return this.connection.running;
  }

  get closed(): boolean {
    return this.connection.closed;
  }

  /** Breakpoints inserted through this client and not yet removed. */
  get breakpoints(): readonly Breakpoint[] {
    return [...this.inserted.values()];
  }

  /** Called with what a hosted program prints while it runs. */
  set onOutput(listener: (text: string) => void) {
    this.connection.onOutput = listener;
  }

  /** Called once when the connection has ended. */
  set onClose(listener: (error: RspError) => void) {
    this.connection.onClose = listener;
  }

  /** gdb's name of the architecture; null when neither the stub nor the caller says it. */
  async architecture(): Promise<string | null> {
    return (await this.registerAccess.description())?.architecture ?? null;
  }

  /** Values by gdb's register names, unsigned: those that the stub's `g` holds. `thread` defaults to the one that stopped. */
  async registers(thread?: ThreadId): Promise<Record<string, bigint>> {
    await this.select('g', thread);
    return this.registerAccess.readAll();
  }

  /** One register by gdb's name, also one that `g` leaves out. Throws RSP_UNSUPPORTED for a name the stub does not have. */
  async register(name: string, thread?: ThreadId): Promise<bigint> {
    await this.select('g', thread);
    return this.registerAccess.read(name);
  }

  /** Throws RSP_WRITE_REFUSED without `allowWrite`. */
  async writeRegister(name: string, value: bigint, thread?: ThreadId): Promise<void> {
    await this.select('g', thread);
    await this.registerAccess.write(name, value);
  }

  /** Guest-virtual memory as the selected vCPU maps it. Throws RSP_REFUSED where any byte is unmapped. */
  async readMemory(address: bigint, length: number, options: RequestOptions & { thread?: ThreadId } = {}): Promise<Uint8Array> {
    await this.select('g', options.thread);
    return this.memory.read(address, length, options);
  }

  /** Throws RSP_WRITE_REFUSED without `allowWrite`, RSP_REFUSED where it is unmapped. */
  async writeMemory(address: bigint, bytes: Uint8Array, options: RequestOptions & { thread?: ThreadId } = {}): Promise<void> {
    await this.select('g', options.thread);
    await this.memory.write(address, bytes, options);
  }

  /**
   * Inserts a breakpoint or watchpoint. A stub without `Z0` (gdbsx) gets the breakpoint instruction written into memory
   * instead, which needs `allowWrite` and x86. Throws RSP_UNSUPPORTED.
   */
  async insertBreakpoint(breakpoint: Breakpoint): Promise<void> {
    const request = encodeInsertBreakpoint(breakpoint);
    try {
      expectOk(await this.connection.request(request), request);
    } catch (error) {
      if (!isRspError(error, 'RSP_UNSUPPORTED') || breakpoint.kind !== 'software' || !this.memory.allowWrite) throw error;
      await this.memory.plantInt3(breakpoint.address, await this.architecture());
    }
    this.inserted.set(keyOf(breakpoint), breakpoint);
  }

  async removeBreakpoint(breakpoint: Breakpoint): Promise<void> {
    if (!(await this.memory.removeInt3(breakpoint.address))) {
      const request = encodeRemoveBreakpoint(breakpoint);
      expectOk(await this.connection.request(request), request);
    }
    this.inserted.delete(keyOf(breakpoint));
  }

  /** One instruction of `thread` (default: the one that stopped); the promise is the stop after it. */
  async step(options: RunOptions = {}): Promise<StopReply> {
    const thread = options.thread ?? this.stoppedThread();
    return this.run({ type: 'step', signal: options.signalNumber ?? null }, thread, options);
  }

  /**
   * Lets the guest run; the promise is its next stop, whenever that comes (no time-out unless given, and then the guest goes
   * on running: `interrupt` stops it). A breakpoint on the instruction it stands at is stepped over first.
   */
  async continue(options: RunOptions = {}): Promise<StopReply> {
    const stopped = await this.stepOverBreakpoint(options);
    if (stopped !== null) return stopped;
    return this.run({ type: 'continue', signal: options.signalNumber ?? null }, null, options);
  }

  /** Whether the stub can go backwards: QEMU's does while it replays a record, from a snapshot on. */
  get canReverse(): boolean {
    return this.features.get('ReverseStep') === true && this.features.get('ReverseContinue') === true;
  }

  /** To the instruction before; the promise is the stop there, or at the beginning (reason `replaylog`). Throws RSP_UNSUPPORTED. */
  reverseStep(options: RequestOptions = {}): Promise<StopReply> {
    return this.reverse(REVERSE.step, options);
  }

  /** To where a breakpoint was met last; else to the beginning (reason `replaylog`). Throws RSP_UNSUPPORTED. */
  reverseContinue(options: RequestOptions = {}): Promise<StopReply> {
    return this.reverse(REVERSE.continue, options);
  }

  /** Stops the running guest. Throws RSP_TIMEOUT when the stub does not react (gdbsx answers nothing while a domain runs). */
  async interrupt(options: RequestOptions = {}): Promise<StopReply> {
    if (!this.connection.running) return this.lastStop;
    this.connection.interrupt();
    return this.connection.waitForStop({ timeoutMs: options.timeoutMs ?? 5000, signal: options.signal });
  }

  /** The stub's threads, at least one: vCPUs on QEMU. */
  async threads(): Promise<ThreadInfo[]> {
    const ids = await readThreadList(this.connection);
    if (ids.length === 0) ids.push(await this.currentThread());
    const infos: ThreadInfo[] = [];
    for (const id of ids) {
      infos.push({ id, name: decodeThreadInfo(decodeLatin1(await this.connection.request(encodeThreadInfo(id)))) });
    }
    return infos;
  }

  /** Runs a command of the stub's own (QEMU: its human monitor) and gives its output. */
  async monitor(command: string, options: RequestOptions = {}): Promise<string> {
    const request = encodeMonitor(command);
    let output = '';
    const onOutput = (text: string): void => {
      if (output.length < MAX_OUTPUT) output += text;
    };
    const reply = await this.connection.request(request, { ...options, onOutput });
    return output + decodeMonitorEnd(reply, `qRcmd ${command}`);
  }

  /** Removes the breakpoints, lets the guest run on by itself, and closes. */
  async detach(): Promise<void> {
    if (this.connection.running) await this.interrupt();
    for (const breakpoint of this.breakpoints) await this.removeBreakpoint(breakpoint);
    const stopped = this.stoppedThread();
    const process = stopped === null ? null : parseThreadId(stopped).process;
    const request = process === null ? 'D' : `D;${process.toString(16)}`;
    try {
      expectOk(await this.connection.request(request), request);
    } catch (error) {
      // gdbsx lets its domain go and hangs up without a word.
      if (!isRspError(error, 'RSP_CLOSED')) throw error;
    }
    this.connection.close();
  }

  /** Hangs up; pending requests are rejected. The guest is left as the stub leaves it: on QEMU as it is. */
  close(): void {
    this.connection.close();
  }

  private async reverse(request: string, options: RequestOptions): Promise<StopReply> {
    if (!this.canReverse)
      throw new RspError('RSP_UNSUPPORTED', 'this stub cannot go backwards: QEMU can while it replays a record');
    this.selected = { g: null, c: null };
    return this.connection.resume(request, { timeoutMs: options.timeoutMs, signal: options.signal });
  }

  private async run(action: ResumeAction, thread: ThreadId | null, options: RunOptions): Promise<StopReply> {
    const packet = await this.resumePacket(action, thread, options.others);
    this.selected = { g: null, c: null };
    return this.connection.resume(packet, { timeoutMs: options.timeoutMs, signal: options.signal });
  }

  private async resumePacket(action: ResumeAction, thread: ThreadId | null, others: 'halt' | 'run' = 'halt'): Promise<string> {
    this.vContActions ??= this.connection.request(ASK_VCONT).then((reply) => decodeVContActions(decodeLatin1(reply)));
    const known = await this.vContActions;
    const letter = encodeResume(action).charAt(0);
    if (known.has(letter)) return encodeVCont(action, thread, others);
    await this.select('c', thread ?? undefined);
    return encodeResume(action);
  }

  private async stepOverBreakpoint(options: RunOptions): Promise<StopReply | null> {
    const thread = this.stoppedThread();
    if (this.inserted.size === 0) return null;
    await this.select('g', undefined);
    const pc = await this.registerAccess.readPc();
    const here = this.breakpoints.filter(({ kind, address }) => address === pc && (kind === 'software' || kind === 'hardware'));
    if (here.length === 0) return null;
    for (const breakpoint of here) await this.removeBreakpoint(breakpoint);
    const stop = await this.run({ type: 'step', signal: options.signalNumber ?? null }, thread, { signal: options.signal });
    if (stop.type !== 'stopped') return stop;
    for (const breakpoint of here) await this.insertBreakpoint(breakpoint);
    // A step ends with SIGTRAP; anything else (a fault, another's stop) is news for the caller.
    return stop.signal === 5 && stop.reason === null ? null : stop;
  }

  private stoppedThread(): ThreadId | null {
    return this.lastStop.type === 'stopped' ? this.lastStop.thread : null;
  }

  private async currentThread(): Promise<ThreadId> {
    const stopped = this.stoppedThread();
    if (stopped !== null) return stopped;
    const text = decodeLatin1(await this.connection.request(CURRENT_THREAD));
    return text.startsWith('QC') && isThreadId(text.slice(2)) ? text.slice(2) : '1';
  }

  /** `Hg` or `Hc`, once for each change. A stub that has no threads answers nothing, which is fine. */
  private async select(operation: 'g' | 'c', asked: ThreadId | undefined): Promise<void> {
    const thread = asked ?? this.stoppedThread();
    if (thread === null || this.selected[operation] === thread) return;
    if (!isThreadId(thread)) throw new RspError('RSP_MALFORMED', `${quote(thread)} is not a thread-id`);
    const request = encodeSelectThread(operation, thread);
    const reply = await this.connection.request(request);
    if (reply.length > 0) expectOk(reply, request);
    this.selected[operation] = thread;
  }
}

function keyOf(breakpoint: Breakpoint): string {
  return `${breakpoint.kind} ${breakpoint.address} ${breakpoint.size}`;
}
