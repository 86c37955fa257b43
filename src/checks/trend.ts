// Where a series is going: a robust line through its steady recent past. Theil–Sen (Sen 1968): the median of all slopes between two
// points, which neither the teeth of a garbage collector nor a single burst turns.

/** Points of a series; times in ms, rising. */
export interface Points {
  readonly times: readonly number[];
  readonly values: readonly number[];
}

/** A line through points: `level` at the last time, `slope` per ms. `noise` is how far points lie from it, `top` how far above it the highest tenth. */
export interface Trend {
  readonly slope: number;
  readonly level: number;
  readonly noise: number;
  readonly top: number;
  /** How much time it rests on, ms. */
  readonly span: number;
}

export const MIN_POINTS = 5;
/** Slopes between all pairs of so many points are 1,770. */
const MAX_POINTS = 60;
/** The two halves of a steady stretch differ by less, as a share of the whole's slope. */
const STEADY = 0.25;

/**
 * The trend of the longest stretch up to now that is steady: whose later half goes on as the whole does. What went on before a leak began,
 * or a burst that is over, is thereby left out. Null for fewer than 5 points.
 */
export function findTrend(points: Points): Trend | null {
  let stretch = thin(points);
  if (stretch.times.length < MIN_POINTS) return null;
  let trend = fit(stretch);
  while (stretch.times.length >= 2 * MIN_POINTS) {
    const later = tail(stretch, Math.ceil(stretch.times.length / 2));
    const laterTrend = fit(later);
    const tolerance = Math.max(STEADY * Math.abs(trend.slope), (2 * trend.noise) / Math.max(1, laterTrend.span));
    if (Math.abs(laterTrend.slope - trend.slope) <= tolerance && trend.noise <= noiseAllowed(trend, laterTrend)) break;
    stretch = later;
    trend = laterTrend;
  }
  return trend;
}

/** A bend shows as noise too: a whole that is far noisier than its later half is no straight line. */
function noiseAllowed(whole: Trend, later: Trend): number {
  return Math.max(3 * later.noise, 0.05 * Math.abs(whole.slope) * whole.span);
}

function fit({ times, values }: Points): Trend {
  const slopes: number[] = [];
  for (let i = 0; i < times.length; i += 1) {
    for (let j = i + 1; j < times.length; j += 1) {
      if (times[j]! > times[i]!) slopes.push((values[j]! - values[i]!) / (times[j]! - times[i]!));
    }
  }
  const slope = slopes.length === 0 ? 0 : median(slopes);
  const end = times.at(-1)!;
  const level = median(values.map((value, index) => value + slope * (end - times[index]!)));
  const residuals = values.map((value, index) => value - (level - slope * (end - times[index]!)));
  const ranked = [...residuals].sort((a, b) => a - b);
  const top = Math.max(0, ranked[Math.floor((ranked.length - 1) * 0.9)]!);
  return { slope, level, noise: median(residuals.map(Math.abs)), top, span: end - times[0]! };
}

function tail({ times, values }: Points, count: number): Points {
  return { times: times.slice(-count), values: values.slice(-count) };
}

/** At most MAX_POINTS, evenly chosen, the newest among them. */
function thin({ times, values }: Points): Points {
  if (times.length <= MAX_POINTS) return { times, values };
  const step = (times.length - 1) / (MAX_POINTS - 1);
  const chosen = Array.from({ length: MAX_POINTS }, (_, index) => Math.round(index * step));
  return { times: chosen.map((index) => times[index]!), values: chosen.map((index) => values[index]!) };
}

function median(values: readonly number[]): number {
  const ranked = Float64Array.from(values).sort();
  const middle = ranked.length >> 1;
  return ranked.length % 2 === 1 ? ranked[middle]! : (ranked[middle - 1]! + ranked[middle]!) / 2;
}
