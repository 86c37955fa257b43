// Discovery asks little, waits little and believes little.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { findFirstInspector, findInspector } from '../../src/inspector/find.ts';
import { type Behaviour, type HostileServer, startHostile } from './hostile-server.ts';

const servers: HostileServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function start(behaviour: Behaviour, path?: string): Promise<HostileServer> {
  const server = await startHostile(behaviour, path);
  servers.push(server);
  return server;
}

describe('an inspector is found', () => {
  it('by two requests and nothing else', async () => {
    const server = await start({});
    const found = await findInspector(server.endpoint);
    expect(found).toMatchObject({ id: '0f0e0d0c-aaaa-bbbb-cccc-000000000001', product: 'node.js/v24.0.0', title: 'app.js' });
    expect(server.asked).toEqual(['GET /json/version', 'GET /json/list']);
  });

  it('behind a Unix socket, whatever its path', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'unidbg inspector: '));
    const server = await start({}, join(folder, 'a b:c'));
    await expect(findInspector(server.endpoint)).resolves.toMatchObject({ title: 'app.js' });
    rmSync(folder, { recursive: true });
  });

  it('among ports of which others are none', async () => {
    const other = await start({ http: (_request, response) => response.writeHead(404).end('no') });
    const server = await start({});
    const gone = await start({});
    await gone.close();
    expect((await findFirstInspector([gone.endpoint, other.endpoint, server.endpoint]))?.endpoint).toEqual(server.endpoint);
    expect(other.asked).toEqual(['GET /json/version']);
  });

  it('with words that no terminal acts upon', async () => {
    const title = '\u001b[2Japp\u202e.js';
    const server = await start({
      http: (request, response) =>
        response.end(
          request.url === '/json/version'
            ? '{"Browser":"n\\u0007","Protocol-Version":"1"}'
            : JSON.stringify([{ id: 'x', title }]),
        ),
    });
    await expect(findInspector(server.endpoint)).resolves.toMatchObject({ product: 'n\\x07', title: '\\x1b[2Japp\\u{202e}.js' });
  });
});

describe('what is no inspector is refused in one clear sentence', () => {
  const strangers: readonly (readonly [string, Behaviour['http'], RegExp])[] = [
    ['a web server', (_request, response) => response.end('<html>hello</html>'), /is no V8 inspector/],
    ['one that knows no such page', (_request, response) => response.writeHead(404).end(), /HTTP status 404/],
    [
      'one that leads elsewhere',
      (_request, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      /HTTP status 302/,
    ],
    ['one that never answers', () => undefined, /no answer within 100 ms/],
    ['one that closes', (request) => request.socket.destroy(), /no V8 inspector/],
    [
      'one that never ends',
      (_request, response) => void setInterval(() => response.write(' '), 10).unref(),
      /no answer within 100 ms/,
    ],
    ['one that sends without end', (_request, response) => response.end('['.repeat(100_000)), /longer than 65536 bytes/],
    [
      'one whose target has an id that is a path',
      (request, response) =>
        response.end(request.url === '/json/version' ? '{"Browser":"","Protocol-Version":""}' : '[{"id":"../../x"}]'),
      /names no program/,
    ],
    [
      'one without a target',
      (request, response) => response.end(request.url === '/json/version' ? '{"Browser":"","Protocol-Version":""}' : '[]'),
      /names no program/,
    ],
  ];
  it.each(strangers)('%s', async (_title, http, message) => {
    const server = await start(http === undefined ? {} : { http });
    const asked = findInspector(server.endpoint, 100);
    await expect(asked).rejects.toMatchObject({ code: 'INSPECTOR_CONNECT', message: expect.stringMatching(message) as string });
    await expect.poll(server.open).toBe(0);
  });
});
