// Which frame is guilty: the first with a name that is not the machinery of crashing (trap handlers, panic printers, `abort`) and
// not a function that only did what its caller asked (`memcpy`, an allocator). Systems and runtimes name theirs in `crashMachinery`.

import type { Frame } from '../model/frame.ts';

/** What is never guilty: by the function's name, by its source file. */
export interface Machinery {
  readonly functions: readonly RegExp[];
  readonly files: readonly RegExp[];
}

/**
 * The guilty frame; null when it is one without a name. Seen: OSv names its own functions and not those of the program, whose frames
 * lie in no image that we have. The first of OSv's behind them (`run_main`) has done nothing wrong. Frames of a language's own trace,
 * which have no address, are guilty before the native ones of its run time below them.
 */
export function findGuiltyFrame(frames: readonly Frame[], machinery: Machinery): Frame | null {
  const innocent = new Set(withoutMachinery(frames, machinery));
  const isMachinery = (frame: Frame): boolean => frame.function !== null && !innocent.has(frame);
  const named = frames.findIndex((frame) => innocent.has(frame));
  const culprit = frames[named] ?? null;
  if (culprit?.pc === 0n) return culprit;
  // Stubs of the machinery may have no name either: what counts stands behind the last of it.
  const before = named < 0 ? frames : frames.slice(0, named);
  const unknown = before.slice(before.findLastIndex(isMachinery) + 1).some(({ status }) => status === 'no-image');
  return unknown ? null : culprit;
}

/** Frames with a name, or a place in a file (JavaScript's functions need no name), that are not crash machinery. What was inlined into machinery is machinery too: its own name tells nothing. */
export function withoutMachinery(frames: readonly Frame[], machinery: Machinery): readonly Frame[] {
  const { functions, files } = machinery;
  const matches = ({ function: name, file }: Frame): boolean =>
    (name !== null && functions.some((pattern) => pattern.test(name) || pattern.test(withoutCompilerSuffix(name)))) ||
    (file !== null && files.some((pattern) => pattern.test(file)));
  return frames.filter((frame, index) => {
    const real = findOuterFunction(frames, index);
    return (frame.function ?? frame.file) !== null && !matches(frame) && (real === null || !matches(real));
  });
}

/** Seen: `__pthread_kill_implementation.constprop.0` in a static glibc. */
function withoutCompilerSuffix(name: string): string {
  return name.replace(/(?:\.(?:constprop|isra|part|cold|lto_priv)(?:\.\d+)?)+$/, '');
}

/** The real function that the frame at `index` was inlined into; the frame itself when it was not; null when it is not there. */
export function findOuterFunction(frames: readonly Frame[], index: number): Frame | null {
  const frame = frames[index];
  if (frame?.inlined !== true) return frame ?? null;
  return frames.slice(index).find((outer) => !outer.inlined && outer.pc === frame.pc) ?? null;
}
