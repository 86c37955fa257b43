// Text with its addresses explained: arguments, or standard input as a stream.

import { LineDecoder } from '../../console/lines.ts';
import { formatAddress } from '../../model/address.ts';
import type { SourceMaps } from '../../symbolize/source-maps.ts';
import { findLeadingAddress } from './addr2line.ts';
import { Annotator, describePlace, type ToldLine } from './annotate.ts';
import { openJsonList, toJsonAddress } from './json.ts';
import type { Names } from './names.ts';
import { describeOriginal, findScriptPlace } from './script-positions.ts';
import { writeOut } from './streams.ts';

/** After so long without a byte the unfinished line is shown. */
const QUIET_MS = 100;

/** `maps`: of the scripts that text may tell of; null without any. */
export interface ExplainOptions {
  readonly json: boolean;
  readonly maps: SourceMaps | null;
}

/** One line for each address or place in a script, inlined calls below it. */
export function explainArguments(
  words: readonly string[],
  names: Names,
  options: ExplainOptions,
  complain: (message: string) => void,
): void {
  const list = openJsonList();
  const nameOf = (name: string): string => names.demangle(name);
  const out = words.map((word) => {
    const source = options.maps === null ? null : findScriptPlace(word, options.maps);
    if (source !== null) return options.json ? list.add({ position: word, source }) : `${word}${describeOriginal(source)}\n`;
    const address = findPlace(word, names);
    if (address === null) {
      complain(`not an address, and no symbol: ${JSON.stringify(word.slice(0, 80))}`);
      return '';
    }
    const locations = names.locate(address);
    if (options.json) return list.add(toJsonAddress(address, address, locations, nameOf));
    const [innermost, ...outer] = locations;
    const below = outer.map((location) => `    (inlined by)${describePlace(location, names)}\n`);
    const known = innermost?.status === 'symbolicated';
    return `${formatAddress(address)}${known ? describePlace(innermost, names) : ' ??'}\n${below.join('')}`;
  });
  process.stdout.write(out.join('') + (options.json ? list.close() : ''));
}

const SYMBOL = /^([^+]{1,1000})(?:\+(?:0x)?([0-9a-f]{1,16}))?$/i;

function findPlace(word: string, names: Names): bigint | null {
  const plain = /^(?:0x)?[0-9a-f]{1,16}$/i.test(word) ? findLeadingAddress(word) : null;
  const [, symbol, digits] = SYMBOL.exec(word) ?? [];
  if (plain !== null || symbol === undefined) return plain;
  const found = names.findSymbol(symbol);
  return found === null ? null : found.address + BigInt(`0x${digits ?? '0'}`);
}

/** Standard input, explained. On a terminal only what cannot harm it is written; else every byte that came is. */
export async function explainInput(names: Names, { json, maps }: ExplainOptions): Promise<void> {
  const told: string[] = [];
  const annotator = new Annotator(names, maps, json ? (line) => told.push(toJsonLine(line, names)) : null);
  const safe = !json && process.stdout.isTTY ? new LineDecoder() : null;
  const write = async (text: string): Promise<void> => {
    if (!json) await writeOut(text, 'latin1');
    else await writeOut(told.splice(0).join(''));
  };
  let quiet: NodeJS.Timeout | null = null;
  for await (const chunk of process.stdin) {
    if (quiet !== null) clearTimeout(quiet);
    await write(annotator.push(safe === null ? (chunk as Buffer) : safeBytes(safe.push(chunk as Buffer))));
    quiet = setTimeout(() => {
      const rest = safe === null ? '' : annotator.push(safeBytes(safe.flush()));
      void write(rest + annotator.flush());
    }, QUIET_MS);
  }
  if (quiet !== null) clearTimeout(quiet);
  const rest = safe === null ? '' : annotator.push(safeBytes(safe.end()));
  await write(rest + annotator.end());
}

function safeBytes(lines: ReturnType<LineDecoder['push']>): Uint8Array {
  return Buffer.from(lines.map(({ text, partial }) => (partial ? text : `${text}\n`)).join(''), 'utf8');
}

function toJsonLine({ line, text, mentions, scripts }: ToldLine, names: Names): string {
  const nameOf = (name: string): string => names.demangle(name);
  const addresses = mentions.map(({ start, end, address, locations }) => ({
    text: text.slice(start, end),
    ...(toJsonAddress(address, address, locations, nameOf) as object),
  }));
  const positions = scripts.map(({ start, end, source }) => ({ text: toUtf8(text.slice(start, end)), source }));
  return `${JSON.stringify({ line, text: toUtf8(text), addresses, positions })}\n`;
}

function toUtf8(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
