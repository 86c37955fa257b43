// Reads whatever text lies on this machine as if it were consoles (package documentation, sources and their test data, logs, change
// logs) and says what was taken for a crash: `node test/panics/false-alarms.ts [--mebibytes N] [PATH…]`. Every file is a console of its
// own; with --grep its lines come as `FILE:LINE: text`, with --json in JSON records, with --indent behind four blanks.

import { closeSync, existsSync, lstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { ConsoleReader } from '../../src/console/console-reader.ts';
import type { ReportedCrash } from '../../src/model/console-text.ts';
import { RUNTIMES } from '../../src/runtimes/index.ts';
import { UNIKERNELS } from '../../src/unikernels/index.ts';
import { printCrash } from './print-crash.ts';

const MEBIBYTE = 1024 ** 2;
const MAX_FILE = 16 * MEBIBYTE;
/** Where Debian keeps text that speaks of crashes. */
const PLACES = [
  '/usr/share/doc',
  '/usr/lib/go/src',
  '/usr/share/go/test',
  '/usr/lib/python3',
  '/usr/share/perl',
  '/usr/share/info',
  '/var/log',
];

const QUOTATIONS = {
  grep: (line: string, path: string, number: number) => `${path}:${number}:${line}`,
  json: (line: string, path: string) => JSON.stringify({ level: 'info', logger: path, message: line }),
  indent: (line: string) => `    ${line}`,
} as const;

/** All files below `path`; symbolic links are not followed. */
function* filesBelow(path: string): Generator<string> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isFile() === true && stat.size > 0) yield path;
  if (stat?.isDirectory() !== true) return;
  for (const name of readdirSync(path).sort()) yield* filesBelow(join(path, name));
}

/** The file's text; null when it is no text or too large. */
function readText(path: string): Uint8Array | null {
  const head = Buffer.alloc(4096);
  const fd = openSync(path, 'r');
  const length = readSync(fd, head);
  closeSync(fd);
  const isPacked = head[0] === 0x1f && head[1] === 0x8b;
  if (!isPacked && head.subarray(0, length).includes(0)) return null;
  const bytes = readFileSync(path);
  const text = isPacked ? gunzipSync(bytes) : bytes;
  return text.length > MAX_FILE || text.subarray(0, 4096).includes(0) ? null : text;
}

function quoted(text: Uint8Array, path: string, how: keyof typeof QUOTATIONS): Uint8Array {
  const lines = Buffer.from(text).toString('utf8').split('\n');
  return Buffer.from(lines.map((line, index) => QUOTATIONS[how](line, path, index + 1)).join('\n'));
}

/** What a console with this text tells. */
export function readAlarms(text: Uint8Array): readonly ReportedCrash[] {
  const reader = new ConsoleReader({ unikernels: UNIKERNELS, runtimes: RUNTIMES });
  return [...reader.push(text), ...reader.end()];
}

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      mebibytes: { type: 'string', default: '200' },
      grep: { type: 'boolean' },
      json: { type: 'boolean' },
      indent: { type: 'boolean' },
      quiet: { type: 'boolean' },
    },
  });
  const how = (['grep', 'json', 'indent'] as const).find((name) => values[name] === true);
  const places = positionals.length > 0 ? positionals : PLACES.filter((path) => existsSync(path));
  let bytes = 0;
  let files = 0;
  const byGrammar = new Map<string, number>();
  for (const path of places.flatMap((place) => [...filesBelow(place)])) {
    if (bytes >= Number(values.mebibytes) * MEBIBYTE) break;
    const plain = readText(path);
    if (plain === null) continue;
    const text = how === undefined ? plain : quoted(plain, path, how);
    bytes += text.length;
    files += 1;
    for (const crash of readAlarms(text)) {
      byGrammar.set(crash.grammar, (byGrammar.get(crash.grammar) ?? 0) + 1);
      if (values.quiet !== true) process.stdout.write(`${path}:${crash.firstLine}: ${printCrash(crash)}\n\n`);
    }
  }
  for (const [grammar, count] of [...byGrammar].toSorted((a, b) => b[1] - a[1])) process.stdout.write(`${count} ${grammar}\n`);
  const alarms = [...byGrammar.values()].reduce((sum, count) => sum + count, 0);
  process.stdout.write(`${files} files, ${(bytes / MEBIBYTE).toFixed(1)} MiB, ${alarms} crashes told\n`);
}

if (import.meta.main) main();
