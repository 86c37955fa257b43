// The layer of `:p`: what was asked of gdb and what it answered, newest last.

import type { Snapshot } from '../../src/model/snapshot.ts';
import type { Line } from '../text.ts';
import { span, wrap } from '../text.ts';

/** All lines; values may have many. */
export function evaluationLines({ evaluations }: Snapshot, width: number): readonly Line[] {
  if (evaluations.length === 0) return [[span('waiting for gdb (the guest stands still while it looks) …', 'dim')]];
  return evaluations.slice(-100).flatMap(({ expression, value, error }): readonly Line[] => [
    [span('> ', 'key'), span(expression, 'strong')],
    ...(value ?? error ?? 'no answer')
      .split('\n')
      .slice(0, 500)
      .flatMap((text) => wrap(text, width - 2))
      .map((text): Line => [span('  '), span(text, value === null ? 'bad' : 'plain')]),
  ]);
}
