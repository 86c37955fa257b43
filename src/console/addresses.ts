// Addresses in console text that no crash grammar read: `0x…`, bare 16-digit words, `[<…>]`, `addr:`. The caller knows
// which of them lie in code and decodes those beside the line (ConsoleNote).

import type { Address } from '../model/address.ts';

/** Where an address stands in a line: UTF-16 offsets, the `0x` included. */
export interface AddressInText {
  readonly start: number;
  readonly end: number;
  readonly address: Address;
}

const MAX_PER_LINE = 16;
/** Only the start of a long line is looked at. */
const MAX_LOOKED_AT = 4096;
/** Below this is no code anywhere: null pages, counters, flags. */
const LOWEST_CODE = 0x1000n;

const ADDRESS = /\b(?:0x([0-9a-f]{4,16})|([0-9a-f]{16}))\b/gi;
/** What stands before an address that is a pc itself. All others in text are taken for return addresses, as traces print them. */
const PC_LABEL = /(?:\b(?:[re]?ip|pc|at|elr)\b|#0)\W*$/i;
/** What nearly every line gives. */
const NOTHING: readonly AddressInText[] = [];

/** The things in `text` that may be code addresses, left to right, at most 16. */
export function findAddresses(text: string): readonly AddressInText[] {
  const looked = text.length > MAX_LOOKED_AT ? text.slice(0, MAX_LOOKED_AT) : text;
  // `exec` and not `matchAll`, whose iterator costs more than the search: every line of every console comes through here.
  ADDRESS.lastIndex = 0;
  let match = ADDRESS.exec(looked);
  if (match === null) return NOTHING;
  const found: AddressInText[] = [];
  for (; match !== null && found.length < MAX_PER_LINE; match = ADDRESS.exec(looked)) {
    const address = BigInt(`0x${match[1] ?? match[2] ?? ''}`);
    if (address < LOWEST_CODE) continue;
    found.push({ start: match.index, end: match.index + match[0].length, address });
  }
  return found;
}

/** Whether `before`, the text in front of an address, says that it is a pc and not where a call returns to. */
export function isPcLabel(before: string): boolean {
  return PC_LABEL.test(before);
}
