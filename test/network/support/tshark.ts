// tshark, the oracle: fields of packets, as text.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeHeader, encodePacket } from '../../../src/network/pcapng.ts';

/** Runs tshark on a file. */
export function tshark(path: string, ...options: readonly string[]): string {
  return execFileSync('tshark', ['-r', path, ...options], {
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    // Root is told off on stderr.
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

/** The fields of each packet that passes `filter`, in order. */
export function fieldsOf(path: string, fields: readonly string[], filter = ''): string[][] {
  const columns = fields.flatMap((field) => ['-e', field]);
  const chosen = filter === '' ? [] : ['-Y', filter];
  // The first of several: an ICMP error has the quoted packet's addresses too.
  const text = tshark(path, '-T', 'fields', '-E', 'occurrence=f', ...chosen, ...columns);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t'));
}

/** Calls `body` with a pcapng file of frames, 1 ms apart or at `times` (ms). */
export function withFile<T>(frames: readonly Buffer[], body: (path: string) => T, times: readonly number[] = []): T {
  const folder = mkdtempSync(join(tmpdir(), 'pcapng-'));
  try {
    const path = join(folder, 'frames.pcapng');
    const header = encodeHeader([{ name: 'n0', description: 'test', snapLength: 65536 }], 'test');
    const packets = frames.map((bytes, index) =>
      encodePacket({ interface: 0, at: 1_700_000_000_000 + (times[index] ?? index), length: bytes.length, bytes, from: null }),
    );
    writeFileSync(path, Buffer.concat([header, ...packets]));
    return body(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
