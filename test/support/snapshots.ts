// Snapshots with the metrics and console lines that a test names.

import type { GuestEvent } from '../../src/model/event.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { EMPTY_SNAPSHOT, reduceAll } from '../../src/session/reduce.ts';

/** One reading: name, or name{key=value}; value null = absent; unit. */
export type Given = readonly [name: string, value: number | null, unit?: string];

/** A snapshot after `rows` of readings, one row a second from time 0, and console lines. */
export function snapshotOf(rows: readonly (readonly Given[])[], lines: readonly string[] = []): Snapshot {
  const metrics = rows.map(
    (row, index): GuestEvent => ({
      at: index * 1000,
      type: 'metrics',
      samples: row.map(([text, value, unit = '1']) => {
        const [, name, inner] = /^([^{]+)(?:\{(.*)\})?$/.exec(text)!;
        const pairs = (inner ?? '').split(',').filter((pair) => pair !== '');
        const attributes: Record<string, string> = Object.fromEntries(pairs.map((pair) => pair.split('=') as [string, string]));
        const absent = value === null ? 'it is not kept' : null;
        return {
          name: name!,
          attributes,
          value,
          unit,
          kind: 'gauge',
          absent,
          probe: 'test',
        };
      }),
    }),
  );
  const console = lines.map(
    (text, index): GuestEvent => ({
      at: 0,
      type: 'console',
      line: { number: index + 1, source: 'console', text, partial: false, notes: [] },
    }),
  );
  return reduceAll(EMPTY_SNAPSHOT, [...console, ...metrics]);
}
