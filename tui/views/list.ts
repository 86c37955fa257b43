// Lists: rows with a selected one. Rows draw themselves when asked, so only the visible slice costs anything.

import type { ListPosition } from '../state.ts';
import type { Line } from '../text.ts';
import { fit, restyle, span } from '../text.ts';

/** One row. `key` is stable over snapshots, so that a selection stays on its thing. */
export interface Row {
  readonly key: string;
  readonly draw: (width: number) => Line;
  /** What `/` searches. */
  readonly text: string;
}

/** The selected index and first visible row, valid for these rows. */
export interface ResolvedPosition {
  readonly index: number;
  readonly top: number;
}

/** Finds the selected row again (by key, else near its old index) and keeps it in view. */
export function resolvePosition(position: ListPosition, rows: readonly Row[], height: number): ResolvedPosition {
  const found = position.key === null ? -1 : rows.findIndex((row) => row.key === position.key);
  const index = clamp(found < 0 ? position.index : found, 0, Math.max(0, rows.length - 1));
  const visible = clamp(position.top, index - height + 1, index);
  return { index, top: clamp(visible, 0, Math.max(0, rows.length - height)) };
}

/** The position `by` rows further. */
export function movePosition(position: ListPosition, rows: readonly Row[], height: number, by: number): ListPosition {
  const { index, top } = resolvePosition(position, rows, height);
  const next = clamp(index + by, 0, Math.max(0, rows.length - 1));
  return resolveTo({ key: rows[next]?.key ?? null, index: next, top }, rows, height);
}

function resolveTo(position: ListPosition, rows: readonly Row[], height: number): ListPosition {
  return { ...position, top: resolvePosition(position, rows, height).top };
}

/** The visible slice, exactly `height` lines of `width` cells; the selected row is reversed while the panel has the focus. */
export function drawList(
  rows: readonly Row[],
  position: ListPosition,
  size: { readonly width: number; readonly height: number },
  focused: boolean,
  empty: readonly Line[],
): readonly Line[] {
  if (rows.length === 0) return fillRows(empty, size);
  const { index, top } = resolvePosition(position, rows, size.height);
  const lines = rows.slice(top, top + size.height).map((row, offset) => {
    const line = fit(row.draw(size.width), size.width);
    return focused && top + offset === index ? restyle(line, 'selected') : line;
  });
  return fillRows(lines, size);
}

/** `lines` as exactly `height` rows of `width` cells. */
export function fillRows(lines: readonly Line[], { width, height }: { readonly width: number; readonly height: number }): Line[] {
  const filled = lines.slice(0, Math.max(0, height)).map((line) => fit(line, width));
  while (filled.length < height) filled.push([span(' '.repeat(Math.max(0, width)))]);
  return filled;
}

/** `value` within [least, most]; `least` when they cross. */
export function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}
