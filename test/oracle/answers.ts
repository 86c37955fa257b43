// What is said of an address, by whomever, in one shape; and when two say the same.

import { posix } from 'node:path';
import type { SymbolImage } from '../../src/symbolize/image.ts';

/** One activation. What is not said is null; lines and columns are never 0. */
export interface Frame {
  readonly function: string | null;
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
}

/** The activations at an address, innermost first; empty where nothing is known. */
export type Answer = readonly Frame[];

/** What unidbg says. */
export function ownAnswer(image: SymbolImage, address: bigint): Answer {
  return image.locate(address).map(({ function: name, file, line, column }) => ({
    ...{ function: name, file: plainPath(file), line, column },
  }));
}

/** A path without `.` and `..`, which each reader keeps or removes as it likes. */
export function plainPath(path: string | null): string | null {
  return path === null || path === '' ? null : posix.normalize(path);
}

/** What of two answers differs. */
export type Part = 'chain' | 'function' | 'file' | 'line' | 'column';

/** The first part in which two answers differ, the gravest first, or null. A column is compared where both say one. */
export function firstDifference(a: Answer, b: Answer): Part | null {
  if (a.length !== b.length) return 'chain';
  for (const part of ['function', 'file', 'line'] as const) {
    if (a.some((frame, index) => frame[part] !== b[index]![part])) return part;
  }
  const isOther = (frame: Frame, { column }: Frame): boolean =>
    frame.column !== null && column !== null && frame.column !== column;
  return a.some((frame, index) => isOther(frame, b[index]!)) ? 'column' : null;
}

/** An answer on one line: `inner file:line:column < outer file:line:column`. */
export function formatAnswer(answer: Answer): string {
  const where = ({ file, line, column }: Frame): string =>
    file === null ? '?' : [file, line ?? '?', ...(column === null ? [] : [column])].join(':');
  return answer.length === 0 ? 'nothing' : answer.map((frame) => `${frame.function ?? '?'} ${where(frame)}`).join(' < ');
}
