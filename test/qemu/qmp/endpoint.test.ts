import { describe, expect, it } from 'vitest';
import { findEndpoint, formatEndpoint, parseEndpoint } from '../../../src/qemu/qmp/endpoint.ts';

describe('endpoints', () => {
  it.each([
    ['unix:/run/a.sock', 'unix:/run/a.sock'],
    ['/run/a.sock', 'unix:/run/a.sock'],
    ['./a.sock', 'unix:./a.sock'],
    ['tcp:localhost:4444', 'tcp:localhost:4444'],
    ['tcp::4444', 'tcp:127.0.0.1:4444'],
    [':4444', 'tcp:127.0.0.1:4444'],
    ['tcp:0.0.0.0:1', 'tcp:127.0.0.1:1'],
    ['[::1]:4444', 'tcp:[::1]:4444'],
  ])('%s is %s', (text, normal) => {
    expect(formatEndpoint(parseEndpoint(text))).toBe(normal);
    expect(formatEndpoint(parseEndpoint(normal))).toBe(normal);
  });

  it.each(['web', '4711', 'tcp:host', 'host:70000', ''])('%s is none: it may be a name', (text) => {
    expect(findEndpoint(text)).toBeNull();
    expect(() => parseEndpoint(text)).toThrow('is not an endpoint');
  });
});
