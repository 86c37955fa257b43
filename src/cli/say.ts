// Printing for people: what a guest, its files or a stranger's recording say is text on their terminal and nothing else (DESIGN §9).

import { toPrintable } from '../report/printable.ts';

/** Prints lines on standard output, without escape sequences. */
export function sayLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${toPrintable(line)}\n`).join(''));
}

/** Says something beside the result, on standard error, without escape sequences. */
export function remark(message: string): void {
  process.stderr.write(`unidbg: ${toPrintable(message)}\n`);
}
