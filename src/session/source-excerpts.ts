// Source around the frames of a crash, for reports: of files under the source roots alone, whatever debug info names.

import { readFileSync, realpathSync } from 'node:fs';
import { isAbsolute, relative, resolve } from 'node:path';
import type { Crash } from '../model/crash.ts';
import type { Frame } from '../model/frame.ts';
import type { Allocating } from '../model/heap.ts';
import type { SourceExcerpt } from '../model/report.ts';
import { findSource } from './listing.ts';

const LINES_AROUND = 6;
const MAX_LINE = 300;
/** A runaway recursion has one excerpt for each of its lines; more than so many nobody reads. */
const MAX_EXCERPTS = 40;
const MAX_CRASHES = 4;
const MAX_FRAMES = 64;

/**
 * Excerpts for frames whose file is under one of `roots`, the guilty ones first. Paths are relative to `repository` where they are in
 * it, else absolute. `allocating`: who asked for the memory that was not there. A file that cannot be read is left out.
 */
export function readExcerpts(
  crashes: readonly Crash[],
  roots: readonly string[],
  repository: string,
  allocating: Allocating | null = null,
): readonly SourceExcerpt[] {
  const files = new Map<string, FoundFile | null>();
  const excerpts = new Map<string, SourceExcerpt>();
  for (const { file, line } of framesOf(crashes.slice(0, MAX_CRASHES), allocating)) {
    if (excerpts.size >= MAX_EXCERPTS) break;
    const key = `${file ?? ''}:${line ?? ''}`;
    if (file === null || line === null || line < 1 || excerpts.has(key)) continue;
    if (!files.has(file)) files.set(file, findFile(file, roots, repository));
    const found = files.get(file) ?? null;
    if (found !== null && line <= found.lines.length) excerpts.set(key, excerptOf(found, file, line));
  }
  return [...excerpts.values()];
}

function framesOf(crashes: readonly Crash[], allocating: Allocating | null): readonly Frame[] {
  const stacks = [
    ...crashes.map(({ frames, guiltyFrame }) => byImportance(frames, guiltyFrame)),
    ...(allocating === null ? [] : [byImportance(allocating.stack.frames, allocating.asker)]),
  ];
  return [...stacks.flatMap((frames) => frames.slice(0, 1)), ...stacks.flatMap((frames) => frames.slice(1, MAX_FRAMES))];
}

/** The guilty frame and its callers first: a runaway recursion must not use up what may be read. */
function byImportance(frames: readonly Frame[], guiltyFrame: number | null): readonly Frame[] {
  const from = guiltyFrame ?? 0;
  return [...frames.slice(from), ...frames.slice(0, from)];
}

interface FoundFile {
  readonly path: string;
  readonly lines: readonly string[];
}

function findFile(file: string, roots: readonly string[], repository: string): FoundFile | null {
  const path = findSource(file, roots);
  if (path === null) return null;
  try {
    const lines = readFileSync(path, 'utf8').split(/\r?\n/);
    const inside = relative(realpathSync(resolve(repository)), path);
    return { path: inside.split('/')[0] === '..' || isAbsolute(inside) ? path : inside, lines };
  } catch {
    // Gone since, or not ours to read: told without source.
    return null;
  }
}

function excerptOf({ path, lines }: FoundFile, file: string, line: number): SourceExcerpt {
  const firstLine = Math.max(1, line - LINES_AROUND);
  const shown = lines.slice(firstLine - 1, line + LINES_AROUND).map((text) => text.replaceAll('\t', '    ').slice(0, MAX_LINE));
  return { file, path, line, firstLine, lines: shown };
}
