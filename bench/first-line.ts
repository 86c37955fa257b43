// What a program that was started says first: where it listens.

import type { ChildProcess } from 'node:child_process';

/** The first line of its standard output; what it said when it ended without one. */
export async function firstLine(child: ChildProcess): Promise<string> {
  let text = '';
  for await (const chunk of child.stdout!) {
    text += String(chunk);
    if (text.includes('\n')) break;
  }
  return text.trim();
}
