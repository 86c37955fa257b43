// Standard input in lines and bytes, standard output with its back pressure.

import { once } from 'node:events';
import type { Readable } from 'node:stream';

/** A line longer than this is no address; it is cut there. */
const MAX_LINE = 4096;

/** Writes to standard output and waits while its reader is slow. */
export async function writeOut(text: string, encoding: BufferEncoding = 'utf8'): Promise<void> {
  if (text !== '' && !process.stdout.write(text, encoding)) await once(process.stdout, 'drain');
}

/** Hands over the lines that each chunk completes, without their ends; at the end also one that has none. */
export async function readLines(input: Readable, take: (lines: readonly string[]) => Promise<void>): Promise<void> {
  let rest = '';
  for await (const chunk of input) {
    const lines = (rest + (chunk as Buffer).toString('latin1')).split('\n');
    rest = (lines.pop() ?? '').slice(0, MAX_LINE);
    if (lines.length > 0) await take(lines);
  }
  if (rest !== '') await take([rest]);
}
