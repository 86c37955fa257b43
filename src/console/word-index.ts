// Finds words of a fixed set in bytes, all at once, however many there are: a table of four characters in a row, looked up at every
// second place, so that each word is met wherever it stands. Then the words themselves are compared.

import { type RequiredEnding, requiredEnding, requiredWords } from './required-words.ts';

interface Word<Value> {
  readonly text: string;
  readonly codes: Uint8Array;
  /** Where in the word the four begin that are met: 0 or 1, in a word of three -1. */
  readonly offset: number;
  readonly values: Value[];
}

/** A value without a long word, told by how its line ends. */
interface Ending<Value> {
  readonly before: number;
  /** By character: whether it may stand behind that. */
  readonly isBehind: Uint8Array;
  readonly value: Value;
}

const SHORTEST = 3;
const WINDOW = 4;
const STRIDE = 2;
const HASH_BITS = 16;
/** So far behind the start of a window stands the character that is compared before the words are. */
const FAR = 6;
/** A clue that says nothing. */
const ANY = 0xff;
const TAB = 0x09;
const SPACE = 0x20;
const BYTES = Array.from({ length: 256 }, (_, byte) => byte);
/** What nearly every line gives. */
const NOTHING: readonly never[] = [];

/** Of two characters each (Knuth's multiplicative hash). */
function hash(pair: number, next: number): number {
  return Math.imul(pair | (next << 16), 0x9e3779b1) >>> (32 - HASH_BITS);
}

/** Values, each under an anchored pattern: for which of them may a line be meant? */
export class WordIndex<Value> {
  /** By a window's hash one more character of its words, 0 where there is none: most windows are not met by whole words. */
  readonly #clues = new Uint8Array(1 << HASH_BITS);
  readonly #words: (Word<Value>[] | undefined)[] = Array.from({ length: 1 << HASH_BITS });
  /** By a line's last character. */
  readonly #endings: (readonly Ending<Value>[])[] = Array.from({ length: 256 }, () => NOTHING);
  /** A line that is asked about; behind it there is room for the rest of a window. */
  #line = Buffer.alloc(256);
  /** Of these nothing is known: any line may be meant. */
  readonly unknown: readonly Value[];

  constructor(entries: readonly (readonly [Value, RegExp])[]) {
    const unknown: Value[] = [];
    for (const [value, pattern] of entries) {
      const words = pattern.flags === '' ? (requiredWords(pattern.source) ?? []) : [];
      const isFound = words.length > 0 && words.every((word) => word.length >= SHORTEST);
      for (const word of isFound ? words : NOTHING) this.#add(word, value);
      const ending = isFound ? null : requiredEnding(pattern.source);
      if (ending !== null) this.#addEnding(ending, value);
      else if (!isFound) unknown.push(value);
    }
    this.unknown = unknown;
  }

  /**
   * Where between `from`, the start of a line, and `to` a word stands for which a line may be meant; `to` when there is none. The last of
   * the bytes are not looked at: a line that has not ended is for `find`.
   */
  search(bytes: Uint8Array, from: number, to: number): number {
    return this.unknown.length > 0 ? from : this.#search(bytes, from, from, to);
  }

  /** Whether a line, from `start` to `end` of a text, ends as lines do that may be meant. */
  endsTelling(text: string, start: number, end: number): boolean {
    const endings = this.#endings[text.charCodeAt(end - 1)] ?? NOTHING;
    return endings.length > 0 && endings.some((ending) => isEnding(text, start, end, ending));
  }

  /** The values that a line may be meant for: each once, in no order. */
  find(line: string): readonly Value[] {
    if (line.length + WINDOW > this.#line.length) this.#line = Buffer.alloc(2 * line.length + WINDOW);
    const bytes = this.#line;
    const { length } = line;
    bytes.write(line, 'latin1');
    let found: readonly Value[] = this.unknown;
    for (let at = this.#search(bytes, 0, 0, length); at < length; at = this.#search(bytes, 0, at + STRIDE, length))
      for (const word of this.#words[hashAt(bytes, at)] ?? NOTHING)
        if (isWordAt(bytes, at, word, 0, length)) found = union(found, word.values);
    for (const ending of this.#endings[line.charCodeAt(length - 1)] ?? NOTHING)
      if (isEnding(line, 0, length, ending)) found = union(found, [ending.value]);
    return found;
  }

  /** The loop that every byte goes through. A word begins at `start` or later. */
  #search(bytes: Uint8Array, start: number, from: number, to: number): number {
    const clues = this.#clues;
    const end = Math.min(to, bytes.length - WINDOW + 1);
    if (from >= end) return to;
    let pair = bytes[from]! | (bytes[from + 1]! << 8);
    for (let at = from; at < end; at += STRIDE) {
      const next = bytes[at + 2]! | (bytes[at + 3]! << 8);
      const key = hash(pair, next);
      const clue = clues[key]!;
      if (clue !== 0 && isRight(clue, bytes, at) && this.#isAnyAt(this.#words[key]!, bytes, at, start, to)) return at;
      pair = next;
    }
    return to;
  }

  #isAnyAt(words: readonly Word<Value>[], bytes: Uint8Array, at: number, start: number, end: number): boolean {
    for (let index = 0; index < words.length; index += 1) if (isWordAt(bytes, at, words[index]!, start, end)) return true;
    return false;
  }

  #addEnding({ before, characters }: RequiredEnding, value: Value): void {
    const codes = [...characters].map((character) => character.charCodeAt(0));
    const ending = { before: before.charCodeAt(0), isBehind: new Uint8Array(256), value };
    for (const code of codes) {
      ending.isBehind[code] = 1;
      this.#endings[code] = [...this.#endings[code]!, ending];
    }
  }

  #add(text: string, value: Value): void {
    // In a word of three the windows begin before it: two characters alone would be met everywhere.
    for (const offset of text.length === SHORTEST ? [-1, 0] : [0, 1]) {
      for (const key of hashesOf(text, offset)) {
        const [clue, other] = [clueOf(text, offset), this.#clues[key]!];
        this.#clues[key] = other === 0 || other === clue ? clue : ANY;
        const words = (this.#words[key] ??= []);
        const known = words.find((word) => word.text === text && word.offset === offset);
        if (known === undefined) words.push({ text, codes: Buffer.from(text, 'latin1'), offset, values: [value] });
        else if (!known.values.includes(value)) known.values.push(value);
      }
    }
  }
}

/** Of the window at `offset` of a word. A tab is shown as spaces; before and behind the word stands anything. */
function hashesOf(word: string, offset: number): ReadonlySet<number> {
  const codes = (at: number): readonly number[] =>
    word[at] === ' ' ? [SPACE, TAB] : word[at] === undefined ? BYTES : [word.charCodeAt(at)];
  const pairs = (at: number): readonly number[] =>
    codes(at).flatMap((first) => codes(at + 1).map((second) => first | (second << 8)));
  return new Set(pairs(offset).flatMap((pair) => pairs(offset + 2).map((next) => hash(pair, next))));
}

/** A character far behind the window's start; in a short word its second one, marked. */
function clueOf(word: string, offset: number): number {
  const far = word[offset + FAR] ?? ' ';
  if (far !== ' ') return far.charCodeAt(0);
  return word[offset + 1] === ' ' ? ANY : 0x80 | word.charCodeAt(offset + 1);
}

function isRight(clue: number, bytes: Uint8Array, at: number): boolean {
  return clue === ANY || clue === (clue < 0x80 ? bytes[at + FAR] : 0x80 | bytes[at + 1]!);
}

function hashAt(bytes: Uint8Array, at: number): number {
  return hash(bytes[at]! | (bytes[at + 1]! << 8), bytes[at + 2]! | (bytes[at + 3]! << 8));
}

/** Whether the window at `at` is this word's, and all of it stands between `start` and `end`. */
function isWordAt<Value>(bytes: Uint8Array, at: number, { codes, offset }: Word<Value>, start: number, end: number): boolean {
  const from = at - offset;
  let index = codes.length - 1;
  if (from < start || from + index >= end) return false;
  for (; index >= 0; index -= 1) {
    const byte = bytes[from + index]!;
    if (byte !== codes[index] && !(byte === TAB && codes[index] === SPACE)) return false;
  }
  return true;
}

function isEnding<Value>(text: string, start: number, end: number, { before, isBehind }: Ending<Value>): boolean {
  let at = end - 1;
  while (at > start && isBehind[text.charCodeAt(at)] === 1) at -= 1;
  return text.charCodeAt(at) === before;
}

function union<Value>(some: readonly Value[], others: readonly Value[]): readonly Value[] {
  if (some.length === 0 || others.length === 0) return some.length === 0 ? others : some;
  const added = others.filter((value) => !some.includes(value));
  return added.length === 0 ? some : [...some, ...added];
}
