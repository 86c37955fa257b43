// The fold: Snapshot × GuestEvent → Snapshot. Pure; everything a screen or report shows went through here.

import type { Diagnostic } from '../model/diagnostic.ts';
import type { ConsoleLine, EventOf, GuestEvent } from '../model/event.ts';
import { type Sample, seriesKey } from '../model/metric.ts';
import type { Series, Snapshot } from '../model/snapshot.ts';

/** How many console lines a snapshot keeps; older ones are in the recording. */
export const CONSOLE_LINES = 20_000;
/** How many points of history a metric keeps: ten minutes at one a second. */
export const HISTORY_POINTS = 600;
/** Samples may come a hundred times a second: of those that are closer together than this, history keeps the newest. */
const HISTORY_SPACING_MS = 250;
/** A hostile guest may name metrics without end. */
const MAX_SERIES = 2_000;
const MAX_CRASHES = 100;
const MAX_DIAGNOSTICS = 200;
const MAX_EVALUATIONS = 50;

/** What is known before the first event: nothing. */
export const EMPTY_SNAPSHOT: Snapshot = {
  at: 0,
  identity: null,
  vm: { status: 'connecting', reason: null, since: 0 },
  images: [],
  console: [],
  consoleDropped: 0,
  registers: [],
  stacks: [],
  stacksAt: 0,
  threads: [],
  threadsAt: 0,
  metrics: new Map(),
  sockets: null,
  network: null,
  findings: [],
  crashes: [],
  outOfMemory: null,
  guestExit: null,
  stop: null,
  memory: null,
  listing: null,
  evaluations: [],
  diagnostics: [],
  lost: 0,
};

/** Folds many events at once: runs of console lines and of samples cost one copy, not one each. */
export function reduceAll(snapshot: Snapshot, events: readonly GuestEvent[]): Snapshot {
  let result = snapshot;
  for (let index = 0; index < events.length; ) {
    const event = events[index]!;
    if (event.type !== 'console') {
      result = reduce(result, event);
      index += 1;
      continue;
    }
    const lines: ConsoleLine[] = [];
    let at = event.at;
    for (let next = events[index]; next?.type === 'console'; next = events[index]) {
      lines.push(next.line);
      at = next.at;
      index += 1;
    }
    result = appendConsole(result, lines, at);
  }
  return result;
}

/** The snapshot after one more event. */
export function reduce(snapshot: Snapshot, event: GuestEvent): Snapshot {
  const at = event.at;
  switch (event.type) {
    case 'identity':
      return { ...snapshot, at, identity: event.identity };
    case 'vm':
      return reduceVm(snapshot, event);
    case 'images':
      return { ...snapshot, at, images: event.images };
    case 'console':
      return appendConsole(snapshot, [event.line], at);
    case 'registers':
      return { ...snapshot, at, registers: event.vcpus };
    case 'stacks':
      return { ...snapshot, at, stacks: event.stacks, stacksAt: at };
    case 'threads':
      // Told after their stacks, read before them.
      return { ...snapshot, at: Math.max(snapshot.at, at), threads: event.threads, threadsAt: at };
    case 'metrics':
      return reduceMetrics(snapshot, event);
    case 'sockets':
      return { ...snapshot, at, sockets: event.sockets };
    case 'network':
      return { ...snapshot, at, network: event.network };
    case 'finding':
      return reduceFinding(snapshot, event);
    case 'crash':
      return { ...snapshot, at, crashes: [...snapshot.crashes, event.crash].slice(-MAX_CRASHES) };
    case 'out-of-memory':
      return { ...snapshot, at, outOfMemory: event.outOfMemory };
    case 'guest-exit':
      return { ...snapshot, at, guestExit: event.exit };
    case 'stopped':
      return { ...snapshot, at, stop: { vcpu: event.vcpu, reason: event.reason, frames: event.frames } };
    case 'memory':
      return { ...snapshot, at, memory: event.window };
    case 'listing':
      return { ...snapshot, at, listing: { place: event.place, listing: event.listing } };
    case 'evaluated': {
      const { expression, value, error } = event;
      return { ...snapshot, at, evaluations: [...snapshot.evaluations, { expression, value, error }].slice(-MAX_EVALUATIONS) };
    }
    case 'lost':
      return { ...snapshot, at, lost: snapshot.lost + event.count };
    case 'diagnostic':
      return { ...snapshot, at, diagnostics: addDiagnostic(snapshot.diagnostics, event.diagnostic) };
  }
}

function reduceVm(snapshot: Snapshot, event: EventOf<'vm'>): Snapshot {
  const since = event.status === snapshot.vm.status ? snapshot.vm.since : event.at;
  return {
    ...snapshot,
    at: event.at,
    vm: { status: event.status, reason: event.reason, since },
    stop: event.status === 'debug' ? snapshot.stop : null,
  };
}

function reduceFinding(snapshot: Snapshot, { at, finding }: EventOf<'finding'>): Snapshot {
  const before = snapshot.findings.find(({ check }) => check === finding.check);
  const others = snapshot.findings.filter((known) => known !== before);
  return { ...snapshot, at, findings: finding.active ? [...others, { ...finding, since: before?.since ?? at }] : others };
}

function appendConsole(snapshot: Snapshot, lines: readonly ConsoleLine[], at: number): Snapshot {
  const all = [...snapshot.console];
  for (const line of lines) {
    // A partial line is shown at once and replaced by its longer self, under the same number.
    if (all.at(-1)?.number === line.number) all[all.length - 1] = line;
    else all.push(line);
  }
  const dropped = Math.max(0, all.length - CONSOLE_LINES);
  return { ...snapshot, at, console: dropped > 0 ? all.slice(dropped) : all, consoleDropped: snapshot.consoleDropped + dropped };
}

function reduceMetrics(snapshot: Snapshot, event: EventOf<'metrics'>): Snapshot {
  const metrics = new Map(snapshot.metrics);
  let refused = 0;
  for (const sample of event.samples) {
    const key = seriesKey(sample);
    const before: Series | undefined = metrics.get(key);
    if (before === undefined && metrics.size >= MAX_SERIES) {
      refused += 1;
      continue;
    }
    metrics.set(key, appendSample(before, sample, event.at));
    // What was absent as a whole is there in parts: pauses by quantile, once there was a collection.
    if (key !== sample.name && sample.value !== null && metrics.get(sample.name)?.latest.value === null)
      metrics.delete(sample.name);
  }
  const diagnostics =
    refused === 0
      ? snapshot.diagnostics
      : addDiagnostic(snapshot.diagnostics, {
          code: 'too-many-series',
          message: `more than ${MAX_SERIES} metric series: the rest is not kept`,
        });
  return { ...snapshot, at: event.at, metrics, diagnostics };
}

function appendSample(before: Series | undefined, latest: Sample, at: number): Series {
  if (before === undefined) return { latest, at, times: [at], values: [latest.value] };
  const { times, values } = before;
  const isClose = times.length > 1 && at - times.at(-2)! < HISTORY_SPACING_MS;
  const kept = isClose ? times.length - 1 : times.length;
  const from = Math.max(0, kept + 1 - HISTORY_POINTS);
  return { latest, at, times: [...times.slice(from, kept), at], values: [...values.slice(from, kept), latest.value] };
}

/** The same remark is kept once; a newer one with the same code and text changes nothing. */
function addDiagnostic(diagnostics: readonly Diagnostic[], added: Diagnostic): readonly Diagnostic[] {
  if (diagnostics.some((known) => known.code === added.code && known.message === added.message)) return diagnostics;
  return [...diagnostics, added].slice(-MAX_DIAGNOSTICS);
}
