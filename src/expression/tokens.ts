// An expectation's text → tokens, each with its place in the text.

import { UnidbgError } from '../model/error.ts';
import type { Dimension } from './syntax.ts';

/** A token; `at` is its UTF-16 offset. */
export type Token = { readonly at: number; readonly text: string } & (
  | { readonly type: 'name' | 'string' | 'symbol' | 'end' }
  | { readonly type: 'number'; readonly value: number; readonly dimension: Dimension }
  | { readonly type: 'regex'; readonly pattern: RegExp }
);

const MAX_LENGTH = 2_000;

const UNITS: Readonly<Record<string, readonly [factor: number, dimension: Dimension]>> = {
  '': [1, 'plain'],
  '%': [0.01, 'plain'],
  B: [1, 'bytes'],
  KiB: [1024, 'bytes'],
  MiB: [1024 ** 2, 'bytes'],
  GiB: [1024 ** 3, 'bytes'],
  K: [1024, 'bytes'],
  M: [1024 ** 2, 'bytes'],
  G: [1024 ** 3, 'bytes'],
  ns: [1e-9, 'seconds'],
  us: [1e-6, 'seconds'],
  µs: [1e-6, 'seconds'],
  ms: [1e-3, 'seconds'],
  s: [1, 'seconds'],
  m: [60, 'seconds'],
  h: [3600, 'seconds'],
};

const SPACE = /\s*/y;
const NUMBER = /(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(%|[A-Za-zµ]*)/y;
/** A metric's name, an attribute's, a word. Dots join; a name does not end in one. */
const NAME = /[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*/y;
const STRING = /"([^"]*)"|'([^']*)'/y;
const REGEX = /\/((?:[^/\\\n]|\\.)+)\/([imsu]*)/y;
const SYMBOL = /!~|<=|>=|==|!=|[<>~{}(),=+\-*/]/y;

/** Splits; the last token is `end`. Throws USAGE, showing the place. */
export function tokenize(text: string): readonly Token[] {
  if (text.length > MAX_LENGTH)
    throw new UnidbgError('USAGE', `an expectation of ${text.length} characters: at most ${MAX_LENGTH}`);
  const tokens: Token[] = [];
  for (let at = skipSpace(text, 0); at < text.length; at = skipSpace(text, at + tokens.at(-1)!.text.length)) {
    tokens.push(readToken(text, at, tokens.at(-1)));
  }
  return [...tokens, { type: 'end', at: text.length, text: '' }];
}

/** An error about one place of an expectation, with a caret under it. */
export function syntaxError(text: string, at: number, what: string): UnidbgError {
  return new UnidbgError('USAGE', `${what}\n  ${text}\n  ${' '.repeat(at)}^`);
}

function skipSpace(text: string, at: number): number {
  SPACE.lastIndex = at;
  return at + SPACE.exec(text)![0].length;
}

function readToken(text: string, at: number, before: Token | undefined): Token {
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(text);
  };
  // A slash is a regular expression only behind `~`: elsewhere it divides.
  if (before?.text === '~' || before?.text === '!~') return readRegex(text, at, match(REGEX));
  const number = match(NUMBER);
  if (number !== null) return readNumber(text, at, number);
  const name = match(NAME);
  if (name !== null) return { type: 'name', at, text: name[0] };
  // Quotes belong to the token's length, not to what it says: the parser takes them off.
  const string = match(STRING);
  if (string !== null) return { type: 'string', at, text: string[0] };
  const symbol = match(SYMBOL);
  if (symbol !== null) return { type: 'symbol', at, text: symbol[0] };
  throw syntaxError(text, at, `"${text[at] ?? ''}" has no meaning here`);
}

function readRegex(text: string, at: number, match: RegExpExecArray | null): Token {
  if (match === null) throw syntaxError(text, at, 'a regular expression is expected here: /listening on/');
  try {
    return { type: 'regex', at, text: match[0], pattern: new RegExp(match[1]!, match[2]) };
  } catch (error) {
    throw syntaxError(text, at, `no regular expression: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function readNumber(text: string, at: number, match: RegExpExecArray): Token {
  const unit = UNITS[match[2]!];
  if (unit === undefined || !Object.hasOwn(UNITS, match[2]!)) {
    throw syntaxError(text, at + match[1]!.length, `"${match[2]!}" is no unit: write 64MiB, 500ms, 80% or a plain number`);
  }
  return { type: 'number', at, text: match[0], value: Number(match[1]) * unit[0], dimension: unit[1] };
}
