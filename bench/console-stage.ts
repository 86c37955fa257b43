// One part of the console's path over a file, in a process of its own: `node console-stage.ts STAGE FILE ELF`. Prints one line of
// JSON: seconds, lines, crashes. The file is read in pieces as large as a socket gives them under load.

import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { ConsoleReader } from '../src/console/console-reader.ts';
import { CrashReader } from '../src/console/crash-reader.ts';
import { LineDecoder } from '../src/console/lines.ts';
import { RUNTIMES } from '../src/runtimes/index.ts';
import { ConsolePipeline } from '../src/session/console-pipeline.ts';
import { RecordingWriter } from '../src/session/recording.ts';
import { Session } from '../src/session/session.ts';
import { createSymbolizer, openImage } from '../src/symbolize/symbolizer.ts';
import { UNIKERNELS } from '../src/unikernels/index.ts';
import { isText, openUnwindModule } from '../src/unwind/module.ts';

/** `crashes` is a log read for its crashes alone; each of the others adds to the one before what a session does. */
export const STAGES = ['crashes', 'lines', 'grammar', 'fold', 'recording'] as const;
export type Stage = (typeof STAGES)[number];

/** What a stage tells of itself. */
export interface StageResult {
  readonly seconds: number;
  readonly lines: number;
  readonly crashes: number;
}

interface Path {
  readonly push: (bytes: Uint8Array) => void;
  /** Everything that waits is done. Gives what came out. */
  readonly finish: () => { readonly lines: number; readonly crashes: number };
}

const PIECE = 64 * 1024;

function openPath(stage: Stage, folder: string, elf: string): Path {
  if (stage === 'crashes') return openLog();
  const reader = new CrashReader({ unikernels: UNIKERNELS, runtimes: RUNTIMES });
  if (stage === 'lines' || stage === 'grammar') return openBare(stage === 'grammar' ? reader : null);
  return openWhole(reader, elf, stage === 'recording' ? join(folder, `recording-${process.pid}`) : null);
}

/** Bytes to crashes: lines that mean nothing are only counted. */
function openLog(): Path {
  const reader = new ConsoleReader({ unikernels: UNIKERNELS, runtimes: RUNTIMES });
  let crashes = 0;
  return {
    push: (bytes) => {
      crashes += reader.push(bytes).length;
    },
    finish: () => {
      crashes += reader.end().length;
      return { lines: reader.lines, crashes };
    },
  };
}

/** Bytes to safe lines, and to crashes when there is a reader. */
function openBare(reader: CrashReader | null): Path {
  const decoder = new LineDecoder();
  let lines = 0;
  let crashes = 0;
  return {
    push: (bytes) => {
      for (const line of decoder.push(bytes)) {
        lines += 1;
        if (reader !== null) crashes += reader.push(line, lines).length;
      }
    },
    finish: () => ({ lines: lines + decoder.end().length, crashes: crashes + (reader?.settle().length ?? 0) }),
  };
}

/** As a session does it: addresses of the demo guest's code named, events folded, written down when there is a file. */
function openWhole(reader: CrashReader, elf: string, recording: string | null): Path {
  const session = new Session();
  const image = openImage(elf);
  const modules = [openUnwindModule(image.elf, 0n)];
  const symbolizer = createSymbolizer([{ image, loadBias: 0n, match: 'build-id', placedBy: 'link address' }]);
  const writer = recording === null ? null : new RecordingWriter(recording, { unidbg: 'bench', target: 'bench' });
  let lines = 0;
  let crashes = 0;
  if (writer !== null)
    session.subscribe((event) => {
      writer.write(event);
    });
  const pipeline = new ConsolePipeline('console', reader, {
    onLine: (line) => {
      lines += 1;
      session.emit({ type: 'console', line });
    },
    onCrash: () => {
      crashes += 1;
    },
  });
  pipeline.useCode({ symbolizer, isText: (address) => isText(modules, address) });
  return {
    push: (bytes) => {
      pipeline.push(bytes);
    },
    finish: () => {
      pipeline.close();
      session.snapshot();
      writer?.close();
      image.elf.close();
      return { lines, crashes };
    },
  };
}

function run(stage: Stage, file: string, elf: string): StageResult {
  const fd = openSync(file, 'r');
  const piece = Buffer.alloc(PIECE);
  const path = openPath(stage, join(file, '..'), elf);
  const from = performance.now();
  for (let count = readSync(fd, piece); count > 0; count = readSync(fd, piece)) path.push(piece.subarray(0, count));
  const outcome = path.finish();
  const seconds = (performance.now() - from) / 1000;
  closeSync(fd);
  return { seconds, ...outcome };
}

if (import.meta.main) {
  const [stage, file, elf] = process.argv.slice(2);
  process.stdout.write(`${JSON.stringify(run(stage as Stage, file!, elf!))}\n`);
}
