// What in a piece of text means a place in code: addresses (as src/console takes them), `symbol+0xoff/0xsize [module]` of Linux
// (lib/vsprintf.c symbol_string), `module+0xoff` of sanitizers, `program(symbol+0xoff)` of glibc's backtrace_symbols.

import { isPcLabel } from '../../console/addresses.ts';
import { toUnsigned64 } from '../../model/address.ts';
import type { SymbolizedLocation } from '../../model/frame.ts';
import type { NamedImage, Names } from './names.ts';

/** A place in code that stands in text: UTF-16 offsets, the run-time address, what is there. */
export interface Mention {
  readonly start: number;
  readonly end: number;
  readonly address: bigint;
  readonly locations: readonly SymbolizedLocation[];
  /** The function that the text itself names there. */
  readonly saidFunction: string | null;
}

const OFFSET = /\+0x(?<offset>[0-9a-f]{1,16})(?:\/0x(?<size>[0-9a-f]{1,16}))?(?<tail>\))?(?: \[(?<module>[a-z_]\w{0,63})\])?/;
/** As src/console/addresses.ts; the escape sequence of a colour may stand before it. */
const ADDRESS = /(?<=^|\W|\x1b\[[0-9;]{0,16}m)(?:0x(?<digits>[0-9a-f]{4,16})|(?<bare>[0-9a-f]{16}))\b/;
const MENTION = new RegExp(`${OFFSET.source}|${ADDRESS.source}`, 'gi');
/** What may stand before `+0x…`, read backwards from there. */
const NAME = /(?:([\w./@-]{1,255})\()?([\w.$@/-]{0,255})$/;
const LONGEST_NAME = 512;
/** Words before an address that say what it is. */
const LABEL_REACH = 32;
/**
 * A call that never comes back may be a function's last instruction: where it returns to is then the start of the next one. Seen:
 * Mini-OS' `caller is`.
 */
const RETURN_LABEL = /\b(?:caller is|called from|returns? to) $/i;
/** Below this is no code that anybody means, also in an image that is linked at 0 (Mini-OS): zeros, counters. */
const LOWEST_CODE = 0x1000n;
/** Linkers align functions: what a kernel calls a function's size reaches to the next one. */
const MAX_PADDING = 63n;

/** The places that `text` tells, left to right; `before` is what stands in front of it on the same line. */
export function findMentions(text: string, before: string, names: Names): readonly Mention[] {
  const found: Mention[] = [];
  MENTION.lastIndex = 0;
  for (let match = MENTION.exec(text); match !== null; match = MENTION.exec(text)) {
    const mention =
      match.groups?.['offset'] === undefined ? readAddress(match, text, before, names) : readOffset(match, text, before, names);
    if (mention !== null) found.push(mention);
  }
  return found;
}

function readAddress(match: RegExpExecArray, text: string, before: string, names: Names): Mention | null {
  const digits = match.groups?.['digits'] ?? match.groups?.['bare'] ?? '';
  const address = BigInt(`0x${digits}`);
  if (address < LOWEST_CODE || !names.isCode(address)) return null;
  const exact = names.locate(address);
  const label = labelBefore(match.index, text, before);
  // A pc and the start of a function (`main=0x401893`) are meant as they stand; everything else is where a call returns to.
  const isExact = isPcLabel(label) || (exact.at(-1)?.functionOffset === 0 && !RETURN_LABEL.test(label));
  return mention(match, '', address, isExact ? exact : names.locateCall(address), null);
}

function readOffset(match: RegExpExecArray, text: string, before: string, names: Names): Mention | null {
  const offset = BigInt(`0x${match.groups?.['offset'] ?? ''}`);
  const said = match.groups?.['size'];
  const prefix = (before + text.slice(Math.max(0, match.index - LONGEST_NAME), match.index)).slice(-LONGEST_NAME);
  const [whole = '', program, name = ''] = NAME.exec(prefix) ?? [];
  const module = match.groups?.['module'];
  const within = module === undefined ? (program === undefined ? null : names.findImage(program)) : names.findImage(module);
  if (module !== undefined && within === null) return null;
  const symbol = name === '' ? null : names.findSymbol(name, within);
  if (symbol !== null) {
    if (!isInside(offset, said === undefined ? null : BigInt(`0x${said}`), BigInt(symbol.size))) return null;
    const address = toUnsigned64(symbol.address + offset);
    const isExact = offset === 0n || isPcLabel(labelBefore(match.index - whole.length, text, before));
    return mention(match, whole, address, isExact ? names.locate(address) : names.locateCall(address), name);
  }
  const image = name === '' ? within : names.findImage(name);
  const address = image === null ? null : findInModule(image, offset);
  if (address === null || !names.isCode(address)) return null;
  return mention(match, whole, address, names.locateCall(address), null);
}

/** Another build of the function has another size, and its offsets lead astray. */
function isInside(offset: bigint, said: bigint | null, size: bigint): boolean {
  if (said === null || size === 0n) return offset <= (size === 0n ? 0xffffn : size);
  return offset <= said && size <= said && said - size <= MAX_PADDING;
}

/** Offsets count from where the file was loaded, which is link address 0 of all that can be moved. */
function findInModule({ image: { elf }, loadBias }: NamedImage, offset: bigint): bigint | null {
  for (const link of [offset, elf.imageBase + offset]) {
    if (elf.imageBase <= link && link < elf.imageEnd) return toUnsigned64(link + loadBias);
  }
  return null;
}

function mention(
  match: RegExpExecArray,
  prefix: string,
  address: bigint,
  locations: readonly SymbolizedLocation[],
  saidFunction: string | null,
): Mention | null {
  if (locations[0]?.status !== 'symbolicated') return null;
  // Behind `)` of `program(symbol+0x1f)` nothing is lost: the note stands inside of it.
  const end = match.index + match[0].length - (match.groups?.['tail'] === undefined ? 0 : 1);
  return { start: Math.max(0, match.index - prefix.length), end, address, locations, saidFunction };
}

function labelBefore(at: number, text: string, before: string): string {
  return at >= LABEL_REACH ? text.slice(at - LABEL_REACH, at) : (before + text.slice(0, Math.max(0, at))).slice(-LABEL_REACH);
}
