// One script and its source map: positions by the map, names of functions by the map at the place where the script defines them.

import { resolve } from 'node:path';
import { errorMessage, UnidbgError } from '../model/error.ts';
import { findAround, readScriptFunctions, type ScriptFunction, type Span } from './script-functions.ts';
import { readScript, type ScriptFile } from './source-map-files.ts';
import { decoded } from './source-map-text.ts';

/** A place in a script as V8 prints it: line and column count from 1. */
export interface ScriptPosition {
  /** The guest's path or `file:` URL. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** As V8 calls the function: `e`, `new t`, `t.handle`; null or left out where it has none. */
  readonly function?: string | null;
}

/** A place in the source that people wrote: line and column count from 1. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** What the source calls the function, where the script calls it otherwise and that is sure; else null. */
  readonly function: string | null;
}

/** What is used of the `source-map` package's consumers: lines count from 1, columns from 0. */
export interface MapConsumer {
  originalPositionFor(place: { readonly line: number; readonly column: number; readonly bias?: number }): MapEntry;
  destroy(): void;
}

interface MapEntry {
  readonly source: string | null;
  readonly line: number | null;
  readonly column: number | null;
  readonly name: string | null;
}

interface ScriptText {
  readonly text: string;
  /** Offset of each line's first character. */
  readonly lines: readonly number[];
  readonly functions: readonly ScriptFunction[];
}

/** The package's constants: the nearest mapping before a place, or behind it. */
const AT_OR_BEFORE = 1;
const AT_OR_BEHIND = 2;
const LINE_END = /\r\n|[\n\r\u2028\u2029]/g;
/** Positions of one script that are remembered. */
const MAX_KNOWN = 10_000;
const MAX_COLUMN = 2 ** 31 - 1;
/** `e`, `new e`, `e.handle`, `e.handle [as run]`. */
const CALLED = /^(?:async )?(new )?([\w$\u0080-\uffff]{1,256})(\.[^\s]{1,256}(?: \[as .{1,256}\])?)?$/;
const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]{0,255}$/u;

/** A script as it lies here; its text is read when the first name is asked for. */
export class MappedScript {
  readonly path: string;
  readonly isThere: boolean;
  readonly parts: readonly string[];
  /** Why it has no map though it should; null otherwise. */
  readonly lack: string | null;
  /** The guest's file that this is taken for, and how much of their paths is the same. */
  claimedBy: { readonly file: string; readonly common: number } | null = null;
  private readonly sources: readonly (string | null)[];
  private readonly known = new Map<string, SourcePosition | null>();
  private consumer: MapConsumer | null;
  private script: ScriptText | null = null;

  /** Owns `consumer`; null = the script has no map. `sources`: what the consumer's `0`, `1`, … are. */
  constructor(file: ScriptFile, consumer: MapConsumer | null, sources: readonly (string | null)[]) {
    this.path = file.path;
    this.isThere = file.isThere;
    this.lack = file.lack;
    this.parts = partsOf(resolve(file.path));
    this.consumer = consumer;
    this.sources = sources;
  }

  get hasMap(): boolean {
    return this.consumer !== null;
  }

  /** Throws SOURCE_MAP_MALFORMED, FILE_UNREADABLE. */
  map(position: ScriptPosition): SourcePosition | null {
    const key = `${position.line}:${position.column}:${position.function ?? ''}`;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const found = this.look(position);
    if (this.known.size < MAX_KNOWN) this.known.set(key, found);
    return found;
  }

  /** Where all of a line comes from; null when that is more than one line. Throws as `map`. */
  mapLine(line: number): { readonly file: string; readonly line: number } | null {
    const first = this.find(line, 0, AT_OR_BEHIND);
    const last = this.find(line, MAX_COLUMN, AT_OR_BEFORE);
    if (first === null || last?.file !== first.file || last.line !== first.line) return null;
    return { file: first.file, line: first.line };
  }

  close(): void {
    this.consumer?.destroy();
    this.consumer = null;
  }

  private look({ line, column, function: called }: ScriptPosition): SourcePosition | null {
    if (this.consumer === null || line < 1 || column < 1) return null;
    const script = this.isThere ? this.readScript() : null;
    const offset = script === null ? null : offsetOf(script, line, column);
    if (script !== null && (offset === null || isInsideWord(script.text, offset))) return null;
    const found = this.find(line, column - 1, AT_OR_BEFORE);
    if (found === null) return null;
    const name = script === null || offset === null || called == null ? null : this.nameOf(called, script, offset);
    return { file: found.file, line: found.line, column: found.column + 1, function: name };
  }

  /** The name of a function is at its definition. One that is called otherwise where it is defined is another function. */
  private nameOf(called: string, script: ScriptText, offset: number): string | null {
    const [, isNew = '', name, member = ''] = CALLED.exec(called) ?? [];
    if (name === undefined) return null;
    const definition = findDefinition(script, offset, { name, isNew: isNew !== '', isMember: member !== '' });
    const original = definition === null ? null : this.nameAt(script, definition);
    return original === null || original === name ? null : isNew + original + member;
  }

  /** The original name of an identifier: a mapping begins there, not before it. */
  private nameAt(script: ScriptText, { start }: Span): string | null {
    const line = lineOf(script, start);
    const column = start - script.lines[line - 1]!;
    const [before, behind] = [this.find(line, column, AT_OR_BEFORE), this.find(line, column, AT_OR_BEHIND)];
    if (before === null || behind === null || before.name !== behind.name) return null;
    if (before.file !== behind.file || before.line !== behind.line || before.column !== behind.column) return null;
    return before.name !== null && IDENTIFIER.test(before.name) ? before.name : null;
  }

  private find(
    line: number,
    column: number,
    bias: number,
  ): { file: string; line: number; column: number; name: string | null } | null {
    if (this.consumer === null || line > MAX_COLUMN || column > MAX_COLUMN) return null;
    let entry: MapEntry;
    try {
      entry = this.consumer.originalPositionFor({ line, column, bias });
    } catch (error) {
      // The package's own words for mappings that are none, and WebAssembly's for those that it cannot hold.
      const message = `the source map of ${this.path} is malformed: ${errorMessage(error)}`;
      throw new UnidbgError('SOURCE_MAP_MALFORMED', message, { cause: error });
    }
    const file = entry.source === null ? null : (this.sources[Number(entry.source)] ?? null);
    if (file === null || entry.line === null || entry.column === null) return null;
    return { file, line: entry.line, column: entry.column, name: entry.name };
  }

  private readScript(): ScriptText {
    this.script ??= parseScript(readScript(this.path));
    return this.script;
  }
}

/** Path or `file:` URL → its parts. */
export function partsOf(path: string): readonly string[] {
  const plain = path.startsWith('file://') ? decoded(path.slice('file://'.length)) : path;
  return plain.split(/[\\/]+/).filter((part) => part !== '' && part !== '.');
}

/** The identifier by which the function at `offset` is called, when it is called `name`. */
function findDefinition(
  { text, functions }: ScriptText,
  offset: number,
  { name, isNew, isMember }: { readonly name: string; readonly isNew: boolean; readonly isMember: boolean },
): Span | null {
  const around = [...findAround(functions, offset)];
  const [innermost] = around;
  const isOfClass = isMember || (isNew && innermost?.kind !== 'function');
  const definition = isOfClass ? around.find(({ kind }) => kind === 'class') : innermost;
  if (definition?.name == null || (isOfClass && innermost?.kind !== 'method')) return null;
  if (definition.kind === 'method') return null;
  return text.slice(definition.name.start, definition.name.end) === name ? definition.name : null;
}

function parseScript(text: string): ScriptText {
  const lines = [0];
  for (const match of text.matchAll(LINE_END)) lines.push(match.index + match[0].length);
  return { text, lines, functions: readScriptFunctions(text) };
}

/** Null when the script has no such place. */
function offsetOf({ text, lines }: ScriptText, line: number, column: number): number | null {
  const start = lines[line - 1];
  const end = lines[line] ?? text.length + 1;
  return start === undefined || start + column - 1 >= end ? null : start + column - 1;
}

/** V8 says where a token begins: a place in the middle of one is of another script. */
function isInsideWord(text: string, offset: number): boolean {
  return /^[\w$]{2}/.test(text.slice(Math.max(0, offset - 1), offset + 1));
}

function lineOf({ lines }: ScriptText, offset: number): number {
  let [low, high] = [0, lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lines[middle]! <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
