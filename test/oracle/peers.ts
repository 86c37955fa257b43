// The readers that unidbg is compared with, run once over all addresses of an image. Their output is kept in the cache folder, named by
// the image, the tool's version and the addresses: on a kernel they take minutes.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { type Answer, type Frame, plainPath } from './answers.ts';

/** A symbolizer, and how its output is read. */
export interface Peer {
  readonly name: 'llvm-symbolizer' | 'eu-addr2line' | 'addr2line';
  readonly arguments: (path: string) => readonly string[];
  /** Turns lines of output into answers, in the order of the addresses. */
  readonly parse: (lines: AsyncIterable<string>) => AsyncGenerator<Answer>;
}

export const PEERS: readonly Peer[] = [
  {
    name: 'llvm-symbolizer',
    arguments: (path) => ['-i', '-f', '--no-demangle', '--output-style=JSON', `--obj=${path}`],
    parse: parseJson,
  },
  { name: 'eu-addr2line', arguments: (path) => ['-f', '-i', '-a', '-e', path], parse: parsePairs },
  { name: 'addr2line', arguments: (path) => ['-f', '-i', '-a', '-e', path], parse: parsePairs },
];

/** What a peer prints as its version, in one line. */
export function versionOf(peer: Peer): string {
  const { stdout } = spawnSync(peer.name, ['--version'], { encoding: 'utf8' });
  return (stdout.split('\n').find((line) => /\d/.test(line)) ?? '').trim();
}

/** An image to ask about. `identity` is its build-id or a hash of its bytes. */
export interface Question {
  readonly path: string;
  readonly identity: string;
  readonly addresses: readonly bigint[];
}

/** What a peer says of each address, from the cache where it was asked before. */
export async function answersOf(peer: Peer, question: Question, cache: string): Promise<Answer[]> {
  const { path, identity, addresses } = question;
  const input = addresses.map((address) => `0x${address.toString(16)}\n`).join('');
  const key = createHash('sha256').update(JSON.stringify([identity, versionOf(peer), peer.arguments('-'), input]));
  const folder = join(cache, 'answers');
  const kept = join(folder, `${peer.name}-${key.digest('hex').slice(0, 24)}.gz`);
  mkdirSync(folder, { recursive: true });
  if (!existsSync(kept)) await run(peer, path, input, kept);
  const lines = createInterface({ input: createReadStream(kept).pipe(createGunzip()), crlfDelay: Infinity });
  const answers: Answer[] = [];
  for await (const answer of peer.parse(lines)) answers.push(answer);
  if (answers.length !== addresses.length)
    throw new Error(`${peer.name} gave ${answers.length} answers to ${addresses.length} questions about ${path}`);
  return answers;
}

async function run(peer: Peer, path: string, input: string, kept: string): Promise<void> {
  const child = spawn(peer.name, peer.arguments(path), { stdio: ['pipe', 'pipe', 'ignore'] });
  const part = `${kept}.${process.pid}`;
  child.stdin.end(input);
  await pipeline(child.stdout, createGzip({ level: 1 }), createWriteStream(part));
  renameSync(part, kept);
}

interface JsonAnswer {
  readonly Symbol?: readonly {
    readonly FunctionName: string;
    readonly FileName: string;
    readonly Line: number;
    readonly Column: number;
  }[];
}

async function* parseJson(lines: AsyncIterable<string>): AsyncGenerator<Answer> {
  for await (const line of lines) {
    if (line === '') continue;
    const { Symbol: frames = [] } = JSON.parse(line) as JsonAnswer;
    yield known(
      frames.map((frame) => ({
        function: frame.FunctionName || null,
        file: plainPath(frame.FileName),
        line: frame.Line || null,
        column: frame.Column || null,
      })),
    );
  }
}

/** Blocks of an address and, for each activation, its name and its place, as addr2line of binutils and elfutils print with -a -f. */
async function* parsePairs(lines: AsyncIterable<string>): AsyncGenerator<Answer> {
  let frames: Frame[] | null = null;
  let name: string | null = null;
  for await (const line of lines) {
    if (/^0x[0-9a-f]{16}$/.test(line)) {
      if (frames !== null) yield known(frames);
      frames = [];
      name = null;
    } else if (name === null) name = line.replace(/ inlined (?:(?:at|from) .* )?in .*$/, '');
    else {
      frames?.push({ function: name === '??' ? null : name, ...placeOf(line) });
      name = null;
    }
  }
  if (frames !== null) yield known(frames);
}

function placeOf(text: string): Omit<Frame, 'function'> {
  const [, file, line, column] = /^(.*?):(\d+|\?)(?::(\d+))?(?: \(discriminator \d+\))?$/.exec(text) ?? [];
  return { file: file === '??' ? null : plainPath(file ?? null), line: Number(line) || null, column: Number(column) || null };
}

/** One frame that says nothing is no frame. */
function known(frames: readonly Frame[]): Answer {
  const [first] = frames;
  return frames.length === 1 && first!.function === null && first!.file === null ? [] : frames;
}
