// Feeds console bytes, whole or in pieces, through the decoder and the crash reader, as a session does.

import { CrashReader } from '../../src/console/crash-reader.ts';
import { type DecodedLine, LineDecoder } from '../../src/console/lines.ts';
import type { ReportedCrash } from '../../src/model/console-text.ts';
import { RUNTIMES } from '../../src/runtimes/index.ts';
import { UNIKERNELS } from '../../src/unikernels/index.ts';

/** Every crash that the bytes tell, `pieceLength` bytes at a time; all systems listen unless one is named. */
export function readConsole(bytes: Uint8Array, options: { pieceLength?: number; unikernel?: string } = {}): ReportedCrash[] {
  const pieceLength = options.pieceLength ?? Math.max(bytes.length, 1);
  const decoder = new LineDecoder();
  const reader = new CrashReader({ unikernels: UNIKERNELS, runtimes: RUNTIMES, unikernel: options.unikernel ?? null });
  const crashes: ReportedCrash[] = [];
  let number = 0;
  const read = (lines: readonly DecodedLine[]): void => {
    for (const line of lines) {
      if (!line.continuation) number += 1;
      crashes.push(...reader.push(line, number));
    }
  };
  for (let at = 0; at < bytes.length; at += pieceLength) read(decoder.push(bytes.subarray(at, at + pieceLength)));
  read(decoder.end());
  return [...crashes, ...reader.settle()];
}

/** The same for text. */
export function readText(text: string, options: { pieceLength?: number; unikernel?: string } = {}): ReportedCrash[] {
  return readConsole(new TextEncoder().encode(text), options);
}
