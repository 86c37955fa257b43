// A CPU profile of the guest's JavaScript (CDP Profiler): what DevTools opens as .cpuprofile, who used the time, and the stacks that
// were seen. V8 takes a sample each millisecond from its own thread; switching it on costs the program some ms, the rest little.

import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import type { ReportedFrame } from '../model/console-text.ts';
import type { Connection } from './connection.ts';
import { callFrameSchema, frameOf } from './exception.ts';
import { decodeBy } from './reading.ts';

/** A profile. */
export interface CpuProfile {
  /** The guest's own JSON object: the content of a .cpuprofile file. */
  readonly raw: object;
  /** Milliseconds from its start to its end, by the guest's clock. */
  readonly durationMs: number;
  /** Milliseconds that switching it on took: the program ran not at all, or hardly, meanwhile. */
  readonly startMs: number;
  /** Each stack that was seen on top at least once, longest time first. */
  readonly stacks: readonly SeenStack[];
}

/** A stack and the time in which it was seen. */
export interface SeenStack {
  /** Innermost first. Of V8's own words for no JavaScript, `(idle)`, `(program)`, `(garbage collector)`: one frame without a file. */
  readonly frames: readonly ReportedFrame[];
  readonly ms: number;
}

/** A function's share of a profile. */
export interface FunctionTime {
  readonly frame: ReportedFrame;
  /** In itself, and with all that it called. */
  readonly selfMs: number;
  readonly totalMs: number;
}

/** Longer than this a profile is more than one message may hold. */
export const MAX_PROFILE_MS = 120_000;
const MAX_ANSWER = 16 * 1024 * 1024;
const MAX_DEPTH = 1_000;
const ANSWER_MS = 30_000;

const id = v.pipe(v.number(), v.integer(), v.minValue(0));
const micros = v.pipe(v.number(), v.finite());
const profileSchema = v.object({
  profile: v.object({
    nodes: v.array(v.object({ id, callFrame: callFrameSchema, children: v.optional(v.array(id), []) })),
    startTime: micros,
    endTime: micros,
    samples: v.optional(v.array(id), []),
    timeDeltas: v.optional(v.array(micros), []),
  }),
});
type Profile = v.InferOutput<typeof profileSchema>['profile'];

/** Profiles for `ms`, which is bounded. `intervalMicros` is the time between two samples. Throws INSPECTOR_*. */
export async function recordProfile(connection: Connection, ms: number, intervalMicros = 1000): Promise<CpuProfile> {
  await connection.send('Profiler.enable');
  try {
    await connection.send('Profiler.setSamplingInterval', { interval: intervalMicros });
    const startedAt = performance.now();
    await connection.send('Profiler.start', {}, { timeoutMs: ANSWER_MS });
    const startMs = performance.now() - startedAt;
    await Promise.race([sleep(Math.min(ms, MAX_PROFILE_MS)), connection.ended]);
    const answer = await connection.send('Profiler.stop', {}, { timeoutMs: ANSWER_MS, maxAnswer: MAX_ANSWER });
    return { ...decodeProfile(answer), startMs };
  } finally {
    await connection.send('Profiler.disable').catch(() => undefined);
  }
}

/** Decodes the answer to Profiler.stop. Throws INSPECTOR_MALFORMED. */
export function decodeProfile(answer: unknown): Omit<CpuProfile, 'startMs'> {
  const { profile } = decodeBy(profileSchema, answer, 'profile');
  const stacks = [...timesOf(profile)]
    .map(([leaf, micro]) => ({ frames: stackOf(leaf, parentsOf(profile)), ms: micro / 1000 }))
    .filter(({ frames }) => frames.length > 0)
    .toSorted((one, other) => other.ms - one.ms);
  // What was checked is in `answer` as it came: fields that DevTools knows and we do not stay.
  return {
    raw: (answer as { profile: object }).profile,
    durationMs: Math.max(0, profile.endTime - profile.startTime) / 1000,
    stacks,
  };
}

/** Functions by the time in themselves, longest first. A recursive one counts once in its total. */
export function rankFunctions(stacks: readonly SeenStack[]): readonly FunctionTime[] {
  const times = new Map<string, { frame: ReportedFrame; selfMs: number; totalMs: number }>();
  for (const { frames, ms } of stacks) {
    const inStack = new Set<string>();
    for (const [index, frame] of frames.entries()) {
      const { function: name, file, line, column } = frame;
      const key = `${name ?? ''} ${file ?? ''}:${String(line)}:${String(column)}`;
      const time = times.get(key) ?? { frame, selfMs: 0, totalMs: 0 };
      if (index === 0) time.selfMs += ms;
      if (!inStack.has(key)) time.totalMs += ms;
      inStack.add(key);
      times.set(key, time);
    }
  }
  return [...times.values()].toSorted((one, other) => other.selfMs - one.selfMs);
}

/** A sample stands for the time until the next one: microseconds by node. */
function timesOf({ samples, timeDeltas, startTime, endTime }: Profile): Map<number, number> {
  const times = new Map<number, number>();
  const last = Math.max(0, endTime - startTime - timeDeltas.reduce((sum, delta) => sum + delta, 0));
  for (const [index, node] of samples.entries()) {
    times.set(node, (times.get(node) ?? 0) + Math.max(0, timeDeltas[index + 1] ?? last));
  }
  return times;
}

type Node = Profile['nodes'][number];
type Parents = ReadonlyMap<number, { readonly node: Node; readonly parent: number | null }>;
const PARENTS = new WeakMap<Profile, Parents>();

function parentsOf(profile: Profile): Parents {
  const known = PARENTS.get(profile);
  if (known !== undefined) return known;
  const parent = new Map(profile.nodes.flatMap(({ id: above, children }) => children.map((child) => [child, above])));
  const parents = new Map(profile.nodes.map((node) => [node.id, { node, parent: parent.get(node.id) ?? null }]));
  PARENTS.set(profile, parents);
  return parents;
}

/** The frames from a node up; a loop among its parents ends at the bound. */
function stackOf(leaf: number, parents: Parents): readonly ReportedFrame[] {
  const frames: ReportedFrame[] = [];
  let at: number | null = leaf;
  while (at !== null && frames.length < MAX_DEPTH) {
    const entry = parents.get(at);
    if (entry === undefined) break;
    if (entry.node.callFrame.functionName !== '(root)') frames.push(frameOf(entry.node.callFrame));
    at = entry.parent;
  }
  return frames;
}
