// From positions in bundled, minified or compiled JavaScript, as V8 prints them, to what people wrote: source maps (ECMA-426) read by
// the `source-map` package, whose WebAssembly memory is owned here. The guest's paths are not ours: a script is known by the end of its path.

import type { Diagnostic } from '../model/diagnostic.ts';
import { errorCode, errorMessage, UnidbgError } from '../model/error.ts';
import { MappedScript, partsOf, type ScriptPosition, type SourcePosition } from './mapped-script.ts';
import { findScripts, isSourceMapPath, type ScriptFile } from './source-map-files.ts';
import { decodeSourceMap, type PlainSourceMap } from './source-map-text.ts';

/** Maps of the scripts of one guest. Remarks on what could not be mapped gather in `diagnostics`. */
export interface SourceMaps {
  /** What `position` was before; null when no map knows. */
  map(position: ScriptPosition): SourcePosition | null;
  /** The same for a whole line, where all of it comes from one line. */
  mapLine(file: string, line: number): { readonly file: string; readonly line: number } | null;
  readonly diagnostics: readonly Diagnostic[];
  /** Gives the maps' memory back; nothing is mapped any more. */
  close(): void;
}

export type { ScriptPosition, SourcePosition } from './mapped-script.ts';

/** More remarks than this are about one mistake. */
const MAX_DIAGNOSTICS = 100;
/** Paths of a hostile log are not remembered without end. */
const MAX_REMEMBERED = 10_000;

/**
 * Opens the maps that `paths` lead to: maps, scripts (their map within or beside them), folders of these. Throws FILE_UNREADABLE and
 * SOURCE_MAP_MALFORMED for a file that is named itself; in a folder that is a remark. Must be closed.
 */
export async function openSourceMaps(paths: readonly string[]): Promise<SourceMaps> {
  const { scripts, diagnostics } = findScripts(paths);
  // Only who has maps waits for the package and its WebAssembly.
  const { SourceMapConsumer } = await import('source-map');
  const maps = new OpenSourceMaps(diagnostics);
  try {
    for (const script of scripts) {
      const plain = script.map === null ? null : decodeMap(script, paths, maps);
      const consumer = plain === null ? null : await new SourceMapConsumer(plain.consumable as never);
      maps.add(new MappedScript(script, consumer, plain?.sources ?? []), plain?.file ?? null);
    }
    return maps;
  } catch (error) {
    maps.close();
    throw error;
  }
}

/** Of the files that a user named as symbols: the maps, opened (null without any), and the images that remain. Throws as `openSourceMaps`. */
export async function openSourceMapsAmong(
  paths: readonly string[],
): Promise<{ readonly maps: SourceMaps | null; readonly images: readonly string[] }> {
  const mapped = paths.filter(isSourceMapPath);
  const images = paths.filter((path) => !mapped.includes(path));
  return { maps: mapped.length === 0 ? null : await openSourceMaps(mapped), images };
}

function decodeMap({ map, path }: ScriptFile, given: readonly string[], maps: OpenSourceMaps): PlainSourceMap | null {
  const { text, folder, name } = map!;
  try {
    return decodeSourceMap(text, folder, name);
  } catch (error) {
    if (errorCode(error) !== 'SOURCE_MAP_MALFORMED' || given.includes(name) || given.includes(path)) throw error;
    maps.remark('source-map-malformed', errorMessage(error));
    return null;
  }
}

class OpenSourceMaps implements SourceMaps {
  readonly diagnostics: Diagnostic[];
  private readonly byName = new Map<string, MappedScript[]>();
  private readonly matched = new Map<string, MappedScript | null>();
  private readonly said = new Set<string>();
  /** Scripts of whose maps it was said that they do not do. */
  private readonly uncovered = new Set<MappedScript>();

  constructor(diagnostics: readonly Diagnostic[]) {
    this.diagnostics = [...diagnostics];
  }

  /** `file`: what the map says that its script is called. */
  add(script: MappedScript, file: string | null): void {
    const names = new Set([lastOf(script.parts), ...(script.isThere || file === null ? [] : [lastOf(partsOf(file))])]);
    for (const name of names) this.byName.set(name, [...(this.byName.get(name) ?? []), script]);
  }

  map(position: ScriptPosition): SourcePosition | null {
    const { file, line, column } = position;
    const found = this.ask(file, (script) => script.map(position));
    if (found === null) this.explainLack(file, line, column);
    return found;
  }

  mapLine(file: string, line: number): { readonly file: string; readonly line: number } | null {
    return this.ask(file, (script) => script.mapLine(line));
  }

  remark(code: string, message: string): void {
    if (this.diagnostics.length >= MAX_DIAGNOSTICS || this.said.has(message)) return;
    this.said.add(message);
    this.diagnostics.push({ code, message });
  }

  close(): void {
    for (const script of new Set([...this.byName.values()].flat())) script.close();
    this.byName.clear();
    this.matched.clear();
  }

  private ask<T>(file: string, question: (script: MappedScript) => T | null): T | null {
    const script = this.findScript(file);
    if (script === null) return null;
    try {
      return question(script);
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      this.uncovered.add(script);
      this.remark(error.code === 'FILE_UNREADABLE' ? 'source-map-unreadable' : 'source-map-malformed', errorMessage(error));
      return null;
    }
  }

  private explainLack(file: string, line: number, column: number): void {
    const script = this.findScript(file);
    if (script === null || this.uncovered.has(script)) return;
    this.uncovered.add(script);
    if (script.lack !== null) this.remark('source-map-missing', script.lack);
    else if (script.hasMap)
      this.remark(
        'source-map-mismatch',
        `the map of ${script.path} does not cover ${file}:${line}:${column}: is it of another build?`,
      );
  }

  private findScript(file: string): MappedScript | null {
    const known = this.matched.get(file);
    if (known !== undefined) return known;
    const found = this.match(file);
    if (this.matched.size < MAX_REMEMBERED) this.matched.set(file, found);
    return found;
  }

  /** The script whose path has most in common with the end of the guest's path; null when there is none or more than one. */
  private match(file: string): MappedScript | null {
    const parts = partsOf(file);
    const candidates = (this.byName.get(lastOf(parts)) ?? []).map((script) => ({
      script,
      common: commonEnd(parts, script.parts),
    }));
    const most = Math.max(...candidates.map(({ common }) => common));
    const best = candidates.filter(({ common }) => common === most).map(({ script }) => script);
    const [script] = best;
    if (script === undefined) return null;
    // Every package has an index.js: one in node_modules is known by its package too.
    const inPackages = parts.lastIndexOf('node_modules');
    if (inPackages >= 0 && most < parts.length - inPackages - 1) return null;
    if (best.length > 1) {
      const paths = best.slice(0, 3).map(({ path }) => path);
      this.remark('source-map-ambiguous', `${file} may be ${paths.join(' or ')}: give the one that the guest runs alone`);
      return null;
    }
    return this.claim(script, file, most);
  }

  /** One script here is one file there: of two that may be it, the one with more of its path in common is. */
  private claim(script: MappedScript, file: string, common: number): MappedScript | null {
    const before = script.claimedBy;
    if (before === null || common > before.common) {
      if (before !== null) this.matched.set(before.file, null);
      script.claimedBy = { file, common };
      return script;
    }
    this.remark('source-map-ambiguous', `${script.path} is taken for ${before.file}, so ${file} has no source map`);
    return null;
  }
}

function lastOf(parts: readonly string[]): string {
  return parts.at(-1) ?? '';
}

function commonEnd(one: readonly string[], other: readonly string[]): number {
  let common = 0;
  while (common < one.length && common < other.length && one.at(-1 - common) === other.at(-1 - common)) common += 1;
  // A map whose script has another name here was found by what it says itself.
  return Math.max(common, 1);
}
