// Raw frames to the frames of the model: names and lines, inlined calls expanded, numbered from the innermost.

import type { Frame } from '../model/frame.ts';
import type { Symbolizer } from '../model/symbolizer.ts';
import type { RawFrame } from './walk.ts';

/** The frames that `raw` stands for, inlined ones before the real one they share pc, CFA and trust with. */
export function toFrames(raw: readonly RawFrame[], symbolizer: Pick<Symbolizer, 'symbolize'>): Frame[] {
  return raw
    .flatMap(({ pc, cfa, trust, exactPc }) =>
      symbolizer.symbolize(pc, { isReturnAddress: !exactPc }).map((location) => ({ ...location, pc, cfa, trust })),
    )
    .map((frame, index) => ({ index, ...frame }));
}
