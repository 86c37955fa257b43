// The few statistics that the tables print. Medians and order statistics only: nothing here assumes a normal distribution,
// which times on a shared machine never have.

/** The value below which `share` (0…1) of the values lie; nearest rank. NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

/** The middle value, or the mean of the two in the middle. NaN of nothing. */
export function median(values: readonly number[]): number {
  return (quantile(values, 0.5) + quantile(values, Math.floor(values.length / 2 + 1) / values.length)) / 2;
}

/** The smallest and the largest. */
export function range(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

/**
 * Bounds of the median at 95 % or more, by order statistics (the sign test turned round): how far it may be chance. The whole
 * range when there are too few values.
 */
export function medianBounds(values: readonly number[]): readonly [number, number] {
  const sorted = values.toSorted((a, b) => a - b);
  const count = sorted.length;
  let outside = 0;
  let rank = 0;
  // P(fewer than `rank` values below the median) on each side may be 2.5 % at most.
  for (let ways = 1; rank < count / 2; rank += 1) {
    outside += ways / 2 ** count;
    if (outside > 0.025) break;
    ways = (ways * (count - rank)) / (rank + 1);
  }
  const lower = Math.max(0, rank - 1);
  return [sorted[lower] ?? Number.NaN, sorted[count - 1 - lower] ?? Number.NaN];
}
