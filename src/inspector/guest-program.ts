// What is evaluated in a Node.js guest, once a connection: a reader of its own counters, and an observer of its garbage collections.
// Node.js doc/api/v8.md, doc/api/perf_hooks.md. It defines no global name; it works when it is asked, and after a collection.

/** Milliseconds that the observer goes on while nobody reads: a connection that broke must not leave anything behind. */
export const UNREAD_MS = 30_000;
/** Collections between two readings whose durations are kept one by one; all are counted. */
export const MAX_KEPT = 256;

/**
 * Evaluates to an object: `read()` gives all there is to know, `stop()` ends the observation. Numbers of kinds changed between
 * versions of Node.js, so they are named over there. In a program without `process` (not Node.js) it throws.
 */
export const GUEST_PROGRAM = `(() => {
  const load = (name) => process.getBuiltinModule?.(name) ?? require(name);
  const v8 = load('v8');
  const { PerformanceObserver, performance, constants } = load('perf_hooks');
  const kinds = new Map([
    [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
    [constants.NODE_PERFORMANCE_GC_MINOR, 'minor'],
    [constants.NODE_PERFORMANCE_GC_MINOR_MARK_SWEEP, 'minor'],
    [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'],
    [constants.NODE_PERFORMANCE_GC_WEAKCB, 'weakcb'],
  ]);
  const totals = {};
  let kept = [];
  let readAt = performance.now();
  let observer = null;
  const take = (entries) => {
    for (const entry of entries) {
      const kind = kinds.get(entry.detail?.kind ?? entry.kind) ?? 'other';
      const total = (totals[kind] ??= { count: 0, ms: 0 });
      total.count += 1;
      total.ms += entry.duration;
      if (kept.length === ${MAX_KEPT}) kept.shift();
      kept.push({ kind, ms: entry.duration });
    }
  };
  const stop = () => {
    observer?.disconnect();
    observer = null;
  };
  const observe = () => {
    observer = new PerformanceObserver((list) => {
      take(list.getEntries());
      if (performance.now() - readAt > ${UNREAD_MS}) stop();
    });
    observer.observe({ entryTypes: ['gc'] });
  };
  observe();
  return {
    stop,
    read() {
      readAt = performance.now();
      const isWhole = observer !== null;
      if (isWhole) take(observer.takeRecords?.() ?? []);
      else observe();
      const recent = kept;
      kept = [];
      const { idle, active } = performance.eventLoopUtilization?.() ?? {};
      return {
        statistics: v8.getHeapStatistics(),
        spaces: v8.getHeapSpaceStatistics(),
        gc: { totals, recent, isWhole },
        loop: idle === undefined ? null : { idle, active },
      };
    },
  };
})()`;
