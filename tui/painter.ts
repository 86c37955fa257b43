// When to paint: news of the guest at most 12 times a second, an answer to a key within 25 ms, never without a reason.

/** Decides when `paint` runs. */
export interface Painter {
  /** A key was pressed: paint within 25 ms. */
  soon(): void;
  /** Something changed: paint when the last one is so long past (84 ms unless told). */
  eventually(intervalMs?: number): void;
  stop(): void;
}

const KEY_INTERVAL_MS = 25;
const GUEST_INTERVAL_MS = 84;

/** A painter; at most one paint is pending at a time, the earlier wish wins. */
export function createPainter(paint: () => void, now: () => number = () => performance.now()): Painter {
  let painted = -Infinity;
  let due = Infinity;
  let timer: NodeJS.Timeout | null = null;
  let stopped = false;

  const run = (): void => {
    timer = null;
    due = Infinity;
    painted = now();
    paint();
  };
  const schedule = (interval: number): void => {
    const wanted = Math.max(now(), painted + interval);
    if (stopped || wanted >= due) return;
    if (timer !== null) clearTimeout(timer);
    due = wanted;
    timer = setTimeout(run, Math.max(0, wanted - now()));
  };
  return {
    soon: () => {
      schedule(KEY_INTERVAL_MS);
    },
    eventually: (intervalMs = GUEST_INTERVAL_MS) => {
      schedule(intervalMs);
    },
    stop: () => {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
