// The JSON of a source map (ECMA-426, clauses 8 and 9), checked and made plain: fields have their types, sizes have bounds, and
// sources are numbers for the consumer, whose names for people are made here. Nothing that a map names is ever opened.

import { posix } from 'node:path';
import { UnidbgError } from '../model/error.ts';

/** A map that the `source-map` consumer takes, sources named `0`, `1`, … by their place in `sources`. */
export interface PlainSourceMap {
  readonly consumable: PlainMap | { readonly version: 3; readonly sections: readonly PlainSection[] };
  /** Paths of the original files as seen from where the map lies; null = the map does not say. */
  readonly sources: readonly (string | null)[];
  /** The script that it says it is of, as written; null when it does not say. */
  readonly file: string | null;
}

interface PlainMap {
  readonly version: 3;
  readonly sources: string[];
  readonly names: string[];
  readonly mappings: string;
}

interface PlainSection {
  readonly offset: { readonly line: number; readonly column: number };
  readonly map: PlainMap;
}

type Json = Readonly<Record<string, unknown>>;

const MAX_SECTIONS = 50_000;
/** Each mapping takes some 25 times its text in the consumer. */
const MAX_MAPPINGS = 32 * 1024 * 1024;
const MAX_SOURCES = 100_000;
const MAX_NAMES = 5_000_000;
const MAX_PATH = 1_024;

/** Decodes a map; `folder` is where it lies, and may be relative. Throws SOURCE_MAP_MALFORMED; `what` names it in the message. */
export function decodeSourceMap(text: string, folder: string, what: string): PlainSourceMap {
  const decoder = new Decoder(folder, what);
  const consumable = decoder.decode(decoder.parse(text));
  return { consumable, sources: decoder.sources, file: decoder.file };
}

class Decoder {
  readonly sources: (string | null)[] = [];
  file: string | null = null;
  private readonly folder: string;
  private readonly what: string;
  private mappings = 0;
  private names = 0;

  constructor(folder: string, what: string) {
    this.folder = folder;
    this.what = what;
  }

  parse(text: string): unknown {
    try {
      // A server may put a line before it that is no script, so that nobody runs it as one.
      return JSON.parse(text.replace(/^\uFEFF?\)\]\}'[^\n]*\n|^\uFEFF/, '')) as unknown;
    } catch (error) {
      throw this.malformed('it is not JSON', error);
    }
  }

  decode(json: unknown): PlainSourceMap['consumable'] {
    const map = this.object(json, 'the map');
    if (map['version'] !== 3) throw this.malformed(`its version is ${String(map['version']).slice(0, 40)}, not 3`);
    this.file = typeof map['file'] === 'string' ? map['file'].slice(0, MAX_PATH) : null;
    if (map['sections'] === undefined) return this.decodeMap(map);
    const sections = this.array(map['sections'], 'sections', MAX_SECTIONS);
    const plain = sections.map((section) => this.decodeSection(section));
    for (const [index, { offset }] of plain.entries()) {
      const before = plain[index - 1]?.offset ?? { line: 0, column: -1 };
      const isBehind = offset.line > before.line || (offset.line === before.line && offset.column > before.column);
      if (!isBehind) throw this.malformed('its sections are not in order');
    }
    return { version: 3, sections: plain };
  }

  private decodeSection(json: unknown): PlainSection {
    const section = this.object(json, 'a section');
    const offset = this.object(section['offset'], "a section's offset");
    const [line, column] = [offset['line'], offset['column']];
    if (!isCount(line) || !isCount(column)) throw this.malformed("a section's offset is not two numbers");
    if (section['map'] === undefined) throw this.malformed('a section is only named by a URL, which is not fetched');
    const map = this.object(section['map'], "a section's map");
    if (map['sections'] !== undefined) throw this.malformed('a section has sections');
    return { offset: { line, column }, map: this.decodeMap(map) };
  }

  private decodeMap(map: Json): PlainMap {
    const { mappings } = map;
    if (typeof mappings !== 'string') throw this.malformed('it has no mappings');
    this.mappings += mappings.length;
    if (this.mappings > MAX_MAPPINGS) throw this.malformed(`its mappings are more than ${MAX_MAPPINGS} characters`);
    // The consumer would take other characters by their low byte.
    if (!/^[A-Za-z0-9+/,;]*$/.test(mappings)) throw this.malformed('its mappings hold characters that are not base 64');
    const names = map['names'] === undefined ? [] : this.array(map['names'], 'names', MAX_NAMES - this.names);
    this.names += names.length;
    const sources = this.array(map['sources'], 'sources', MAX_SOURCES - this.sources.length);
    const root = typeof map['sourceRoot'] === 'string' ? map['sourceRoot'] : '';
    const first = this.sources.length;
    for (const source of sources) this.sources.push(typeof source === 'string' ? sourcePath(source, root, this.folder) : null);
    return {
      version: 3,
      sources: sources.map((_, index) => String(first + index)),
      names: names.map((name) => (typeof name === 'string' ? name : '')),
      mappings,
    };
  }

  private object(value: unknown, what: string): Json {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.malformed(`${what} is not an object`);
    return value as Json;
  }

  private array(value: unknown, what: string, limit: number): readonly unknown[] {
    if (!Array.isArray(value)) throw this.malformed(`${what} is not a list`);
    if (value.length > limit) throw this.malformed(`it has ${value.length} ${what}, more than anybody has`);
    return value;
  }

  private malformed(why: string, cause?: unknown): UnidbgError {
    return new UnidbgError('SOURCE_MAP_MALFORMED', `${this.what} is no source map: ${why}`, { cause });
  }
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 31;
}

/**
 * How people call a source: relative ones from the map's folder, as bundlers mean them; `webpack://name/./src/a.ts` without its
 * made-up host; `file:` URLs as paths; other URLs as they are.
 */
export function sourcePath(source: string, sourceRoot: string, folder: string): string {
  const root = sourceRoot === '' || sourceRoot.endsWith('/') ? sourceRoot : `${sourceRoot}/`;
  const whole = (hasScheme(source) ? source : root + (root === '' ? source : source.replace(/^\/+/, ''))).slice(0, MAX_PATH);
  const [, scheme, rest = ''] = /^([a-z][a-z0-9+.-]+):\/\/(.*)$/is.exec(whole) ?? [];
  if (scheme === undefined) return printable(posix.isAbsolute(whole) ? posix.normalize(whole) : posix.join(folder, whole));
  if (/^https?$/i.test(scheme)) return printable(whole);
  const path = posix.normalize(`/${rest.slice(rest.indexOf('/') + 1).replace(/\?[^/]*$/, '')}`);
  return printable(/^file$/i.test(scheme) ? decoded(path) : path.slice(1));
}

function hasScheme(text: string): boolean {
  return /^[a-z][a-z0-9+.-]+:/i.test(text);
}

/** A path of a URL, its `%20` undone; as it is when that cannot be. */
export function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    // `%` that is no escape: the path was never encoded.
    return path;
  }
}

function printable(path: string): string {
  return path.replace(/\p{Cc}/gu, '?');
}
