import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { errorCode } from '../../../src/model/error.ts';
import { findEndpoint } from '../../../src/qemu/qmp/endpoint.ts';
import { openHmp } from '../../../src/qemu/qmp/hmp-client.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

const BANNER = "QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ";

/** The echo of QEMU's readline: the line as typed so far after each key, with cursor movements between. */
function echo(line: string): string {
  const typed = Array.from(line, (_, index) => line.slice(0, index + 1));
  return `${typed.map((text) => `${text}\x1b[K`).join('\x1b[D')}\r\n`;
}

/** A monitor that answers each line with its own text in capitals on two lines, written in pieces of `size` bytes. */
async function startMonitor(size: number, banner = BANNER): Promise<{ path: string; drop: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-hmp-'));
  const path = join(folder, 'hmp.sock');
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.write(banner);
    socket.on('data', (chunk) => {
      void answer(socket, chunk.toString().trimEnd());
    });
  });
  const answer = async (socket: Socket, line: string): Promise<void> => {
    const text = `${echo(line)}${line.toUpperCase()}\r\n(not the prompt)\r\n(qemu) `;
    for (let at = 0; at < text.length; at += size) {
      socket.write(text.slice(at, at + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const drop = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  cleanups.push(() => {
    drop();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { path, drop };
}

describe('HmpClient', () => {
  it.each([1, 2, 3, 5, 7, 11, 1000])('reads answers without echo and prompt, in pieces of %i bytes', async (size) => {
    const { path } = await startMonitor(size);
    const hmp = await openHmp(findEndpoint(path)!);
    cleanups.push(() => {
      hmp.close();
    });
    expect(hmp.version).toBe('7.2.22');
    expect(await Promise.all([hmp.ask('info status'), hmp.ask('stop')])).toEqual([
      'INFO STATUS\n(not the prompt)\n',
      'STOP\n(not the prompt)\n',
    ]);
  });

  it('rejects what is pending when the connection ends, and says so once', async () => {
    const { path, drop } = await startMonitor(1000);
    const hmp = await openHmp(findEndpoint(path)!);
    const reasons: string[] = [];
    hmp.onClose((reason) => reasons.push(reason));
    const pending = hmp.ask('x').catch((error: unknown) => errorCode(error));
    drop();
    expect(await pending).toBe('QMP_CLOSED');
    expect(await hmp.ask('y').catch((error: unknown) => errorCode(error))).toBe('QMP_CLOSED');
    expect(reasons).toHaveLength(1);
  });

  it('gives up on what never shows a prompt', async () => {
    const { path } = await startMonitor(1000, 'login: ');
    await expect(openHmp(findEndpoint(path)!, { connectTimeoutMs: 50 })).rejects.toThrow('no prompt within 50 ms');
  });
});
