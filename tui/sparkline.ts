// Sparklines of block elements: a series' recent past in one row of cells.

const BARS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;
const GAP = ' ';

/**
 * The last `width` values, oldest left, scaled between the least and the greatest of them (a level series is drawn low, not
 * as noise). Null (absent at that time) is a gap, never a zero. Padded on the left to exactly `width` cells.
 */
export function sparkline(values: readonly (number | null)[], width: number): string {
  const shown = values.slice(-Math.max(0, width));
  const known = shown.filter((value): value is number => value !== null && Number.isFinite(value));
  if (known.length === 0 || width <= 0) return GAP.repeat(Math.max(0, width));
  const least = Math.min(...known);
  const range = Math.max(...known) - least;
  const bars = shown.map((value) => {
    if (value === null || !Number.isFinite(value)) return GAP;
    const level = range === 0 ? 0 : Math.round(((value - least) / range) * (BARS.length - 1));
    return BARS[level] ?? GAP;
  });
  return bars.join('').padStart(width, GAP);
}

/** Rises between neighbours: how a counter is drawn. A fall (a counter that began anew) and a gap are gaps. */
export function increments(values: readonly (number | null)[]): readonly (number | null)[] {
  return values.slice(1).map((value, index) => {
    const before = values[index] ?? null;
    return value === null || before === null || value < before ? null : value - before;
  });
}
