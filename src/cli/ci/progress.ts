// Whether a guest still makes progress: its console, its devices, its runtimes' counters, its threads' and vCPUs' stacks, over the
// last part of a run. An idle guest and one that goes round in one function both stand still; which of it is wrong is not known here.

import type { Stack } from '../../model/frame.ts';
import { seriesKey } from '../../model/metric.ts';
import type { Snapshot } from '../../model/snapshot.ts';

/** How a guest was during the last `forMs`. */
export interface Stillness {
  readonly forMs: number;
  readonly isStill: boolean;
  /** What moved, in words; empty when nothing did. */
  readonly moved: readonly string[];
  /** vCPUs that went round in one place; the others were idle, or worked. */
  readonly spinning: readonly { readonly vcpu: string; readonly where: string }[];
}

interface Seen {
  readonly at: number;
  /** By vCPU: its functions, outermost first; null when it is idle. */
  readonly vcpus: ReadonlyMap<string, readonly string[] | null>;
  readonly threads: string;
}

/** Looks fewer than this prove nothing. */
const MIN_LOOKS = 4;
/** An interrupt, or a timer's thread, may be met now and then. */
const SHARE = 0.8;
const MAX_LOOKS = 400;
const MIN_WINDOW_MS = 1000;
const MAX_WINDOW_MS = 20_000;
/** Counters that grow in a guest that does nothing: time, its timers, and what looking costs. */
const IDLE_COUNTERS =
  /^(?:process|system\.cpu|system\.paging|unikernel\.(?:cpu|balloon|qemu|memory|thread|probe|ticks|context_switches|interrupts|timer))(?:\.|$)/;

/** Fed one snapshot a look. Times in ms since the Unix epoch. */
export class ProgressWatch {
  private readonly startedAt: number;
  private looks: Seen[] = [];
  private console = '';
  private consoleAt: number;
  private readonly counters = new Map<string, { value: number; at: number; name: string }>();

  constructor(startedAt: number) {
    this.startedAt = startedAt;
    this.consoleAt = startedAt;
  }

  push(snapshot: Snapshot, now: number): void {
    const last = snapshot.console.at(-1);
    const console = last === undefined ? '' : `${last.number} ${last.text.length}`;
    if (console !== this.console) this.consoleAt = now;
    this.console = console;
    for (const { latest, at } of snapshot.metrics.values()) {
      if (latest.kind !== 'counter' || latest.value === null || IDLE_COUNTERS.test(latest.name)) continue;
      const key = seriesKey(latest);
      const before = this.counters.get(key);
      if (before?.value === latest.value) continue;
      this.counters.set(key, { value: latest.value, at: before === undefined ? this.startedAt : at, name: latest.name });
    }
    this.looks.push({ at: now, vcpus: chainsOf(snapshot), threads: keyOfThreads(snapshot.stacks) });
    if (this.looks.length > MAX_LOOKS) this.looks = this.looks.slice(-MAX_LOOKS / 2);
  }

  /** Of the last part of the run: half of it, at least a second, at most twenty. */
  judge(now: number): Stillness {
    const forMs = Math.min(Math.max((now - this.startedAt) / 2, MIN_WINDOW_MS), MAX_WINDOW_MS, now - this.startedAt);
    const since = now - forMs;
    const looks = this.looks.filter(({ at }) => at >= since);
    const counted = [...this.counters.values()].filter(({ at }) => at > since).map(({ name }) => name);
    const vcpus = [...(looks.at(-1)?.vcpus.keys() ?? [])].map((vcpu) => ({
      vcpu,
      ...placeOf(looks.map((seen) => seen.vcpus.get(vcpu) ?? null)),
    }));
    const working = vcpus.filter(({ how }) => how === 'works').map(({ vcpu }) => `${vcpu} was met in changing places`);
    const areThreadsStill = mostFrequent(looks.map(({ threads }) => threads)).share >= SHARE;
    const moved = [
      ...(this.consoleAt > since ? ['its console'] : []),
      ...new Set(counted),
      ...(areThreadsStill ? [] : ['its threads']),
      ...working,
    ];
    return {
      forMs,
      isStill: moved.length === 0 && looks.length >= MIN_LOOKS,
      moved,
      spinning: vcpus.flatMap(({ vcpu, how, where }) => (how === 'spins' ? [{ vcpu, where }] : [])),
    };
  }
}

function chainsOf({ registers, stacks }: Snapshot): Seen['vcpus'] {
  const vcpus = stacks.filter(({ kind }) => kind === 'vcpu');
  return new Map(
    vcpus.map((stack): [string, readonly string[] | null] => {
      const own = registers.find(({ vcpu }) => String(vcpu) === stack.id);
      return [stack.name, own?.registers.values['halted'] === 1n ? null : chainOf(stack)];
    }),
  );
}

/** Function names, outermost first; without a name the page. */
function chainOf({ frames }: Stack): readonly string[] {
  return frames.map(({ function: name, pc }) => name ?? `0x${(pc >> 12n).toString(16)}`).toReversed();
}

function keyOfThreads(stacks: readonly Stack[]): string {
  return stacks
    .filter(({ kind, state }) => kind === 'thread' && state !== 'running')
    .map((stack) => `${stack.id}:${chainOf(stack).join('/')}`)
    .join(' ');
}

/** Where a vCPU was met: mostly idle; mostly in one place, or in an interrupt on top of it; or here and there. */
function placeOf(chains: readonly (readonly string[] | null)[]): {
  readonly how: 'idle' | 'spins' | 'works';
  readonly where: string;
} {
  const busy = chains.filter((chain) => chain !== null);
  if (chains.length - busy.length >= chains.length * SHARE) return { how: 'idle', where: '' };
  const { value: place } = mostFrequent(busy.map((chain) => chain.join('/')));
  const there = busy.filter((chain) => `${chain.join('/')}/`.startsWith(`${place}/`)).length;
  if (place === '' || there < chains.length * SHARE) return { how: 'works', where: '' };
  return { how: 'spins', where: place.split('/').at(-1)! };
}

function mostFrequent(values: readonly string[]): { readonly value: string; readonly share: number } {
  const groups = [...Map.groupBy(values, (value) => value)].map(([value, { length }]) => ({ value, length }));
  const [most] = groups.sort((a, b) => b.length - a.length);
  return most === undefined ? { value: '', share: 1 } : { value: most.value, share: most.length / values.length };
}
