import { describe, expect, it } from 'vitest';
import { formatEndpoint, openSocket, parseEndpoint } from '../../gdbstub/client/endpoint.ts';

describe('an endpoint', () => {
  it.each([
    ['/run/gdb.sock', '/run/gdb.sock'],
    ['unix:/run/gdb.sock,server=on,wait=off', '/run/gdb.sock'],
    ['./gdb', './gdb'],
    ['localhost:1234', 'localhost:1234'],
    [':1234', '127.0.0.1:1234'],
    ['1234', '127.0.0.1:1234'],
    ['tcp::1234', '127.0.0.1:1234'],
    ['tcp:0.0.0.0:1234,server=on', '127.0.0.1:1234'],
    ['[::1]:1234', '[::1]:1234'],
  ])('written %s is %s', (text, formatted) => {
    const endpoint = parseEndpoint(text);
    expect(endpoint).not.toBeNull();
    expect(formatEndpoint(endpoint!)).toBe(formatted);
  });

  it.each(['', 'host', 'host:99999', 'host:port', 'a b:1'])('is not %j', (text) => {
    expect(parseEndpoint(text)).toBeNull();
  });

  it('where nobody listens is RSP_CONNECT, and a wait for it can be aborted', async () => {
    await expect(openSocket({ type: 'unix', path: '/nonexistent/stub' }, { timeoutMs: 1000 })).rejects.toMatchObject({
      code: 'RSP_CONNECT',
    });
    const aborted = openSocket({ type: 'unix', path: '/nonexistent/stub' }, { timeoutMs: 1000, signal: AbortSignal.abort() });
    await expect(aborted).rejects.toMatchObject({ code: 'RSP_ABORTED' });
  });
});
