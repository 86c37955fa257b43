// Which frame is guilty: the first with a name that is not the machinery of crashing (trap handlers, panic printers, `abort`) and
// not a function that only did what its caller asked (`memcpy`, an allocator). Systems and runtimes name theirs in `crashMachinery`.

import type { Frame } from '../model/frame.ts';

/** The guilty frame; without any the innermost with a name, null without that. */
export function findGuiltyFrame(frames: readonly Frame[], machinery: readonly RegExp[]): Frame | null {
  return withoutMachinery(frames, machinery)[0] ?? frames.find((frame) => frame.function !== null) ?? null;
}

/** Named frames that are not crash machinery. What was inlined into machinery is machinery too: its own name tells nothing. */
export function withoutMachinery(frames: readonly Frame[], machinery: readonly RegExp[]): readonly Frame[] {
  const matches = ({ function: name }: Frame): boolean => name !== null && machinery.some((pattern) => pattern.test(name));
  return frames.filter((frame, index) => {
    const real = findOuterFunction(frames, index);
    return frame.function !== null && !matches(frame) && (real === null || !matches(real));
  });
}

/** The real function that the frame at `index` was inlined into; the frame itself when it was not; null when it is not there. */
export function findOuterFunction(frames: readonly Frame[], index: number): Frame | null {
  const frame = frames[index];
  if (frame?.inlined !== true) return frame ?? null;
  return frames.slice(index).find((outer) => !outer.inlined && outer.pc === frame.pc) ?? null;
}
