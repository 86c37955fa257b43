// The output of a program as lines, in the batches it comes in: the dump of a kernel's debug info is four gigabytes.

import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Batches of lines. Throws when the program is not there; warnings and exit codes are the caller's business. */
export async function* programLines(program: string, args: readonly string[]): AsyncGenerator<readonly string[]> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, LC_ALL: 'C' } });
  const ended = once(child, 'close');
  child.stdout.setEncoding('utf8');
  let rest = '';
  for await (const chunk of child.stdout as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    yield lines;
  }
  if (rest !== '') yield [rest];
  await ended;
}
