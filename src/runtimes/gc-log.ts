// Metrics from collectors' logs on the console: -Xlog:gc, --trace-gc, gctrace=1 and their like. To add one: write its file, add its line.

import type { GcLog, GcLogFormat } from '../model/gc-log.ts';
import type { Sample } from '../model/metric.ts';
import { goGcLog } from './go-gc-log.ts';
import { haskellGcLog } from './haskell-gc-log.ts';
import { javaGcLog } from './java-gc-log.ts';
import { ocamlGcLog } from './ocaml-gc-log.ts';
import { v8GcLog } from './v8-gc-log.ts';

export const GC_LOGS: readonly GcLogFormat[] = [javaGcLog, v8GcLog, goGcLog, haskellGcLog, ocamlGcLog];

/** No line of a collector's log is longer. */
const MAX_LINE = 1024;
/** Sums beyond it were no sums. */
const MAX_SUM = Number.MAX_SAFE_INTEGER;

/** Reads lines of one guest's console, of whatever collector. `probe` of its samples is `console`. */
export function openGcLog(formats: readonly GcLogFormat[] = GC_LOGS): GcLog {
  const sums = new Map<string, number>();
  const sampleOf = ({ metrics }: GcLogFormat, name: string, value: number): Sample => ({
    ...{ name, value, attributes: {}, absent: null, probe: 'console' },
    kind: metrics[name]?.kind ?? 'gauge',
    unit: metrics[name]?.unit ?? '1',
  });
  const add = (name: string, step: number): number => {
    const sum = Math.min((sums.get(name) ?? 0) + step, MAX_SUM);
    sums.set(name, sum);
    return sum;
  };
  return {
    push: (text) => {
      if (text.length > MAX_LINE) return [];
      const format = formats.find(({ words, parse }) => words.some((word) => text.includes(word)) && parse(text) !== null);
      const line = format?.parse(text) ?? null;
      if (format === undefined || line === null) return [];
      const added = Object.entries(line.add ?? {}).map(([name, step]) => sampleOf(format, name, add(name, step)));
      return [...added, ...Object.entries(line.set ?? {}).map(([name, value]) => sampleOf(format, name, value))];
    },
    reset: () => {
      sums.clear();
    },
  };
}
