// Guests without frame pointers print every word of the stack that may be a return address, among them what earlier calls left there.
// Seen: the demo guest's `abort` at -O2, where the first such word is of the printer that ran just before. Where the code is at hand, a
// word is believed only when there is a call before it, and when that goes to the function that stands below it in the stack.

import type { CallSite } from '../arch/architecture.ts';
import { getArchitecture } from '../arch/machines.ts';
import type { Frame } from '../model/frame.ts';
import type { Code } from './code.ts';

/** So many words further a caller is looked for; behind a tail call there is none, and all words stay. */
const REACH = 12;

/** The frames without the scanned words that others left on the stack. */
export function withoutLeftovers(frames: readonly Frame[], code: Pick<Code, 'readText' | 'images'>): readonly Frame[] {
  if (!frames.some(({ trust }) => trust === 'scan')) return frames;
  const activations = activationsOf(frames).filter(([first]) => first!.trust !== 'scan' || callBefore(first!.pc, code) !== null);
  const kept: (readonly Frame[])[] = [];
  for (let at = 0; at < activations.length; at += 1) {
    const one = activations[at]!;
    const below = kept.at(-1);
    if (one[0]!.trust === 'scan' && below !== undefined && !calls(one, below, code)) {
      const caller = activations.slice(at + 1, at + 1 + REACH).findIndex((other) => calls(other, below, code));
      if (caller >= 0) at += 1 + caller;
    }
    kept.push(activations[at]!);
  }
  return kept.flat();
}

/** Frames with the calls that were inlined into each, which share its pc. */
function activationsOf(frames: readonly Frame[]): readonly (readonly Frame[])[] {
  const all: Frame[][] = [];
  let open: Frame[] | null = null;
  for (const frame of frames) {
    if (open === null) all.push((open = []));
    open.push(frame);
    if (!frame.inlined) open = null;
  }
  return all;
}

/** Whether the call that returns to the first goes to the function that the second is in; an indirect call may go anywhere. */
function calls(caller: readonly Frame[], callee: readonly Frame[], code: Pick<Code, 'readText' | 'images'>): boolean {
  const call = callBefore(caller[0]!.pc, code);
  const inner = callee.at(-1)!;
  if (call === null || call === 'unknown' || inner.functionOffset === null) return call !== null;
  return call.target === null || call.target === inner.pc - BigInt(inner.functionOffset);
}

/** The call that returns to `pc`; null when none does, `unknown` where the code is not at hand. */
function callBefore(pc: bigint, { readText, images }: Pick<Code, 'readText' | 'images'>): CallSite | 'unknown' | null {
  const machine = images[0]?.machine;
  if (machine === undefined) return 'unknown';
  const { findCallBefore, maxCallLength } = getArchitecture(machine);
  const bytes = readText(pc - BigInt(maxCallLength), maxCallLength);
  return bytes === null ? 'unknown' : findCallBefore(bytes, pc);
}
