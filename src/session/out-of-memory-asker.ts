// Who asked for the memory that was not there. A thread that waits for memory asked for it, whoever then gives up (seen: OSv's
// reclaimer aborts while its callers sit in its wait list; Nanos kills a program while another of its threads is in the page fault that
// was not served); without one it is the stack that died.

import type { Crash } from '../model/crash.ts';
import type { ConsoleLine } from '../model/event.ts';
import type { Frame, Stack } from '../model/frame.ts';
import type { Allocating } from '../model/heap.ts';
import type { GuestThread } from '../model/thread.ts';
import { findGuiltyFrame, type Machinery } from './blame.ts';
import { findBytesAsked } from './out-of-memory-bytes.ts';

/** What is known of the death. */
export interface AskerWitnesses {
  readonly crash: Crash;
  /** All stacks of a look at the dead, with arguments where they could be had. */
  readonly stacks: readonly Stack[];
  readonly threads: readonly GuestThread[];
  readonly console: readonly ConsoleLine[];
  readonly machinery: Machinery;
  /** `Unikernel.starvesIn`. */
  readonly starvesIn: readonly RegExp[];
}

/** A stack, where in it the asking begins, and how that is known. */
interface Candidate {
  readonly stack: Stack;
  readonly asker: number | null;
  readonly by: string;
}

/** Innermost frames of a crash that are its way of dying. */
const DYING = 2;
/** A probe's words for a thread that waits for memory. */
const FOR_MEMORY = /^memory\b/;
/** Functions whose business is memory, in all the systems and libraries that are known here. */
const ALLOCATES =
  /(?<!de)alloc|mmap|sbrk|memalign|operator new|^runtime\.(?:newobject|newarray|growslice|makeslice|makemap|makechan)/i;

/** Null when no stack of the death is known. */
export function findAllocating(witnesses: AskerWitnesses): Allocating | null {
  const dead = findDead(witnesses);
  const found = findWaiting(witnesses) ?? (dead?.asker == null ? findLeft(witnesses) : null) ?? dead;
  if (found === null) return null;
  const { crash, console } = witnesses;
  return { ...found, bytes: findBytesAsked({ crash, console, frames: found.stack.frames, asker: found.asker }) };
}

/** Of several that wait, the one that came furthest: the system's own threads wait in their own loop. */
function findWaiting({ crash, stacks, threads, machinery, starvesIn }: AskerWitnesses): Candidate | null {
  const waiting = new Set(threads.flatMap(({ id, waitingFor }) => (FOR_MEMORY.test(waitingFor ?? '') ? [id] : [])));
  const isWaiting = ({ function: name }: Frame): boolean => name !== null && starvesIn.some((pattern) => pattern.test(name));
  const all = [
    ...stacks.map((stack) => underThread(stack, threads)),
    ...(crash.frames.some(isWaiting) ? [stackOf(crash, threads)] : []),
  ];
  const candidates = all.flatMap((stack): readonly (Candidate & { readonly outside: number })[] => {
    const at = stack.frames.findLastIndex(isWaiting);
    const isKnown = stack.kind === 'thread' && waiting.has(stack.id);
    if (at < 0 && !isKnown) return [];
    const behind = stack.frames.slice(Math.max(at, 0));
    const asker = placeOf(stack.frames, findGuiltyFrame(behind, machinery));
    if (asker === null) return [];
    const by =
      at < 0 ? `it waits for ${stack.state.replace(/^.*?\((.*)\)$/, '$1')}` : `it waits in ${stack.frames[at]?.function ?? ''}`;
    return [{ stack, asker, by, outside: stack.frames.length - asker }];
  });
  const best = candidates.reduce<(typeof candidates)[number] | null>(
    (furthest, candidate) => (furthest === null || candidate.outside > furthest.outside ? candidate : furthest),
    null,
  );
  return best === null ? null : { stack: best.stack, asker: best.asker, by: best.by };
}

/**
 * A run time that dies in itself ran for somebody: the thread that it left for its own stack, or that died in the same functions (seen: Go,
 * whose traceback finds pages of its own code gone, dies on several threads at once, and prints the stack of one that did no work).
 */
function findLeft({ crash, stacks, machinery }: AskerWitnesses): Candidate | null {
  const dying = new Set(crash.frames.slice(0, DYING).flatMap(({ function: name }) => name ?? []));
  for (const stack of stacks) {
    const isLeft = stack.kind === 'thread' && stack.state === 'running';
    if (!isLeft && !stack.frames.some(({ function: name }) => name !== null && dying.has(name))) continue;
    const asker = placeOf(stack.frames, findGuiltyFrame(stack.frames, machinery));
    if (asker !== null) return { stack, asker, by: 'its run time died of it while it ran for this stack' };
  }
  return null;
}

/** The stack that died. */
function findDead({ crash, threads, machinery, stacks }: AskerWitnesses): Candidate | null {
  const own = stackOf(crash, threads);
  const stack = own.frames.length > 0 ? own : (stacks.find(({ frames }) => frames.some(isAllocator)) ?? null);
  if (stack === null) return null;
  const guilty = stack === own ? (crash.frames.find(({ index }) => index === crash.guiltyFrame) ?? null) : null;
  const asker = placeOf(stack.frames, guilty ?? findGuiltyFrame(stack.frames, machinery));
  const inner = stack.frames.slice(0, asker ?? stack.frames.length);
  const allocator = inner.findLast(isAllocator) ?? null;
  return { stack, asker, by: howDied(crash, allocator) };
}

function howDied({ faultAddress, message, witness }: Crash, allocator: Frame | null): string {
  if (allocator !== null) return `it called ${allocator.function ?? ''}, which had nothing to give`;
  const omen = /\(after: (.{1,200})\)$/s.exec(message)?.[1];
  if (omen !== undefined && faultAddress !== null && faultAddress >= 0x10000n)
    return 'it touched memory that it had been promised, and there was no page for it';
  if (omen !== undefined) return 'it went on after an allocation that had failed, and died of that';
  return witness === 'console' ? 'the guest printed this stack with its last words' : 'this is where the guest stands';
}

function isAllocator({ function: name }: Frame): boolean {
  return name !== null && ALLOCATES.test(name);
}

/** The stack of a crash under the name of the thread that ran. */
function stackOf(crash: Crash, threads: readonly GuestThread[]): Stack {
  const name = crash.vcpu === null ? 'the stack that died' : `vcpu ${crash.vcpu}`;
  const id = String(crash.vcpu ?? 0);
  const { frames } = crash;
  return underThread({ name, kind: 'vcpu', id, state: 'stopped', frames, end: 'outermost', torn: false }, threads);
}

/** A vCPU's stack is that of the thread which runs, where there is but one. */
function underThread(stack: Stack, threads: readonly GuestThread[]): Stack {
  const [thread, another] = threads.filter(({ state }) => state === 'running');
  if (stack.kind !== 'vcpu' || thread === undefined || another !== undefined) return stack;
  return { ...stack, kind: 'thread', id: thread.id, name: thread.name };
}

function placeOf(frames: readonly Frame[], frame: Frame | null): number | null {
  const at = frame === null ? -1 : frames.indexOf(frame);
  return at < 0 ? null : at;
}
