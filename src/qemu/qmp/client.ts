// The QMP client that the rest of unidbg holds: commands, events and HMP over a connection that is made again when it
// is lost (QEMU restarted under the same socket, a network that blinked), with growing pauses, and says so.

import { UnidbgError } from '../../model/error.ts';
import { connectQmp, type QemuVersion, type QmpConnection, type QmpEvent } from './connection.ts';
import { type Endpoint, formatEndpoint } from './endpoint.ts';
import { findText, type Json, type JsonObject } from './exact-json.ts';

/** How the connection fares. `lost` with `retryInMs` null is final. */
export type ConnectionChange =
  | { readonly state: 'connected'; readonly version: QemuVersion }
  | { readonly state: 'lost'; readonly reason: string; readonly retryInMs: number | null };

/** Times in ms. `reconnect` null: a lost connection stays lost. */
export interface QmpOptions {
  readonly connectTimeoutMs?: number;
  readonly commandTimeoutMs?: number;
  readonly reconnect?: { readonly firstDelayMs: number; readonly maxDelayMs: number; readonly attempts: number } | null;
}

/** An open QMP client; owns its socket. */
export class QmpClient {
  readonly endpoint: Endpoint;
  private readonly connectTimeoutMs: number;
  private readonly commandTimeoutMs: number;
  private readonly reconnect: NonNullable<QmpOptions['reconnect']> | null;
  private readonly eventListeners = new Set<(event: QmpEvent) => void>();
  private readonly connectionListeners = new Set<(change: ConnectionChange) => void>();
  private connection: QmpConnection | null = null;
  private lastError: UnidbgError | null = null;
  private retryTimer: NodeJS.Timeout | null = null;
  private closed = false;

  /** Use `openQmp`. */
  constructor(endpoint: Endpoint, options: QmpOptions) {
    this.endpoint = endpoint;
    this.connectTimeoutMs = options.connectTimeoutMs ?? 3000;
    this.commandTimeoutMs = options.commandTimeoutMs ?? 10_000;
    this.reconnect = options.reconnect ?? null;
  }

  /** Version of the QEMU now or last connected to; null before the first greeting. */
  version: QemuVersion | null = null;

  get connected(): boolean {
    return this.connection !== null;
  }

  /** Connects once. Throws QMP_CONNECT. */
  async connect(): Promise<void> {
    const connection = await connectQmp(this.endpoint, {
      timeoutMs: this.connectTimeoutMs,
      onEvent: (event) => {
        for (const listener of this.eventListeners) listener(event);
      },
    });
    if (this.closed) {
      connection.close();
      throw new UnidbgError('QMP_CLOSED', `the QMP connection to ${formatEndpoint(this.endpoint)} was closed by unidbg`);
    }
    this.connection = connection;
    this.version = connection.version;
    this.tell({ state: 'connected', version: connection.version });
    connection.onClose((error) => {
      this.connection = null;
      this.lastError = error;
      if (!this.closed) this.scheduleReconnect(error, 0);
    });
  }

  /** Runs a command, returns QEMU's `return` value. Throws QMP_COMMAND, QMP_TIMEOUT, QMP_CLOSED (at once while not connected). */
  async execute(command: string, args?: JsonObject, options: { readonly timeoutMs?: number } = {}): Promise<Json> {
    if (this.connection === null) {
      throw this.lastError ?? new UnidbgError('QMP_CLOSED', `not connected to ${formatEndpoint(this.endpoint)}`);
    }
    return this.connection.execute(command, args, options.timeoutMs ?? this.commandTimeoutMs);
  }

  /** Runs a human-monitor line, returns its text with LF line ends. HMP reports its own failures in that text. */
  async hmp(line: string, options: { readonly vcpu?: number; readonly timeoutMs?: number } = {}): Promise<string> {
    const args: JsonObject = { 'command-line': line, ...(options.vcpu === undefined ? {} : { 'cpu-index': options.vcpu }) };
    const text = findText(await this.execute('human-monitor-command', args, options));
    return (text ?? '').replaceAll('\r\n', '\n');
  }

  /** Calls `listener` for every QMP event, in order. Returns the unsubscriber. */
  subscribe(listener: (event: QmpEvent) => void): () => void {
    this.eventListeners.add(listener);
    return () => this.eventListeners.delete(listener);
  }

  /** Calls `listener` whenever the connection is lost, about to be retried, or back. Returns the unsubscriber. */
  onConnection(listener: (change: ConnectionChange) => void): () => void {
    this.connectionListeners.add(listener);
    return () => this.connectionListeners.delete(listener);
  }

  /** Ends the connection for good; pending commands are rejected with QMP_CLOSED. */
  close(): void {
    this.closed = true;
    if (this.retryTimer !== null) clearTimeout(this.retryTimer);
    this.connection?.close();
  }

  private scheduleReconnect(error: UnidbgError, attempt: number): void {
    if (this.reconnect === null || attempt >= this.reconnect.attempts) {
      this.tell({ state: 'lost', reason: error.message, retryInMs: null });
      return;
    }
    const delay = Math.min(this.reconnect.firstDelayMs * 2 ** attempt, this.reconnect.maxDelayMs);
    this.tell({ state: 'lost', reason: error.message, retryInMs: delay });
    this.retryTimer = setTimeout(() => {
      this.connect().catch((cause: unknown) => {
        if (!this.closed) this.scheduleReconnect(cause instanceof UnidbgError ? cause : error, attempt + 1);
      });
    }, delay);
  }

  private tell(change: ConnectionChange): void {
    for (const listener of this.connectionListeners) listener(change);
  }
}

/** Connects to a QMP socket. Throws QMP_CONNECT; the message tells a missing, dead, forbidden and busy socket apart. */
export async function openQmp(endpoint: Endpoint, options: QmpOptions = {}): Promise<QmpClient> {
  const client = new QmpClient(endpoint, options);
  try {
    await client.connect();
  } catch (error) {
    client.close();
    throw error;
  }
  return client;
}
