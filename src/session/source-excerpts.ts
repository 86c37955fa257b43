// Source around the frames of a crash, for reports: files are read once, under the roots given and nowhere else.

import { readFileSync, realpathSync } from 'node:fs';
import { isAbsolute, relative } from 'node:path';
import type { Crash } from '../model/crash.ts';
import type { Frame } from '../model/frame.ts';
import type { SourceExcerpt } from '../model/report.ts';
import { findSource } from './listing.ts';

const LINES_AROUND = 6;
const MAX_EXCERPTS = 24;
const MAX_LINE = 400;

/** Excerpts for frames whose file is under one of `roots`; paths are relative to `repository` where they are in it, else absolute. */
export function readExcerpts(crashes: readonly Crash[], roots: readonly string[], repository: string): readonly SourceExcerpt[] {
  const files = new Map<string, readonly string[] | null>();
  const excerpts = new Map<string, SourceExcerpt>();
  for (const { file, line } of crashes.flatMap(({ frames, guiltyFrame }) => byImportance(frames, guiltyFrame))) {
    const key = `${file ?? ''}:${line ?? ''}`;
    if (file === null || line === null || excerpts.has(key) || excerpts.size >= MAX_EXCERPTS) continue;
    const path = findSource(file, roots);
    if (path === null) continue;
    if (!files.has(path)) files.set(path, readLines(path));
    const lines = files.get(path) ?? null;
    if (lines === null || line < 1 || line > lines.length) continue;
    const firstLine = Math.max(1, line - LINES_AROUND);
    const shown = lines.slice(firstLine - 1, line + LINES_AROUND);
    excerpts.set(key, { file, path: nameOf(path, repository), line, firstLine, lines: shown });
  }
  return [...excerpts.values()];
}

/** The guilty frame and its callers first: a runaway recursion must not use up what may be read. */
function byImportance(frames: readonly Frame[], guiltyFrame: number | null): readonly Frame[] {
  const from = guiltyFrame ?? 0;
  return [...frames.slice(from), ...frames.slice(0, from)];
}

function readLines(path: string): readonly string[] | null {
  try {
    return readFileSync(path, 'utf8')
      .split(/\r?\n/)
      .map((text) => text.slice(0, MAX_LINE));
  } catch {
    return null;
  }
}

function nameOf(path: string, repository: string): string {
  try {
    const name = relative(realpathSync(repository), path);
    return name.startsWith('..') || isAbsolute(name) ? path : name;
  } catch {
    return path;
  }
}
