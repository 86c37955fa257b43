// A table of names in little memory: a name is where its bytes are in .debug_str (or in a pool of those that are nowhere else) and
// the name it is qualified by, and becomes a JavaScript string only when somebody asks for one that has its hash.

import { decodeText } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import { type DebugSection, malformed } from './section.ts';

/** Number of a name in a table; `NO_NAME` of none. */
export type NameNumber = number;
export const NO_NAME: NameNumber = 0;

/** Names one table may hold; a 560 MB kernel has some hundred thousand. */
const MAX_NAMES = 1 << 23;
const MAX_POOL = 1 << 28;
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const COLON = 0x3a;

/** Names by number, and numbers by name. The bytes of a name may stand in several places: then it has several numbers. */
export class NameTable {
  private readonly strings: DebugSection | null;
  /** Of each name: its bytes at an offset of .debug_str, or at −1 − offset of the pool; and the name before `::`. */
  private readonly places: number[] = [-1];
  private readonly prefixes: number[] = [NO_NAME];
  private slots = new Int32Array(1 << 10);
  /** NUL-terminated strings. */
  private pool = new Uint8Array(1 << 10);
  private poolSize = 1;
  private readonly pooled = new Map<number, number[]>();
  private hashed: { readonly hashes: Int32Array; readonly heads: Int32Array; readonly next: Int32Array } | null = null;

  /** `strings`: the .debug_str that offsets are of. */
  constructor(strings: DebugSection | null) {
    this.strings = strings;
  }

  /** Whether offsets of `section` are what `ofString` takes. */
  isOf(section: DebugSection | null): boolean {
    return section !== null && section === this.strings;
  }

  /** Names it holds; their numbers are 1 to this. */
  get count(): number {
    return this.places.length - 1;
  }

  /** Bytes it keeps, about. */
  get cost(): number {
    return this.places.length * 16 + this.slots.byteLength + this.pool.length + this.pooled.size * 64;
  }

  /** The name whose bytes are at `offset` of .debug_str. */
  ofString(prefix: NameNumber, offset: number): NameNumber {
    return this.numberOf(prefix, offset);
  }

  /** The name that bytes [start, end) spell. */
  ofBytes(prefix: NameNumber, bytes: Uint8Array, start: number, end: number): NameNumber {
    return this.numberOf(prefix, -1 - this.placeInPool(bytes, start, end));
  }

  ofText(prefix: NameNumber, text: string): NameNumber {
    const bytes = Buffer.from(text);
    return this.ofBytes(prefix, bytes, 0, bytes.length);
  }

  /** Numbers of the names that read `name`. A name that cannot be read is told to `complain`, once. */
  find(name: string, complain: (error: UnidbgError) => void): NameNumber[] {
    const { hashes, heads, next } = (this.hashed ??= this.hashNames(complain));
    const found: NameNumber[] = [];
    for (const bytes of spellings(name)) {
      const hash = hashBytes(FNV_OFFSET, bytes, 0, bytes.length);
      for (let at = heads[hash & (heads.length - 1)]!; at !== NO_NAME; at = next[at]!) {
        if (hashes[at] === hash && this.textOf(at) === name) found.push(at);
      }
    }
    return found;
  }

  private numberOf(prefix: NameNumber, place: number): NameNumber {
    const { places, prefixes, slots } = this;
    const mask = slots.length - 1;
    let slot = slotOf(prefix, place) & mask;
    for (let known = slots[slot]!; known !== NO_NAME; known = slots[slot]!) {
      if (places[known] === place && prefixes[known] === prefix) return known;
      slot = (slot + 1) & mask;
    }
    const number = places.length;
    if (number > MAX_NAMES) throw malformed('.debug_info', `more than ${MAX_NAMES} names`);
    places.push(place);
    prefixes.push(prefix);
    slots[slot] = number;
    this.hashed = null;
    if (number * 2 > slots.length) this.grow();
    return number;
  }

  private grow(): void {
    const { places, prefixes } = this;
    const slots = new Int32Array(this.slots.length * 2);
    const mask = slots.length - 1;
    for (let number = 1; number < places.length; number += 1) {
      let slot = slotOf(prefixes[number]!, places[number]!) & mask;
      while (slots[slot] !== NO_NAME) slot = (slot + 1) & mask;
      slots[slot] = number;
    }
    this.slots = slots;
  }

  private placeInPool(bytes: Uint8Array, start: number, end: number): number {
    const hash = hashBytes(FNV_OFFSET, bytes, start, end);
    const known = this.pooled.get(hash);
    for (const place of known ?? []) if (this.poolHolds(place, bytes, start, end)) return place;
    const place = this.poolSize;
    const size = place + end - start + 1;
    if (size > MAX_POOL) throw malformed('.debug_info', `more than ${MAX_POOL} bytes of names`);
    if (size > this.pool.length) {
      const larger = new Uint8Array(Math.max(size, this.pool.length * 2));
      larger.set(this.pool);
      this.pool = larger;
    }
    this.pool.set(bytes.subarray(start, end), place);
    this.poolSize = size;
    if (known === undefined) this.pooled.set(hash, [place]);
    else if (known.length < MAX_EQUAL_HASHES) known.push(place);
    return place;
  }

  private poolHolds(place: number, bytes: Uint8Array, start: number, end: number): boolean {
    const { pool } = this;
    const length = end - start;
    for (let at = 0; at < length; at += 1) if (pool[place + at] !== bytes[start + at]) return false;
    return pool[place + length] === 0;
  }

  private hashNames(complain: (error: UnidbgError) => void): NonNullable<typeof this.hashed> {
    const { places, prefixes } = this;
    const count = places.length;
    const hashes = new Int32Array(count);
    const next = new Int32Array(count);
    const heads = new Int32Array(1 << Math.max(4, Math.ceil(Math.log2(count))));
    hashes[NO_NAME] = FNV_OFFSET;
    let isDamaged = false;
    for (let number = 1; number < count; number += 1) {
      const prefix = prefixes[number]!;
      const seed = prefix === NO_NAME ? FNV_OFFSET : hashSeparator(hashes[prefix]!);
      try {
        const hash = this.hashPlace(seed, places[number]!);
        hashes[number] = hash;
        next[number] = heads[hash & (heads.length - 1)]!;
        heads[hash & (heads.length - 1)] = number;
      } catch (error) {
        if (!(error instanceof UnidbgError)) throw error;
        if (!isDamaged) complain(error);
        isDamaged = true;
      }
    }
    return { hashes, heads, next };
  }

  private hashPlace(seed: number, place: number): number {
    const { strings } = this;
    if (place < 0) return hashBytes(seed, this.pool, -1 - place, this.pool.indexOf(0, -1 - place));
    if (strings === null) throw malformed('.debug_info', 'names are in a .debug_str that the file does not have');
    // Names are short: nearly all end within these bytes.
    const bytes = strings.slice(place, Math.min(48, Math.max(0, strings.size - place)));
    const end = bytes.indexOf(0);
    if (end >= 0) return hashBytes(seed, bytes, 0, end);
    const whole = strings.stringBytes(place);
    return hashBytes(seed, whole, 0, whole.length);
  }

  private textOf(number: NameNumber): string {
    const place = this.places[number]!;
    const prefix = this.prefixes[number]!;
    const own =
      place < 0 ? decodeText(this.pool.subarray(-1 - place, this.pool.indexOf(0, -1 - place))) : this.strings!.string(place);
    return prefix === NO_NAME ? own : `${this.textOf(prefix)}::${own}`;
  }
}

/** Strings of one hash that are told apart; more of them are a hostile file's. */
const MAX_EQUAL_HASHES = 8;

function slotOf(prefix: number, place: number): number {
  const mixed = Math.imul(place ^ Math.imul(prefix, 0x9e3779b1), 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

function hashBytes(seed: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = seed;
  for (let at = start; at < end; at += 1) hash = Math.imul(hash ^ bytes[at]!, FNV_PRIME);
  return hash;
}

function hashSeparator(seed: number): number {
  return Math.imul(Math.imul(seed ^ COLON, FNV_PRIME) ^ COLON, FNV_PRIME);
}

/** The bytes a name may be written in: see decodeText. */
function spellings(name: string): Uint8Array[] {
  const utf8 = Buffer.from(name);
  return utf8.length === name.length ? [utf8] : [utf8, Buffer.from(name, 'latin1')];
}
