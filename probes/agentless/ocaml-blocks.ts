// Blocks of OCaml's heap (runtime/caml/mlvalues.h): a header word of size, colour and tag, then the fields; and a count of them by what
// they are. The same in OCaml 4 and 5.

import type { Memory } from '../../src/model/target.ts';
import { exactSize, type RowTally } from './census-rows.ts';

export const WORD = 8;

/** Tags with a meaning of their own; lower ones are the program's constructors. */
export const TAG = { infix: 249, closure: 247, abstract: 251 } as const;

const NAMES: Readonly<Record<number, string>> = {
  ...{
    244: 'lazy value being forced',
    245: 'continuation',
    246: 'lazy value',
    247: 'closure',
    248: 'object',
    250: 'forced lazy value',
  },
  ...{ 251: 'abstract', 252: 'string', 253: 'float', 254: 'array of floats', 255: 'custom block' },
};
/** Constructors of so many fields are told apart. */
const FIELDS_APART = 8;

/** A part of the heap: addresses as plain numbers. */
export interface HeapPart {
  readonly start: number;
  readonly end: number;
}

/** What a header says. `words` without the header itself. */
export interface Header {
  readonly words: number;
  readonly tag: number;
  /** 0 to 3. */
  readonly colour: number;
}

/** The header at `at`. */
export function headerAt(view: DataView, at: number): Header {
  const [low, high] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
  // The size has 54 bits, from bit 10 on.
  return { words: high * 2 ** 22 + (low >>> 10), tag: low & 0xff, colour: (low >>> 8) & 3 };
}

/** Counts a block under what it is. */
export function tallyBlock(tally: RowTally, { words, tag }: Header): void {
  const bytes = (words + 1) * WORD;
  tally.add(nameOf(words, tag), bytes);
}

/** `record, tuple or constructor of 2 fields (tag 0)`, `string of up to 1 KiB`. */
function nameOf(words: number, tag: number): string {
  const special = NAMES[tag];
  const upTo = exactSize(2 ** Math.ceil(Math.log2(Math.max(words, 1) * WORD)));
  if (special !== undefined) return tag === 253 ? special : `${special} of up to ${upTo}`;
  return words <= FIELDS_APART ? `block of ${words} fields, tag ${tag}` : `block or array of up to ${upTo}, tag ${tag}`;
}

/** Reads a part in pieces of at most this many bytes. */
const PIECE = 64 * 1024;

/** Calls `onBlock` for the blocks that lie side by side in a part, free ones too, with their address behind the header; stops where they make no sense. */
export function walkBlocks(
  memory: Memory,
  part: HeapPart,
  budget: { blocks: number },
  onBlock: (header: Header, at: number) => void,
): void {
  let from = 0;
  let view: DataView | null = null;
  for (let at = part.start; at + WORD <= part.end && budget.blocks > 0; budget.blocks -= 1) {
    if (view === null || at + WORD > from + view.byteLength || at < from) {
      const bytes = memory.read(BigInt(at), Math.min(PIECE, part.end - at));
      if (bytes === null) return;
      from = at;
      view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    const header = headerAt(view, at - from);
    const next = at + (header.words + 1) * WORD;
    if (next > part.end) return;
    onBlock(header, at + WORD);
    at = next;
  }
}
