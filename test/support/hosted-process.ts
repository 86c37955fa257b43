// A Linux process as a probe's guest, so that a probe can be held against the numbers the program itself prints. Memory is
// /proc/PID/mem; what lies where is /proc/PID/maps (proc(5)). Not a unikernel, but the same runtime in the same memory.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { ProbeGuest } from '../../src/model/probe.ts';
import type { CodeTableOpener } from '../../src/symbolize/code-image.ts';
import { openImageWithLocalDebug } from '../../src/symbolize/open-image.ts';
import { createSymbolizer, type ImageSymbolizer, type PlacedImage } from '../../src/symbolize/symbolizer.ts';

/** Which of a process's files are opened, and by what. */
export interface HostedImages {
  /** Says of a mapped file whether it is opened; the program alone when left out. Debug files of this machine are found. */
  readonly wanted?: (path: string) => boolean;
  /** Another file with the same addresses for the program, such as its stripped copy. */
  readonly program?: string;
  readonly tables?: readonly CodeTableOpener[];
}

/** A process that is looked at; it does not stop for it. */
export interface HostedGuest {
  readonly guest: ProbeGuest;
  readonly symbolizer: ImageSymbolizer;
  /** Files that are open, with their place. */
  readonly images: readonly PlacedImage[];
  readonly close: () => void;
}

/** A program that we run, which answers lines with lines. */
export interface HostedProgram extends HostedGuest {
  readonly pid: number;
  /** The first line it printed. */
  readonly greeting: string;
  /** Gives it a line and waits for the one it prints: while it waits for the next, its numbers and ours are of one moment. */
  readonly ask: (line: string) => Promise<string>;
}

/** Opens a running process. Its libraries must be loaded: wait for a sign of life first. */
export function openProcess(pid: number, { wanted, program, tables = [] }: HostedImages = {}): HostedGuest {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const starts = fileStarts(pid);
  const main = readlinkSync(`/proc/${pid}/exe`);
  const images: PlacedImage[] = [];
  for (const [path, start] of starts) {
    if (path !== main && wanted?.(path) !== true) continue;
    const image = openImageWithLocalDebug(path === main ? (program ?? path) : path, { debuginfod: null }, { tables });
    images.push({ image, loadBias: start - (image.elf.imageBase & ~0xfffn), match: 'text', placedBy: '/proc/PID/maps' });
  }
  const symbolizer = createSymbolizer(images);
  const read = (address: bigint, length: number): Uint8Array | null => readAt(memory, address, length);
  return {
    guest: { memory: { read }, types: symbolizer.types, symbols: symbolizer, images: symbolizer.images },
    symbolizer,
    images,
    close: () => {
      closeSync(memory);
      for (const { image } of images) image.close();
    },
  };
}

/** Runs a program and opens it once it has printed a line. `close` kills it. Throws when it ends before. */
export async function startHosted(
  [command, ...args]: readonly [string, ...string[]],
  { env = {}, ...images }: HostedImages & { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<HostedProgram> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  const nextLine = linesOf(child, command);
  const pid = child.pid ?? 0;
  try {
    const greeting = await nextLine();
    const opened = openProcess(pid, images);
    return {
      ...opened,
      ...{ pid, greeting },
      ask: (line) => {
        child.stdin.write(`${line}\n`);
        return nextLine();
      },
      close: () => {
        child.kill('SIGKILL');
        opened.close();
      },
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

function linesOf(child: ChildProcessByStdio<Writable, Readable, null>, command: string): () => Promise<string> {
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.once('error', () => child.stdout.destroy());
  child.stdin.on('error', () => undefined);
  return async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${command} ended without an answer`);
    return value;
  };
}

/** Where the start of each mapped file lies, or would lie. */
function fileStarts(pid: number): ReadonlyMap<string, bigint> {
  const starts = new Map<string, bigint>();
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const match = /^([0-9a-f]+)-\S+ \S+ ([0-9a-f]+) \S+ [1-9]\d*\s+(\/.*)$/.exec(line);
    if (match === null || starts.has(match[3]!)) continue;
    starts.set(match[3]!, BigInt(`0x${match[1]!}`) - BigInt(`0x${match[2]!}`));
  }
  return starts;
}

function readAt(file: number, address: bigint, length: number): Uint8Array | null {
  const bytes = new Uint8Array(length);
  try {
    return readSync(file, bytes, 0, length, address) === length ? bytes : null;
  } catch {
    return null;
  }
}
