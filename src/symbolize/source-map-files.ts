// Scripts and their source maps on disk: named by the script's `//# sourceMappingURL=` (ECMA-426, clause 11), within it, or beside it as
// `app.js.map`. Only what lies in the folders that the user named is opened, whatever a comment says.

import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { Diagnostic } from '../model/diagnostic.ts';
import { errorCode, errorMessage, UnidbgError } from '../model/error.ts';
import { decoded } from './source-map-text.ts';

/** A script that the guest may run, as it lies here, and its map. */
export interface ScriptFile {
  /** Where the script lies, or would lie beside its map. */
  readonly path: string;
  /** Whether the script itself is there. */
  readonly isThere: boolean;
  /** The map's text, and the folder that its sources are relative to; null when there is none. */
  readonly map: { readonly text: string; readonly folder: string; readonly name: string } | null;
  /** Why a script that should have a map has none; null otherwise. */
  readonly lack: string | null;
}

/** What was found, and what was looked for in vain. */
export interface FoundScripts {
  readonly scripts: readonly ScriptFile[];
  readonly diagnostics: readonly Diagnostic[];
}

const SCRIPT = /\.[cm]?js$/;
const MAP = /\.[cm]?js\.map$/;
/** Bundles with the text of all their sources in them are some tens of MB. */
const MAX_FILE = 256 * 1024 * 1024;
const MAX_TOTAL = 1024 * 1024 * 1024;
const MAX_FILES = 20_000;
const MAX_DEPTH = 24;

/** Whether `--symbols` means source maps by this path: a script, a map, or a folder of them. */
export function isSourceMapPath(path: string): boolean {
  return SCRIPT.test(path) || path.endsWith('.map') || statOf(path)?.isDirectory() === true;
}

/** Looks at files, scripts and folders that the user named. Throws FILE_UNREADABLE for one that cannot be read. */
export function findScripts(paths: readonly string[]): FoundScripts {
  const finder = new Finder();
  for (const path of paths) finder.add(path);
  return { scripts: [...finder.scripts.values()], diagnostics: finder.diagnostics };
}

/** A script's text as V8 counts it. Throws FILE_UNREADABLE. */
export function readScript(path: string): string {
  return readText(path, MAX_FILE).replace(/^\uFEFF/, '');
}

class Finder {
  readonly scripts = new Map<string, ScriptFile>();
  readonly diagnostics: Diagnostic[] = [];
  private files = 0;
  private bytes = 0;

  add(path: string): void {
    const isFolder = statOf(path)?.isDirectory() === true;
    if (isFolder) this.addFolder(path, path, 0);
    else if (path.endsWith('.map')) this.addMap(path);
    else this.addScript(path, dirname(path), true);
  }

  /** Symbolic links are not followed: they may lead anywhere, and round in circles. */
  private addFolder(folder: string, root: string, depth: number): void {
    const entries = depth > MAX_DEPTH ? [] : entriesOf(folder);
    for (const entry of entries) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) this.addFolder(path, root, depth + 1);
      else if (entry.isFile() && SCRIPT.test(entry.name)) this.tryFile(root, path, 'addScript');
    }
    for (const { name } of entries.filter((entry) => entry.isFile() && MAP.test(entry.name))) {
      const script = join(folder, name.slice(0, -'.map'.length));
      if (!this.scripts.has(resolve(script))) this.tryFile(root, join(folder, name), 'addMap');
    }
  }

  /** A file that nobody named does no more harm than not being there. */
  private tryFile(root: string, path: string, add: 'addScript' | 'addMap'): void {
    this.files += 1;
    if (this.files === MAX_FILES + 1)
      this.remark('source-map-limit', `${root} has more than ${MAX_FILES} scripts: the rest is left`);
    if (this.files > MAX_FILES) return;
    try {
      this[add](path, root);
    } catch (error) {
      if (errorCode(error) !== 'FILE_UNREADABLE') throw error;
      this.remark('source-map-unreadable', errorMessage(error));
    }
  }

  private addMap(path: string): void {
    const script = path.slice(0, -'.map'.length);
    const map = { text: this.read(path), folder: dirname(path), name: path };
    this.scripts.set(resolve(script), { path: script, isThere: statOf(script)?.isFile() === true, map, lack: null });
  }

  private addScript(path: string, root: string, isGiven = false): void {
    const comment = findComment(this.read(path));
    const map = this.openMap(path, comment, root);
    const named = comment === null || comment.startsWith('data:') ? '' : `: it names ${comment.slice(0, 200)}`;
    const isPlain = comment === null && !isGiven;
    const lack =
      map !== null || isPlain ? null : `${path} has no source map in its folder${named}; give it with --symbols FILE.map`;
    this.scripts.set(resolve(path), { path, isThere: true, map, lack });
    if (isGiven && lack !== null) this.remark('source-map-missing', lack);
  }

  private openMap(script: string, comment: string | null, root: string): ScriptFile['map'] {
    const folder = dirname(script);
    if (comment?.startsWith('data:') === true) {
      const text = decodeDataUrl(comment);
      if (text !== null) return { text, folder, name: `the map in ${script}` };
      this.remark('source-map-malformed', `the source map in ${script} is no data: URL of JSON`);
      return null;
    }
    const named = comment === null || /^[a-z][a-z0-9+.-]+:/i.test(comment) ? null : join(folder, decoded(comment));
    const candidates = [named !== null && isAbsolute(decoded(comment!)) ? null : named, `${script}.map`];
    const path = candidates.find((candidate) => candidate !== null && isWithin(candidate, root) && statOf(candidate)?.isFile());
    return path == null ? null : { text: this.read(path), folder: dirname(path), name: path };
  }

  private read(path: string): string {
    const text = readText(path, Math.min(MAX_FILE, MAX_TOTAL - this.bytes));
    this.bytes += text.length;
    return text;
  }

  private remark(code: string, message: string): void {
    if (this.diagnostics.length < 100) this.diagnostics.push({ code, message });
  }
}

/** The last comment that names a map, as Node takes it; null without one. */
function findComment(text: string): string | null {
  for (
    let at = text.lastIndexOf('sourceMappingURL=');
    at >= 0;
    at = at === 0 ? -1 : text.lastIndexOf('sourceMappingURL=', at - 1)
  ) {
    if (!/\/[/*][#@]\s{1,8}$/.test(text.slice(Math.max(0, at - 16), at))) continue;
    const end = /[\s'"]|\*\/|$/g;
    end.lastIndex = at;
    const url = text.slice(at + 'sourceMappingURL='.length, end.exec(text)?.index);
    if (url !== '') return url;
  }
  return null;
}

function decodeDataUrl(url: string): string | null {
  const comma = url.indexOf(',');
  const head = url.slice(0, Math.min(comma, 200));
  if (comma < 0 || !/^data:application\/json\b/i.test(head)) return null;
  const body = url.slice(comma + 1);
  return /;base64$/i.test(head) ? Buffer.from(body, 'base64').toString('utf8') : decoded(body);
}

function isWithin(path: string, root: string): boolean {
  const from = relative(resolve(root), resolve(path));
  return from !== '' && !from.startsWith('..') && !isAbsolute(from);
}

function readText(path: string, limit: number): string {
  try {
    const { size } = statSync(path);
    if (size > limit) throw new UnidbgError('FILE_UNREADABLE', `${path} has ${size} bytes: too many for a script or its map`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof UnidbgError) throw error;
    throw new UnidbgError('FILE_UNREADABLE', `cannot read ${basename(path)}: ${errorMessage(error)}`, { cause: error });
  }
}

function statOf(path: string): ReturnType<typeof statSync> | null {
  try {
    return statSync(path);
  } catch {
    // Not there, or not for us: whoever opens it says so.
    return null;
  }
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).sort((one, other) => (one.name < other.name ? -1 : 1));
  } catch {
    // Not for us: nothing of it is a candidate.
    return [];
  }
}
