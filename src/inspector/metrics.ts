// A guest's heap readings as metrics: OpenTelemetry's names for V8 and Node.js where they exist (semconv v8js.*, nodejs.*).

import type { MetricDeclaration, Sample } from '../model/metric.ts';
import type { GcTotal, HeapReading } from './reading.ts';

/** The probe's name in samples. */
export const INSPECTOR_PROBE = 'v8-inspector';

const SINCE = 'counted from the moment that unidbg attached';
const bytes = (doc: string): MetricDeclaration => ({ kind: 'gauge', unit: 'By', doc });

/** All that is measured over a V8 inspector. */
export const INSPECTOR_METRICS = {
  'v8js.memory.heap.used': bytes('Bytes in use on the heap, dead objects that were not collected yet included'),
  'v8js.memory.heap.size': bytes('Bytes that V8 holds for its heap'),
  'v8js.memory.heap.physical': bytes('Bytes of the heap that are backed by memory'),
  'v8js.memory.heap.limit': bytes('Bytes that the heap may grow to: beyond it the program dies'),
  'v8js.memory.external': bytes('Bytes outside of the heap that objects keep alive: buffers, mostly'),
  'v8js.memory.malloced': bytes('Bytes that V8 itself has from malloc'),
  'v8js.memory.heap.space.size': bytes('Bytes that V8 holds for a heap space'),
  'v8js.memory.heap.space.used_size': bytes('Bytes in use in a heap space'),
  'v8js.memory.heap.space.available_size': bytes('Bytes free in a heap space'),
  'v8js.memory.heap.space.physical_size': bytes('Bytes of a heap space that are backed by memory'),
  'v8js.contexts.detached': {
    kind: 'gauge',
    unit: '{context}',
    doc: 'Contexts that are detached and not collected: a leak, when it stays above 0',
  },
  'v8js.gc.cycles': { kind: 'counter', unit: '{cycle}', doc: `Major garbage collections (mark-sweep-compact), ${SINCE}` },
  'v8js.gc.minor.cycles': { kind: 'counter', unit: '{cycle}', doc: `Minor garbage collections (scavenges), ${SINCE}` },
  'v8js.gc.events': { kind: 'counter', unit: '{event}', doc: `Garbage collection events by kind, ${SINCE}` },
  'v8js.gc.pause.time': {
    kind: 'counter',
    unit: 'ns',
    doc: `Time that JavaScript stood still for garbage collection, all kinds, ${SINCE}`,
  },
  'v8js.gc.pause.last': { kind: 'gauge', unit: 'ns', doc: 'Duration of the last garbage collection event' },
  'v8js.gc.pause': {
    kind: 'gauge',
    unit: 'ns',
    doc: 'Durations of the newest garbage collection events (at most 256), by quantile',
  },
  'nodejs.eventloop.time': { kind: 'counter', unit: 's', doc: 'Time the event loop has been idle or active, by state' },
  'nodejs.eventloop.utilization': {
    kind: 'gauge',
    unit: '1',
    doc: 'Share of time since the last reading in which the event loop was not idle',
  },
} as const satisfies Record<string, MetricDeclaration>;

type Name = keyof typeof INSPECTOR_METRICS;
type Attributes = Readonly<Record<string, string>>;

const MANY_SERIES: ReadonlySet<Name> = new Set([
  'v8js.memory.heap.space.size',
  'v8js.memory.heap.space.used_size',
  'v8js.memory.heap.space.available_size',
  'v8js.memory.heap.space.physical_size',
  'v8js.gc.events',
  'v8js.gc.pause',
  'nodejs.eventloop.time',
]);
const QUANTILES = [0.5, 0.9, 0.99, 1];
const KEPT = 256;
const NS_PER_MS = 1e6;

const FROM_STATISTICS: readonly (readonly [Name, string])[] = [
  ['v8js.memory.heap.used', 'used_heap_size'],
  ['v8js.memory.heap.size', 'total_heap_size'],
  ['v8js.memory.heap.physical', 'total_physical_size'],
  ['v8js.memory.heap.limit', 'heap_size_limit'],
  ['v8js.memory.external', 'external_memory'],
  ['v8js.memory.malloced', 'malloced_memory'],
  ['v8js.contexts.detached', 'number_of_detached_contexts'],
];

/** Turns readings into samples; keeps what went on counting while the connection was another one. */
export class HeapMetrics {
  private program: string | null = null;
  private attachment: number | null = null;
  /** Of earlier connections to the same program, and of this one at its last reading. */
  private before = new Map<string, GcTotal>();
  private totals: ReadonlyMap<string, GcTotal> = new Map();
  private recent: number[] = [];
  private loop: HeapReading['loop'] = null;

  /** Samples of one reading. `program` is the inspector's target id, another one after a restart; `attachment` numbers connections. */
  take(reading: HeapReading, program: string, attachment: number): readonly Sample[] {
    this.follow(program, attachment);
    const { statistics, spaces } = reading;
    return [
      ...FROM_STATISTICS.flatMap(([name, field]) => (statistics[field] === undefined ? [] : [sample(name, statistics[field])])),
      ...spaces.flatMap(({ name, size, used, available, physical }) => {
        const attributes = { 'v8js.heap.space.name': name };
        return [
          sample('v8js.memory.heap.space.size', size, attributes),
          sample('v8js.memory.heap.space.used_size', used, attributes),
          sample('v8js.memory.heap.space.available_size', available, attributes),
          sample('v8js.memory.heap.space.physical_size', physical, attributes),
        ];
      }),
      ...(reading.gc === null ? [] : this.takeCollections(reading.gc)),
      ...(reading.loop === null ? [] : this.takeLoop(reading.loop)),
    ];
  }

  private follow(program: string, attachment: number): void {
    if (program !== this.program) {
      this.before = new Map();
      this.recent = [];
      this.loop = null;
    } else if (attachment !== this.attachment) {
      this.before = this.all();
    }
    if (program !== this.program || attachment !== this.attachment) this.totals = new Map();
    this.program = program;
    this.attachment = attachment;
  }

  private all(): Map<string, GcTotal> {
    const kinds = new Set([...this.before.keys(), ...this.totals.keys()]);
    return new Map([...kinds].map((kind) => [kind, add(this.before.get(kind), this.totals.get(kind))]));
  }

  private takeCollections({ totals, recent }: NonNullable<HeapReading['gc']>): readonly Sample[] {
    this.totals = totals;
    this.recent = [...this.recent, ...recent.map(({ ms }) => ms * NS_PER_MS)].slice(-KEPT);
    const all = this.all();
    const last = this.recent.at(-1);
    const sorted = this.recent.toSorted((one, other) => one - other);
    return [
      sample('v8js.gc.cycles', all.get('major')?.count ?? 0),
      sample('v8js.gc.minor.cycles', all.get('minor')?.count ?? 0),
      ...[...all].map(([kind, { count }]) => sample('v8js.gc.events', count, { 'v8js.gc.type': kind })),
      sample('v8js.gc.pause.time', [...all.values()].reduce((sum, { ms }) => sum + ms, 0) * NS_PER_MS),
      last === undefined
        ? absent('v8js.gc.pause.last', 'nothing was collected since unidbg attached')
        : sample('v8js.gc.pause.last', last),
      ...(last === undefined
        ? []
        : QUANTILES.map((quantile) => sample('v8js.gc.pause', at(sorted, quantile), { quantile: String(quantile) }))),
    ];
  }

  private takeLoop(loop: NonNullable<HeapReading['loop']>): readonly Sample[] {
    const before = this.loop;
    this.loop = loop;
    const [idle, active] = [loop.idle - (before?.idle ?? 0), loop.active - (before?.active ?? 0)];
    return [
      sample('nodejs.eventloop.time', loop.idle / 1000, { 'nodejs.eventloop.state': 'idle' }),
      sample('nodejs.eventloop.time', loop.active / 1000, { 'nodejs.eventloop.state': 'active' }),
      ...(idle + active > 0 ? [sample('nodejs.eventloop.utilization', active / (idle + active))] : []),
    ];
  }
}

/** Every metric that has one series as absent, for one reason. Of others it would stay beside those which come later. */
export function absentMetrics(reason: string): readonly Sample[] {
  const single = (Object.keys(INSPECTOR_METRICS) as Name[]).filter((name) => !MANY_SERIES.has(name));
  return single.map((name) => absent(name, reason));
}

function absent(name: Name, reason: string): Sample {
  return { ...sample(name, 0), value: null, absent: reason };
}

function sample(name: Name, value: number, attributes: Attributes = {}): Sample {
  const { kind, unit } = INSPECTOR_METRICS[name];
  return { name, attributes, value, unit, kind, absent: null, probe: INSPECTOR_PROBE };
}

function add(one: GcTotal = { count: 0, ms: 0 }, other: GcTotal = { count: 0, ms: 0 }): GcTotal {
  return { count: one.count + other.count, ms: one.ms + other.ms };
}

/** The nearest-rank quantile of sorted values, of which there are some. */
function at(sorted: readonly number[], quantile: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * quantile) - 1)] ?? 0;
}
