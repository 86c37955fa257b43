// Places in JavaScript that stand in text, `/app/dist/main.js:1:20345` as V8 prints them in stacks (src/objects/call-site-info.cc
// SerializeCallSiteInfo) or without the column, and what people wrote there.

import type { SourceMaps } from '../../symbolize/source-maps.ts';
import { printable } from './addr2line.ts';

/** A place in a script that stands in text and that a source map knows: UTF-16 offsets, and the source. */
export interface ScriptMention {
  readonly start: number;
  readonly end: number;
  readonly source: OriginalPlace;
}

/** What people wrote: `column` and `function` are null where they are not known or no others. */
export interface OriginalPlace {
  readonly file: string;
  readonly line: number;
  readonly column: number | null;
  readonly function: string | null;
}

const PLACE = /\.[cm]?js:(\d{1,9})(?::(\d{1,9}))?(?![\d:])/g;
/** So much of what stands before `.js` is looked at, of which the path at the end may be so long. */
const LONGEST = 1_024;
const LONGEST_PATH = 512;
const NO_PATH = [' ', '\t', '\r', '(', ')', "'", '"', '<', '>', '|'];
/** `    at async new e.run [as go] (`, `    at eval (`, and numbered after an abort: ` 2: run (`. */
const CALLED = /(?:\bat|\d:) (?:async )?((?:new )?[^\s()]{1,256}(?: \[as [^\]]{1,256}\])?) \($/;

/** The places of scripts in `text` that `maps` know, left to right; `before` is what stands in front of it on the same line. */
export function findScriptMentions(text: string, before: string, maps: SourceMaps): readonly ScriptMention[] {
  if (!text.includes('js:')) return [];
  return [...text.matchAll(PLACE)].flatMap(({ index, 0: whole, 1: line, 2: column }) => {
    const nearby = text.slice(Math.max(0, index - LONGEST), index);
    const prefix = index < LONGEST ? (before + nearby).slice(-LONGEST) : nearby;
    const path = prefix.slice(startOfPath(prefix));
    if (path === '') return [];
    const file = Buffer.from(path + whole.slice(0, whole.indexOf(':')), 'latin1').toString('utf8');
    const called = prefix.at(-1 - path.length) === '(' ? (CALLED.exec(prefix.slice(0, -path.length))?.[1] ?? null) : null;
    const source = findSource(file, Number(line), column === undefined ? null : Number(column), called, maps);
    return source === null ? [] : [{ start: Math.max(0, index - path.length), end: index + whole.length, source }];
  });
}

/** Looked for backwards: a pattern that is tried from everywhere costs the square of what it may match. */
function startOfPath(prefix: string): number {
  const near = prefix.slice(-LONGEST_PATH);
  return prefix.length - near.length + 1 + Math.max(...NO_PATH.map((char) => near.lastIndexOf(char)));
}

/** The place that a whole word is, `main.js:1:20345`; null when it is none, or when no map knows it. */
export function findScriptPlace(word: string, maps: SourceMaps): OriginalPlace | null {
  const [, file, line, column] = /^(.{1,1024}\.[cm]?js):(\d{1,9})(?::(\d{1,9}))?$/.exec(word) ?? [];
  return file === undefined ? null : findSource(file, Number(line), column === undefined ? null : Number(column), null, maps);
}

/** ` → handleRequest at src/server.ts:41:7`. */
export function describeOriginal({ file, line, column, function: name }: OriginalPlace): string {
  return ` → ${name === null ? '' : `${printable(name)} at `}${printable(file)}:${line}${column === null ? '' : `:${column}`}`;
}

function findSource(
  file: string,
  line: number,
  column: number | null,
  called: string | null,
  maps: SourceMaps,
): OriginalPlace | null {
  if (column !== null) return maps.map({ file, line, column, function: called });
  const whole = maps.mapLine(file, line);
  return whole === null ? null : { ...whole, column: null, function: null };
}
