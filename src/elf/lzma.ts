// LZMA as LZMA2 chunks carry it (LZMA specification of the LZMA SDK; names of the probabilities as there): a range decoder over
// adaptive bits, literals, and matches copied from what was unpacked before.

import { UnidbgError } from '../model/error.ts';

const STATES = 12;
const POSITION_STATES = 16;
const LENGTH_PROBABILITIES = 2 + POSITION_STATES * 8 * 2 + 256;

// Where each group begins in one array of probabilities.
const IS_MATCH = 0;
const IS_REP = IS_MATCH + STATES * POSITION_STATES;
const IS_REP_G0 = IS_REP + STATES;
const IS_REP_G1 = IS_REP_G0 + STATES;
const IS_REP_G2 = IS_REP_G1 + STATES;
const IS_REP0_LONG = IS_REP_G2 + STATES;
const POSITION_SLOT = IS_REP0_LONG + STATES * POSITION_STATES;
const POSITION_SPECIAL = POSITION_SLOT + 4 * 64;
const ALIGN = POSITION_SPECIAL + 128;
const LENGTH = ALIGN + 16;
const REP_LENGTH = LENGTH + LENGTH_PROBABILITIES;
const LITERAL = REP_LENGTH + LENGTH_PROBABILITIES;
const LITERAL_SIZE = 0x300;

const PROBABILITY_ONE = 2048;
const TOP = 2 ** 24;

/** Unpacks chunks into `out` one after the other. Throws ELF_MALFORMED for what no encoder writes. */
export class LzmaDecoder {
  readonly out: Uint8Array;
  /** Bytes unpacked so far. */
  position = 0;
  private dictionaryStart = 0;
  private probabilities = new Uint16Array(LITERAL);
  private literalContextBits = 0;
  private literalPositionMask = 0;
  private positionMask = 0;
  private state = 0;
  private readonly reps = [0, 0, 0, 0];
  private packed: Uint8Array = new Uint8Array(0);
  private at = 0;
  private range = 0;
  private code = 0;

  constructor(out: Uint8Array) {
    this.out = out;
  }

  /** What is unpacked from here on refers to nothing before. */
  resetDictionary(): void {
    this.dictionaryStart = this.position;
  }

  /** Takes the properties byte (lc, lp, pb) and starts afresh. */
  setProperties(byte: number): void {
    const positionBits = Math.floor(byte / 45);
    const literalPositionBits = Math.floor((byte % 45) / 9);
    const literalContextBits = byte % 9;
    if (positionBits > 4 || literalContextBits + literalPositionBits > 4) throw malformed(`its properties are ${byte}`);
    this.positionMask = (1 << positionBits) - 1;
    this.literalPositionMask = (1 << literalPositionBits) - 1;
    this.literalContextBits = literalContextBits;
    this.probabilities = new Uint16Array(LITERAL + (LITERAL_SIZE << (literalContextBits + literalPositionBits)));
    this.resetState();
  }

  resetState(): void {
    this.probabilities.fill(PROBABILITY_ONE / 2);
    this.state = 0;
    this.reps.fill(0);
  }

  /** Appends bytes that were not packed. */
  store(bytes: Uint8Array): void {
    if (this.position + bytes.length > this.out.length) throw malformed('it unpacks to more than it says');
    this.out.set(bytes, this.position);
    this.position += bytes.length;
  }

  /** Unpacks one chunk to `size` bytes. */
  decode(packed: Uint8Array, size: number): void {
    const end = this.position + size;
    if (end > this.out.length) throw malformed('it unpacks to more than it says');
    if (packed[0] !== 0) throw malformed('a chunk does not begin with 0');
    this.packed = packed;
    this.at = 1;
    this.range = 0xffff_ffff;
    this.code = 0;
    for (let count = 0; count < 4; count += 1) this.code = ((this.code << 8) | this.nextByte()) >>> 0;
    while (this.position < end) {
      const positionState = (this.position - this.dictionaryStart) & this.positionMask;
      if (this.bit(IS_MATCH + this.state * POSITION_STATES + positionState) === 0) this.literal();
      else this.copy(this.bit(IS_REP + this.state) === 0 ? this.match(positionState) : this.repeat(positionState), end);
    }
    if (this.at !== packed.length || this.code !== 0) throw malformed('a chunk does not end where it says');
  }

  private literal(): void {
    const { out, position } = this;
    const before = position > this.dictionaryStart ? out[position - 1]! : 0;
    const place = (position - this.dictionaryStart) & this.literalPositionMask;
    const base = LITERAL + LITERAL_SIZE * ((place << this.literalContextBits) + (before >> (8 - this.literalContextBits)));
    let symbol = 1;
    if (this.state >= 7) {
      let matched = this.byteBack(this.reps[0]!);
      let offset = 0x100;
      while (symbol < 0x100) {
        matched <<= 1;
        const matchedBit = matched & offset;
        const bit = this.bit(base + offset + matchedBit + symbol);
        symbol = (symbol << 1) | bit;
        offset &= bit === 0 ? ~matchedBit : matchedBit;
      }
    } else {
      while (symbol < 0x100) symbol = (symbol << 1) | this.bit(base + symbol);
    }
    out[position] = symbol & 0xff;
    this.position = position + 1;
    if (this.state < 4) this.state = 0;
    else this.state -= this.state < 10 ? 3 : 6;
  }

  /** A match with a distance of its own; gives its length. */
  private match(positionState: number): number {
    const { reps } = this;
    reps[3] = reps[2]!;
    reps[2] = reps[1]!;
    reps[1] = reps[0]!;
    this.state = this.state < 7 ? 7 : 10;
    const length = this.length(LENGTH, positionState);
    const slot = this.tree(POSITION_SLOT + Math.min(length - 2, 3) * 64, 6);
    reps[0] = slot < 4 ? slot : this.distance(slot);
    return length;
  }

  private distance(slot: number): number {
    const bits = (slot >> 1) - 1;
    const high = ((2 | (slot & 1)) << bits) >>> 0;
    if (slot < 14) return high + this.reverseTree(POSITION_SPECIAL + high - slot - 1, bits);
    let direct = 0;
    for (let count = bits - 4; count > 0; count -= 1) direct = (direct << 1) | this.directBit();
    return high + (direct << 4) + this.reverseTree(ALIGN, 4);
  }

  /** A match at one of the last four distances; gives its length. */
  private repeat(positionState: number): number {
    const { reps, state } = this;
    if (this.bit(IS_REP_G0 + state) === 0) {
      if (this.bit(IS_REP0_LONG + state * POSITION_STATES + positionState) === 0) {
        this.state = state < 7 ? 9 : 11;
        return 1;
      }
    } else {
      let which = 1;
      if (this.bit(IS_REP_G1 + state) !== 0) which = this.bit(IS_REP_G2 + state) === 0 ? 2 : 3;
      const distance = reps[which]!;
      reps.copyWithin(1, 0, which);
      reps[0] = distance;
    }
    this.state = state < 7 ? 8 : 11;
    return this.length(REP_LENGTH, positionState);
  }

  private copy(length: number, end: number): void {
    const distance = this.reps[0]!;
    this.byteBack(distance);
    if (this.position + length > end) throw malformed('a match goes beyond its chunk');
    const { out } = this;
    for (let left = length, to = this.position, from = to - distance - 1; left > 0; left -= 1) out[to++] = out[from++]!;
    this.position += length;
  }

  private byteBack(distance: number): number {
    if (distance >= this.position - this.dictionaryStart) throw malformed('a match begins before the data');
    return this.out[this.position - distance - 1]!;
  }

  private length(base: number, positionState: number): number {
    if (this.bit(base) === 0) return 2 + this.tree(base + 2 + positionState * 8, 3);
    if (this.bit(base + 1) === 0) return 10 + this.tree(base + 2 + POSITION_STATES * 8 + positionState * 8, 3);
    return 18 + this.tree(base + 2 + POSITION_STATES * 16, 8);
  }

  private tree(base: number, bits: number): number {
    let symbol = 1;
    for (let count = 0; count < bits; count += 1) symbol = (symbol << 1) | this.bit(base + symbol);
    return symbol - (1 << bits);
  }

  private reverseTree(base: number, bits: number): number {
    let node = 1;
    let symbol = 0;
    for (let count = 0; count < bits; count += 1) {
      const bit = this.bit(base + node);
      node = (node << 1) | bit;
      symbol |= bit << count;
    }
    return symbol;
  }

  private bit(index: number): 0 | 1 {
    const probability = this.probabilities[index]!;
    const bound = (this.range >>> 11) * probability;
    const isZero = this.code < bound;
    if (isZero) {
      this.range = bound;
      this.probabilities[index] = probability + ((PROBABILITY_ONE - probability) >> 5);
    } else {
      this.range -= bound;
      this.code -= bound;
      this.probabilities[index] = probability - (probability >> 5);
    }
    if (this.range < TOP) this.normalise();
    return isZero ? 0 : 1;
  }

  private directBit(): 0 | 1 {
    this.range >>>= 1;
    const isOne = this.code >= this.range;
    if (isOne) this.code -= this.range;
    if (this.range < TOP) this.normalise();
    return isOne ? 1 : 0;
  }

  private normalise(): void {
    this.range = (this.range << 8) >>> 0;
    this.code = ((this.code << 8) | this.nextByte()) >>> 0;
  }

  private nextByte(): number {
    const byte = this.packed[this.at];
    if (byte === undefined) throw malformed('a chunk ends early');
    this.at += 1;
    return byte;
  }
}

function malformed(why: string): UnidbgError {
  return new UnidbgError('ELF_MALFORMED', `LZMA data is damaged: ${why}`);
}
