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
  /** A heading cannot be selected. */
  readonly heading?: boolean;
}

/** The selected index and first visible row, valid for these rows. */
export interface ResolvedPosition {
  readonly index: number;
  readonly top: number;
}

/** Finds the selected row again (by key, else near its old index) and keeps it, and a heading right above it, in view. */
export function resolvePosition(position: ListPosition, rows: readonly Row[], height: number): ResolvedPosition {
  const found = position.key === null ? -1 : rows.findIndex((row) => row.key === position.key);
  const index = selectable(rows, clamp(found < 0 ? position.index : found, 0, Math.max(0, rows.length - 1)), 1);
  const first = rows[index - 1]?.heading === true ? index - 1 : index;
  const top = clamp(Math.min(position.top, first), index - height + 1, index);
  return { index, top: clamp(top, 0, Math.max(0, rows.length - height)) };
}

/** The nearest row from `index` on in direction `by` that is no heading, else in the other direction. */
function selectable(rows: readonly Row[], index: number, by: 1 | -1): number {
  for (const direction of [by, -by]) {
    for (let at = index; at >= 0 && at < rows.length; at += direction) {
      if (rows[at]?.heading !== true) return at;
    }
  }
  return index;
}

/** The position `by` rows further. */
export function movePosition(position: ListPosition, rows: readonly Row[], height: number, by: number): ListPosition {
  const { index, top } = resolvePosition(position, rows, height);
  const next = selectable(rows, clamp(index + by, 0, Math.max(0, rows.length - 1)), by < 0 ? -1 : 1);
  const moved = { key: rows[next]?.key ?? null, index: next, top };
  return { ...moved, top: resolvePosition(moved, rows, height).top };
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
function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}
