// JSON as every output writes it: addresses alike, and nothing in it that a terminal acts upon.

import { formatAddress } from './address.ts';

/** What JSON allows in strings and a terminal acts upon: C1 controls (U+009B begins an escape sequence), and what reorders text. */
const UNSEEN = /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A document without its line end: bigint → "0x…", bytes → base64, maps → objects; `indent` blanks a level, 0 = on one line. */
export function encodeJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, replace, indent).replace(UNSEEN, escape);
}

function replace(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return formatAddress(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Map) return Object.fromEntries(value as Map<string, unknown>);
  return value;
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
