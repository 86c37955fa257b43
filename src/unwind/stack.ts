// Raw frames to the frames of the model: names and lines, inlined calls expanded, numbered from the innermost.

import type { Frame, FrameVariable } from '../model/frame.ts';
import type { Symbolizer } from '../model/symbolizer.ts';
import type { RawFrame } from './walk.ts';

/** Arguments of the activations of each raw frame, innermost inlined call first. */
export type StackArguments = readonly (readonly (readonly FrameVariable[])[])[];

/** The frames that `raw` stands for, inlined ones before the real one they share pc, CFA and trust with. */
export function toFrames(
  raw: readonly RawFrame[],
  symbolizer: Pick<Symbolizer, 'symbolize'>,
  stackArguments: StackArguments = [],
): Frame[] {
  return raw
    .flatMap(({ pc, cfa, trust, exactPc }, at) => {
      const locations = symbolizer.symbolize(pc, { isReturnAddress: !exactPc });
      const activations = stackArguments[at] ?? [];
      return locations.map((location, index) => {
        const known = argumentsOf(activations, locations.length, index);
        return { ...location, pc, cfa, trust, ...(known === null ? {} : { arguments: known }) };
      });
    })
    .map((frame, index) => ({ index, ...frame }));
}

/** Names and variables are found apart: where they disagree on what was inlined, only the real function is certain. */
function argumentsOf(activations: StackArguments[number], count: number, index: number): readonly FrameVariable[] | null {
  if (activations.length === count) return activations[index] ?? null;
  return index === count - 1 ? (activations.at(-1) ?? null) : null;
}
