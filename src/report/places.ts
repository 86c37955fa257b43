// Which line of the user's own sources a crash is shown at.

import { posix } from 'node:path';
import type { Crash } from '../model/crash.ts';
import type { Frame } from '../model/frame.ts';
import type { SourceExcerpt } from '../model/report.ts';

/** A line of a file of the repository; `path` is relative to it. `isGuilty`: false where only a caller of the guilty frame is in it. */
export interface SourcePlace {
  readonly path: string;
  readonly line: number;
  readonly column: number | null;
  readonly frame: Frame;
  readonly isGuilty: boolean;
}

/** The guilty frame's line, else that of its nearest caller in the repository; null where no frame is in it. */
export function findPlace(crash: Crash, sources: readonly SourceExcerpt[], root: string): SourcePlace | null {
  const { frames, guiltyFrame } = crash;
  for (const frame of frames.slice(guiltyFrame ?? 0)) {
    const path = findRepositoryPath(frame.file, sources, root);
    if (path === null || frame.line === null || frame.line < 1) continue;
    const column = frame.column !== null && frame.column > 0 ? frame.column : null;
    return { path, line: frame.line, column, frame, isGuilty: frame === frames[guiltyFrame ?? -1] };
  }
  return null;
}

/** A frame's file relative to the repository; null where it is not known to be in it. */
export function findRepositoryPath(file: string | null, sources: readonly SourceExcerpt[], root: string): string | null {
  if (file === null) return null;
  const found = sources.find((excerpt) => excerpt.file === file)?.path ?? (posix.isAbsolute(file) ? file : null);
  if (found === null) return null;
  const path = posix.isAbsolute(found) ? posix.relative(root, posix.normalize(found)) : posix.normalize(found);
  return path === '' || path === '.' || path === '..' || path.startsWith('../') || posix.isAbsolute(path) ? null : path;
}

/** Source around a frame's line; null where it was not found. */
export function findExcerpt(
  { file, line }: Pick<Frame, 'file' | 'line'>,
  sources: readonly SourceExcerpt[],
): SourceExcerpt | null {
  return sources.find((excerpt) => excerpt.file === file && excerpt.line === line) ?? null;
}
