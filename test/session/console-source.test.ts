import { appendFileSync, mkdtempSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { followFile, LogDifference, readSocket } from '../../src/session/console-source.ts';

const directory = mkdtempSync(join(tmpdir(), 'unidbg-console-'));
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function collector() {
  const got = { text: '', remarks: [] as string[] };
  const decoder = new TextDecoder('latin1');
  return {
    got,
    sink: {
      onBytes: (bytes: Uint8Array) => {
        got.text += decoder.decode(bytes);
      },
      onRemark: (code: string) => {
        got.remarks.push(code);
      },
    },
  };
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 200 && !condition(); turn += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition()).toBe(true);
}

describe('a console file', () => {
  it('is given from its first byte, followed, and started over when truncated', async () => {
    const path = join(directory, 'console.log');
    writeFileSync(path, 'first ');
    const { got, sink } = collector();
    const source = followFile(path, sink);
    expect(got.text).toBe('first ');
    appendFileSync(path, 'second ');
    await until(() => got.text === 'first second ');
    truncateSync(path);
    await until(() => got.remarks.includes('console-truncated'));
    appendFileSync(path, 'again');
    await until(() => got.text === 'first second again');
    void source.close();
  });

  it('that cannot be read is an error that names it', () => {
    expect(() => followFile(join(directory, 'absent'), collector().sink)).toThrow(/absent cannot be read/);
  });
});

describe('a console socket', () => {
  it('is read, and its end is said', async () => {
    const path = join(directory, 'console.sock');
    const server = createServer((socket) => socket.end('hello'));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const { got, sink } = collector();
    readSocket({ path }, sink);
    await until(() => got.text === 'hello' && got.remarks.includes('console-ended'));
    server.close();
  });

  it('that nobody listens on is said, not thrown', async () => {
    const { got, sink } = collector();
    readSocket({ path: join(directory, 'nobody') }, sink);
    await until(() => got.remarks.includes('console-unavailable'));
  });
});

describe('the difference of two looks at an in-memory log', () => {
  it('is what was appended', () => {
    const log = new LogDifference();
    expect(log.push(encode('abc')).fresh).toEqual(Buffer.from('abc'));
    expect(log.push(encode('abc')).fresh).toHaveLength(0);
    expect(log.push(encode('abcdef')).fresh).toEqual(Buffer.from('def'));
  });

  it('is found in a ring that moved on, and loss is said when it moved too far', () => {
    const log = new LogDifference();
    const text = Array.from({ length: 400 }, (_, index) => `line ${index}\n`).join('');
    log.push(encode(text.slice(0, 2000)));
    expect(log.push(encode(text.slice(700, 2700)))).toEqual({ fresh: Buffer.from(text.slice(2000, 2700)), lost: false });
    expect(log.push(encode('something else entirely'))).toEqual({ fresh: Buffer.from('something else entirely'), lost: true });
  });
});
