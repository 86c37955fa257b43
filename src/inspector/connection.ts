// A connection to a V8 inspector (Chrome DevTools Protocol, JSON messages over a WebSocket) through chrome-remote-interface.
//
// That package trusts whom it talks to: a message that is no JSON, or has an id it never sent, throws where nobody can catch; a
// redirect leads it anywhere; a domain named `emit` in the peer's own protocol description replaces its method. So its socket is
// ours, no description is taken from the guest, and each message is looked at before it is believed. Test: test/inspector/connection.test.ts.

import { EventEmitter } from 'node:events';
import { Agent } from 'node:http';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import type Chrome from 'chrome-remote-interface/lib/chrome.js';
import type { Socket } from 'chrome-remote-interface/lib/chrome.js';
import { errorMessage, UnidbgError } from '../model/error.ts';
import { describeEndpoint, type InspectorEndpoint, socketOptions } from './endpoint.ts';
import { safeText } from './text.ts';

/** One command's bounds. */
export interface Bounds {
  /** Milliseconds; 5000 unless told. */
  readonly timeoutMs?: number;
  /** Of the answer, in UTF-16 units of JSON; 1 Mi unless told. */
  readonly maxAnswer?: number;
}

/** An open connection. It never stops the guest's JavaScript by itself. */
export interface Connection {
  /** Runs a command; what it answers is unchecked. Throws INSPECTOR_COMMAND, _TIMEOUT, _CLOSED, _MALFORMED. */
  send(method: string, params?: object, bounds?: Bounds): Promise<unknown>;
  /** Events without a listener are not even parsed. Returns the unsubscriber. */
  on(event: string, listener: (params: unknown) => void): () => void;
  /** Resolves with why, when the connection has ended, whoever ended it. */
  readonly ended: Promise<string>;
  /** Resolves when nothing of it is left. */
  close(): Promise<void>;
}

const COMMAND_MS = 5_000;
const HANDSHAKE_MS = 2_000;
const CLOSE_MS = 500;
const MAX_MESSAGE = 32 * 1024 * 1024;
const MAX_ANSWER = 1024 * 1024;
/** V8 sends heap snapshots in pieces of 1 MiB, each of whose letters may be escaped to six. */
const MAX_EVENT = 8 * 1024 * 1024;
/** Commands that a guest leaves without an answer. */
const MAX_PENDING = 64;
/** How each message begins, as V8 writes it: an answer's id, or an event's name. */
const HEAD = /^\s{0,8}\{\s{0,8}"(?:id"\s{0,8}:\s{0,8}(\d{1,15})|method"\s{0,8}:\s{0,8}"([A-Z]\w{1,40}\.\w{1,60})")\s{0,8}[,}]/;

/** Connects to the target `id` at `endpoint`. Throws INSPECTOR_CONNECT. */
export async function openConnection(endpoint: InspectorEndpoint, id: string): Promise<Connection> {
  const GuardedChrome = await loadClient();
  const notifier = new EventEmitter();
  const client = new GuardedChrome(endpoint, id, notifier);
  const failure = await new Promise<unknown>((done) => {
    notifier.once('connect', () => {
      done(null);
    });
    notifier.once('error', done);
  });
  if (failure === null) return new OpenConnection(client);
  const why = safeText(errorMessage(failure), 200);
  throw new UnidbgError('INSPECTOR_CONNECT', `the V8 inspector at ${describeEndpoint(endpoint)} refused: ${why}`);
}

interface Guarded extends Chrome {
  readonly _ws: Socket;
  readonly endpoint: InspectorEndpoint;
  readonly gone: Promise<string>;
  /** Why it is gone; null while it is there. */
  lost(): string | null;
  /** Commands without an answer, and how large that may be. */
  readonly limits: Map<number, number>;
  readonly listening: Set<string>;
}

type GuardedClass = new (endpoint: InspectorEndpoint, id: string, notifier: EventEmitter) => Guarded;
type SocketClass = new (url: string, options: object) => Socket;

let loaded: Promise<GuardedClass> | null = null;

// Only who attaches to an inspector waits for the packages. `ws` is the one that chrome-remote-interface itself would use.
function loadClient(): Promise<GuardedClass> {
  loaded ??= import('chrome-remote-interface/lib/chrome.js').then(({ default: Base }) => {
    const nearby = createRequire(createRequire(import.meta.url).resolve('chrome-remote-interface'));
    return guard(Base, nearby('ws') as SocketClass);
  });
  return loaded;
}

function guard(Base: typeof Chrome, WebSocket: SocketClass): GuardedClass {
  return class GuardedChrome extends Base implements Guarded {
    declare _ws: Socket;
    readonly endpoint: InspectorEndpoint;
    readonly gone: Promise<string>;
    readonly limits = new Map<number, number>();
    readonly listening = new Set<string>();
    #end: (why: string) => void = () => undefined;
    #lost: string | null = null;

    constructor(endpoint: InspectorEndpoint, id: string, notifier: EventEmitter) {
      const protocol = { version: { major: '1', minor: '3' }, domains: [] } as const;
      super({ target: { webSocketDebuggerUrl: `ws://localhost/${id}` }, protocol }, notifier);
      this.endpoint = endpoint;
      this.gone = new Promise((done) => {
        this.#end = done;
      });
    }

    override _connectToWebSocket(): Promise<void> {
      return new Promise((done, fail) => {
        const agent = new Agent();
        // Whatever the URL says: there is one peer.
        agent.createConnection = () => connect(socketOptions(this.endpoint));
        this._ws = new WebSocket(this.webSocketUrl, {
          agent,
          maxPayload: MAX_MESSAGE,
          perMessageDeflate: false,
          followRedirects: false,
          handshakeTimeout: HANDSHAKE_MS,
        });
        this._ws.once('open', () => {
          done();
        });
        this._ws.on('message', (data: unknown) => {
          this.#take(data);
        });
        this._ws.on('error', (error: Error) => {
          this.#lose(errorMessage(error));
          fail(error);
        });
        this._ws.on('close', () => {
          this.#lose('the connection was closed');
        });
      });
    }

    lost(): string | null {
      return this.#lost;
    }

    #lose(why: string): void {
      this.#lost ??= safeText(why, 200);
      this.#end(this.#lost);
      this._handleConnectionClose();
    }

    #take(data: unknown): void {
      const head = typeof data === 'string' ? HEAD.exec(data) : null;
      if (head === null || typeof data !== 'string') {
        this.#refuse('a message that is none of the inspector protocol');
        return;
      }
      const [, idText, event] = head;
      const id = Number(idText);
      if (event === undefined) this.#takeAnswer(id, data);
      else if (this.listening.has(event)) this.#takeEvent(event, data);
    }

    #takeAnswer(id: number, data: string): void {
      const limit = this.limits.get(id);
      if (limit === undefined) return;
      this.limits.delete(id);
      if (data.length > limit) {
        this._handleMessage({
          id,
          error: { message: `an answer of ${data.length} bytes, more than the ${limit} that it may have` },
        });
        return;
      }
      const { error, result } = parseObject(data) ?? {};
      if (error === undefined && (typeof result !== 'object' || result === null)) this.#refuse('an answer without a result');
      else this._handleMessage(error === undefined ? { id, result } : { id, error: { message: messageOf(error) } });
    }

    #takeEvent(method: string, data: string): void {
      const message = data.length > MAX_EVENT ? null : parseObject(data);
      if (message === null) this.#refuse(`an event of ${data.length} bytes that is too large or no JSON`);
      else this._handleMessage({ method, params: message['params'] });
    }

    #refuse(what: string): void {
      this.#lose(`it sent ${what}`);
      this._ws.terminate();
    }
  };
}

class OpenConnection implements Connection {
  readonly ended: Promise<string>;
  private readonly client: Guarded;

  constructor(client: Guarded) {
    this.client = client;
    this.ended = client.gone;
  }

  async send(
    method: string,
    params: object = {},
    { timeoutMs = COMMAND_MS, maxAnswer = MAX_ANSWER }: Bounds = {},
  ): Promise<unknown> {
    const { client } = this;
    if (client.lost() !== null) throw this.closed(method);
    if (client.limits.size >= MAX_PENDING) client._ws.terminate();
    const id = client._nextCommandId;
    client.limits.set(id, maxAnswer);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_done, fail) => {
      timer = setTimeout(() => {
        fail(
          new UnidbgError(
            'INSPECTOR_TIMEOUT',
            `${method}: the V8 inspector has not answered within ${timeoutMs} ms; is the guest paused?`,
          ),
        );
      }, timeoutMs);
    });
    try {
      return await Promise.race([client.send(method, params), late]);
    } catch (error) {
      if (error instanceof UnidbgError) throw error;
      if (client.lost() !== null || client.limits.has(id)) throw this.closed(method);
      throw new UnidbgError('INSPECTOR_COMMAND', `${method}: ${safeText(errorMessage(error), 300)}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  on(event: string, listener: (params: unknown) => void): () => void {
    this.client.listening.add(event);
    this.client.on(event, listener);
    return () => {
      this.client.removeListener(event, listener);
      if (this.client.listenerCount(event) === 0) this.client.listening.delete(event);
    };
  }

  async close(): Promise<void> {
    const { client } = this;
    client._ws.close();
    // A guest that does not say goodbye would keep `ws` waiting for half a minute.
    const timer = setTimeout(() => {
      client._ws.terminate();
    }, CLOSE_MS);
    await this.ended;
    clearTimeout(timer);
    client.removeAllListeners();
  }

  private closed(method: string): UnidbgError {
    const why = this.client.lost() ?? 'the connection was closed';
    return new UnidbgError(
      'INSPECTOR_CLOSED',
      `${method}: the V8 inspector at ${describeEndpoint(this.client.endpoint)} is gone: ${why}`,
    );
  }
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function messageOf(error: unknown): string {
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : null;
  return typeof message === 'string' ? message : 'refused, without a reason';
}
