// The layer of `:p`: what was asked of gdb and what it answered, newest last.

import type { Snapshot } from '../../src/model/snapshot.ts';
import type { Line } from '../text.ts';
import { span, wrap } from '../text.ts';

/** All lines; values may have many. `asked` is what waits for an answer, unless it is there. */
export function evaluationLines({ evaluations }: Snapshot, asked: string, width: number): readonly Line[] {
  const answered = evaluations.slice(-100).flatMap(({ expression, value, error }): readonly Line[] => [
    [span('> ', 'key'), span(expression, 'strong')],
    ...(value ?? error ?? 'no answer')
      .split('\n')
      .slice(0, 500)
      .flatMap((text) => wrap(text, width - 2))
      .map((text): Line => [span('  '), span(text, value === null ? 'bad' : 'plain')]),
  ]);
  if (evaluations.at(-1)?.expression === asked) return answered;
  const waiting = span('  asking gdb, the guest stands still while it looks …', 'dim');
  return [...answered, [span('> ', 'key'), span(asked, 'strong')], [waiting]];
}
