// Just enough QMP (docs/interop/qmp-spec.rst) for one question and one wish: does the VM run, and if not, `cont`.
// A QMP socket serves one client at a time; another one waits in the kernel's queue without a greeting.

import type { Endpoint } from '../client/endpoint.ts';
import { openSocket } from '../client/endpoint.ts';

/** What became of it. `busy`: the socket answers somebody else, or nobody is there. */
export type ContinueResult = 'running' | 'continued' | 'busy' | 'dead-guest';

/** States in which a VM stands still because somebody stopped it; out of the others `cont` does not lead. */
const HELD = new Set(['paused', 'debug']);
const MAX_LINE = 1 << 20;

/** Makes the VM run if it is held. Ends within `timeoutMs`; never throws. */
export async function continueByQmp(endpoint: Endpoint, timeoutMs: number): Promise<ContinueResult> {
  try {
    const socket = await openSocket(endpoint, { timeoutMs });
    const signal = AbortSignal.timeout(timeoutMs);
    const onTimeout = (): void => {
      socket.destroy(new Error('timeout'));
    };
    signal.addEventListener('abort', onTimeout);
    try {
      const replies = readReplies(socket);
      await replies.next();
      const execute = async (command: string): Promise<unknown> => {
        socket.write(`${JSON.stringify({ execute: command })}\n`);
        return (await replies.next()).value;
      };
      await execute('qmp_capabilities');
      return await makeRun(execute);
    } finally {
      signal.removeEventListener('abort', onTimeout);
      socket.destroy();
    }
  } catch {
    return 'busy';
  }
}

async function makeRun(execute: (command: string) => Promise<unknown>): Promise<ContinueResult> {
  let continued = false;
  for (let tries = 0; tries < 5; tries += 1) {
    const status = statusOf(await execute('query-status'));
    if (status === 'running') return continued ? 'continued' : 'running';
    if (!HELD.has(status)) return status === '' ? 'busy' : 'dead-guest';
    await execute('cont');
    continued = true;
  }
  return 'busy';
}

/** Greeting and replies, one JSON object a line; events are passed over. Ends by throwing when the socket ends. */
async function* readReplies(socket: AsyncIterable<Buffer>): AsyncGenerator {
  let text = '';
  for await (const chunk of socket) {
    text += chunk.toString('utf8');
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    if (text.length > MAX_LINE) break;
    for (const line of lines) {
      const message = JSON.parse(line) as unknown;
      if (typeof message === 'object' && message !== null && !('event' in message)) yield message;
    }
  }
  throw new Error('the QMP socket ended');
}

function statusOf(reply: unknown): string {
  const { return: result } = (reply ?? {}) as { return?: { status?: unknown } };
  return typeof result?.status === 'string' ? result.status : '';
}
