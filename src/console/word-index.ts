// Finds words of a fixed set in lines of bytes, all at once, however many there are: a table of three characters in a row, looked up at every
// second place, so that each word is met by its first or its second three. Then the words themselves are compared.

import { type RequiredEnding, requiredEnding, requiredWords } from './required-words.ts';

interface Word<Value> {
  readonly text: string;
  /** Which three of the word are met: 0 or 1. */
  readonly offset: number;
  readonly values: Value[];
}

/** A value without a long word, told by how its line ends. */
interface Ending<Value> extends RequiredEnding {
  readonly value: Value;
}

const WINDOW = 3;
const STRIDE = 2;
const HASHES = 1 << 14;
const LF = 0x0a;
const CR = 0x0d;
const TAB = 0x09;
const SPACE = 0x20;
const BYTES = Array.from({ length: 256 }, (_, byte) => byte);
/** What nearly every line gives. */
const NOTHING: readonly never[] = [];

function hash(first: number, second: number, third: number): number {
  return (first ^ (second << 5) ^ (third << 9)) & (HASHES - 1);
}

/** Values, each under an anchored pattern: for which of them may a line be meant? */
export class WordIndex<Value> {
  readonly #isMet = new Uint8Array(HASHES);
  readonly #words: (Word<Value>[] | undefined)[] = Array.from({ length: HASHES });
  /** By a line's last character. */
  readonly #endings: (Ending<Value>[] | undefined)[] = Array.from({ length: 256 });
  /** Of these nothing is known: any line may be meant. */
  readonly unknown: readonly Value[];

  constructor(entries: readonly (readonly [Value, RegExp])[]) {
    const unknown: Value[] = [];
    for (const [value, pattern] of entries) {
      const words = pattern.flags === '' ? (requiredWords(pattern.source) ?? []) : [];
      const isFound = words.length > 0 && words.every((word) => word.length >= WINDOW);
      for (const word of isFound ? words : NOTHING) this.#add(word, value);
      const ending = isFound ? null : requiredEnding(pattern.source);
      if (ending !== null) this.#addEnding({ ...ending, value });
      else if (!isFound) unknown.push(value);
    }
    this.unknown = unknown;
  }

  /** Where in lines, from the start of one at `from`, is a place on the first that may be meant; `to` when none is. */
  search(bytes: Uint8Array, from: number, to: number): number {
    if (this.unknown.length > 0) return from;
    for (let at = this.#nextMet(bytes, from, to); at < to; at = this.#nextMet(bytes, at + STRIDE, to))
      if (this.#wordsAt(bytes, at, from).length > 0) return this.#searchEndings(bytes, from, at);
    return this.#searchEndings(bytes, from, to);
  }

  /** The values that the first `length` bytes, one line without its end, may be meant for: each once, in no order. */
  find(line: Uint8Array, length: number): readonly Value[] {
    let found: readonly Value[] = this.unknown.length > 0 ? this.unknown : NOTHING;
    for (let at = this.#nextMet(line, 0, length); at < length; at = this.#nextMet(line, at + STRIDE, length))
      for (const { values } of this.#wordsAt(line, at, 0)) found = union(found, values);
    return union(found, this.#endingsOf(line, 0, length));
  }

  /** The loop that every byte goes through. */
  #nextMet(bytes: Uint8Array, from: number, to: number): number {
    const isMet = this.#isMet;
    const end = to - WINDOW + 2; // behind a word of three stands anything, or nothing
    for (let at = from; at < end; at += STRIDE) if (isMet[hash(bytes[at]!, bytes[at + 1]!, bytes[at + 2]!)] !== 0) return at;
    return to;
  }

  #wordsAt(bytes: Uint8Array, at: number, from: number): readonly Word<Value>[] {
    let found: Word<Value>[] | null = null;
    for (const word of this.#words[hash(bytes[at]!, bytes[at + 1]!, bytes[at + 2]!)] ?? NOTHING)
      if (at - word.offset >= from && isAt(bytes, at - word.offset, word.text)) (found ??= []).push(word);
    return found ?? NOTHING;
  }

  #searchEndings(bytes: Uint8Array, from: number, to: number): number {
    for (let start = from, end = bytes.indexOf(LF, start); end >= 0 && end < to; end = bytes.indexOf(LF, start)) {
      if (this.#endingsOf(bytes, start, bytes[end - 1] === CR ? end - 1 : end).length > 0) return start;
      start = end + 1;
    }
    return to;
  }

  #endingsOf(bytes: Uint8Array, start: number, end: number): readonly Value[] {
    const endings = start < end ? this.#endings[bytes[end - 1]!] : undefined;
    if (endings === undefined) return NOTHING;
    return endings.filter((ending) => isEnding(bytes, start, end, ending)).map(({ value }) => value);
  }

  #addEnding(ending: Ending<Value>): void {
    for (const one of ending.characters) (this.#endings[one.charCodeAt(0)] ??= []).push(ending);
  }

  #add(text: string, value: Value): void {
    for (let offset = 0; offset < STRIDE; offset += 1) {
      for (const key of hashesOf(text.slice(offset, offset + WINDOW))) {
        this.#isMet[key] = 1;
        const words = (this.#words[key] ??= []);
        const known = words.find((word) => word.text === text && word.offset === offset);
        if (known === undefined) words.push({ text, offset, values: [value] });
        else if (!known.values.includes(value)) known.values.push(value);
      }
    }
  }
}

/** A tab is shown as spaces; behind the end of a word of three stands anything. */
function hashesOf(window: string): readonly number[] {
  const codes = (at: number): readonly number[] =>
    window[at] === ' ' ? [SPACE, TAB] : window[at] === undefined ? BYTES : [window.charCodeAt(at)];
  return codes(0).flatMap((first) => codes(1).flatMap((second) => codes(2).map((third) => hash(first, second, third))));
}

function isAt(bytes: Uint8Array, start: number, word: string): boolean {
  if (start + word.length > bytes.length) return false;
  for (let index = word.length - 1; index >= 0; index -= 1) {
    const byte = bytes[start + index]!;
    if (byte !== word.charCodeAt(index) && !(byte === TAB && word.charCodeAt(index) === SPACE)) return false;
  }
  return true;
}

function isEnding(bytes: Uint8Array, start: number, end: number, { before, characters }: RequiredEnding): boolean {
  let at = end - 1;
  while (at > start && characters.has(String.fromCharCode(bytes[at]!))) at -= 1;
  return bytes[at] === before.charCodeAt(0);
}

function union<Value>(some: readonly Value[], others: readonly Value[]): readonly Value[] {
  if (some.length === 0 || others.length === 0) return some.length === 0 ? others : some;
  const added = others.filter((value) => !some.includes(value));
  return added.length === 0 ? some : [...some, ...added];
}
