// A bare human monitor socket (`-monitor unix:…`). It talks to a person: a banner, the prompt `(qemu) `, an echo of each
// typed character with cursor movements (QEMU util/readline.c), then the answer and the prompt again.

import { connect, type Socket } from 'node:net';
import { UnidbgError } from '../../model/error.ts';
import { type Endpoint, formatEndpoint, socketAddress } from './endpoint.ts';

const PROMPT = '(qemu) ';

/** Longest answer taken, in characters; `info mtree` of a large machine has 100 KiB. */
const MAX_ANSWER = 16 * 1024 * 1024;

const ANSWER_MS = 10_000;

interface Question {
  readonly line: string;
  readonly resolve: (answer: string) => void;
  readonly reject: (error: Error) => void;
}

/** An open human monitor. Questions are asked one after the other. Owns its socket. */
export class HmpClient {
  readonly endpoint: Endpoint;
  /** `7.2.22`, from the banner; null until it came. */
  version: string | null = null;
  private readonly socket: Socket;
  private readonly queue: Question[] = [];
  private readonly closeListeners: ((reason: string) => void)[] = [];
  private readonly decoder = new TextDecoder();
  private received = '';
  private asking: Question | null = null;
  private timer: NodeJS.Timeout | null = null;
  private ended: UnidbgError | null = null;

  /** Use `openHmp`. */
  constructor(endpoint: Endpoint, connectTimeoutMs: number, onReady: (error: UnidbgError | null) => void) {
    this.endpoint = endpoint;
    this.asking = {
      line: '',
      resolve: (banner) => {
        this.version = /QEMU (\d+\.\d+\.\d+)/.exec(banner)?.[1] ?? null;
        onReady(null);
      },
      reject: () => undefined,
    };
    this.timer = setTimeout(() => {
      const why = `no prompt within ${connectTimeoutMs} ms: another program is connected to it, or it is no human monitor`;
      const error = new UnidbgError('QMP_CONNECT', `cannot use the monitor at ${formatEndpoint(endpoint)}: ${why}`);
      onReady(error);
      this.end(error);
    }, connectTimeoutMs);
    this.socket = connect(socketAddress(endpoint));
    this.socket.on('data', (chunk) => {
      this.receive(this.decoder.decode(chunk, { stream: true }));
    });
    const onEnd = (why: string): void => {
      const error = new UnidbgError('QMP_CONNECT', `cannot connect to the monitor at ${formatEndpoint(endpoint)}: ${why}`);
      if (this.version === null) onReady(error);
      this.end(new UnidbgError('QMP_CLOSED', `the monitor connection to ${formatEndpoint(endpoint)} ended: ${why}`));
    };
    this.socket.on('error', (error) => {
      onEnd(error.message);
    });
    this.socket.on('close', () => {
      onEnd('QEMU closed it');
    });
  }

  /** Types one line, returns the answer without echo and prompt. Throws QMP_CLOSED, QMP_TIMEOUT. */
  ask(line: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.ended !== null) {
        reject(this.ended);
        return;
      }
      this.queue.push({ line, resolve, reject });
      this.askNext();
    });
  }

  /** Calls `listener` once, when the connection is no more. Returns the unsubscriber. */
  onClose(listener: (reason: string) => void): () => void {
    this.closeListeners.push(listener);
    return () => this.closeListeners.splice(this.closeListeners.indexOf(listener), 1);
  }

  close(): void {
    this.closeListeners.length = 0;
    this.end(new UnidbgError('QMP_CLOSED', 'the monitor connection was closed by unidbg'));
  }

  private askNext(): void {
    const question = this.asking === null ? this.queue.shift() : undefined;
    if (question === undefined) return;
    this.asking = question;
    this.received = '';
    // After an unanswered question echo and answers can no longer be told apart: the connection ends.
    this.timer = setTimeout(() => {
      this.end(new UnidbgError('QMP_TIMEOUT', `QEMU's monitor did not answer "${question.line}" within ${ANSWER_MS} ms`));
    }, ANSWER_MS);
    this.socket.write(`${question.line}\n`);
  }

  private receive(text: string): void {
    this.received += text;
    if (this.received.length > MAX_ANSWER) {
      this.end(new UnidbgError('QMP_MALFORMED', `an answer of more than ${MAX_ANSWER} characters came from the monitor`));
    }
    if (this.asking === null || !this.received.endsWith(PROMPT)) return;
    const answer = stripEcho(this.received.slice(0, -PROMPT.length), this.asking.line);
    if (answer === null) return;
    if (this.timer !== null) clearTimeout(this.timer);
    const { resolve } = this.asking;
    this.asking = null;
    resolve(answer);
    this.askNext();
  }

  private end(error: UnidbgError): void {
    if (this.ended !== null) return;
    this.ended = error;
    if (this.timer !== null) clearTimeout(this.timer);
    this.socket.destroy();
    for (const question of [this.asking, ...this.queue]) question?.reject(error);
    this.queue.length = 0;
    for (const listener of this.closeListeners) listener(error.message);
  }
}

/** The answer without the echoed line; null while the echo's end of line has not come (the prompt seen is the one before). */
function stripEcho(text: string, line: string): string | null {
  if (line === '') return text;
  const end = text.indexOf('\n');
  return end < 0 ? null : text.slice(end + 1).replaceAll('\r\n', '\n');
}

/** Connects to a human monitor and waits for its prompt. Throws QMP_CONNECT. */
export async function openHmp(endpoint: Endpoint, options: { readonly connectTimeoutMs?: number } = {}): Promise<HmpClient> {
  return new Promise((resolve, reject) => {
    const client = new HmpClient(endpoint, options.connectTimeoutMs ?? 3000, (error) => {
      if (error === null) resolve(client);
      else reject(error);
    });
  });
}
