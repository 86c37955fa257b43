// Probe records → samples: keeps the declared names, keeps early values back until they are named, counts what was lost. Values
// are folded where they lie, without an object for each: a guest may say hundreds of thousands a second.

import type { Diagnostic } from '../../src/model/diagnostic.ts';
import { type Sample, seriesKey } from '../../src/model/metric.ts';
import { AT, decodeRecord, PROBE_VERSION, type ProbeMetricKind, type ProbeRecord, TYPE, VALUE_SIZE } from './records.ts';

type Declaration = Extract<ProbeRecord, { type: 'declare' }>;

/** Different series heard from one guest: a hostile guest must not grow our memory. */
const MAX_SERIES = 1_000;
const MAX_KEPT_BACK = 1_000;

/** One series as heard so far. */
interface Series {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  kind: ProbeMetricKind;
  unit: string;
  /** Said since the last `take`. */
  fresh: boolean;
  /** The newest value; of spans the longest since the last `take`. */
  value: number;
  /** Of spans, since the first one heard: how many, and how long together, in ns. */
  count: number;
  time: number;
}

/** One guest's probe as heard so far. */
export class ProbeMetrics {
  /** The guest program's own name, once it said HELLO. */
  program: string | null = null;
  /** Records taken in. */
  records = 0;
  /** Records that were sent but never came, by their sequence numbers. */
  lost = 0;
  /** Records that the guest itself had to drop, by its own count. */
  dropped = 0;
  private readonly probe: string;
  private readonly series = new Map<string, Series>();
  /** How many metrics the guest says it has; 0 before it said. */
  private announced = 0;
  /** By metric id; null = declared, but not to be shown. */
  private readonly declared = new Map<number, Series | null>();
  private keptBack: { readonly id: number; readonly value: number }[] = [];
  private fresh: Series[] = [];
  private nextSequence: number | null = null;
  private version = PROBE_VERSION;
  private overfull = false;
  private remarks: Diagnostic[] = [];

  constructor(transport: string) {
    this.probe = `guest (${transport})`;
  }

  /** Takes in the record at [start, start + length) of `view`, in the order they were sent. It is at least MIN_RECORD long. */
  readonly push = (view: DataView, start: number, length: number): void => {
    this.records += 1;
    this.countLoss(view.getUint32(start + AT.sequence, true));
    const type = view.getUint8(start + AT.type);
    if (type >= TYPE.integer && type <= TYPE.span && length >= VALUE_SIZE) {
      const value = readValue(view, start + AT.body, type);
      if (Number.isFinite(value)) this.takeValue(view.getUint16(start + AT.id, true), value);
      return;
    }
    const record = decodeRecord(new Uint8Array(view.buffer, view.byteOffset + start, length));
    if (record?.type === 'declare') this.addName(record);
    if (record?.type === 'hello') this.greet(record);
  };

  /** What was said of each metric since the last call: the newest value; of spans the longest, their count and their sum. */
  take(): readonly Sample[] {
    const { fresh } = this;
    this.fresh = [];
    return fresh.flatMap((series) => {
      series.fresh = false;
      return this.toSamples(series);
    });
  }

  /** What is to be said of the probe itself since the last call. */
  takeRemarks(): readonly Diagnostic[] {
    const { remarks } = this;
    this.remarks = [];
    return remarks;
  }

  private takeValue(id: number, value: number): void {
    const series = this.declared.get(id);
    if (series === undefined) {
      if (this.keptBack.length < MAX_KEPT_BACK) this.keptBack.push({ id, value });
    } else if (series !== null) this.add(series, value);
  }

  private add(series: Series, value: number): void {
    if (series.kind === 'span') {
      series.count += 1;
      series.time += value;
      // Several pauses fell into one period: the worst is the one to know.
      if (!series.fresh || value > series.value) series.value = value;
    } else series.value = value;
    if (series.fresh) return;
    series.fresh = true;
    this.fresh.push(series);
  }

  private addName(record: Declaration): void {
    const series = this.findSeries(record);
    this.declared.set(record.id, series);
    if (this.keptBack.length === 0) return;
    const early = this.keptBack.filter(({ id }) => id === record.id);
    if (early.length === 0) return;
    this.keptBack = this.keptBack.filter(({ id }) => id !== record.id);
    if (series !== null) for (const { value } of early) this.add(series, value);
  }

  /** The series a declaration means, made when it is new; null when there are too many. */
  private findSeries({ name, attributes, kind, unit }: Declaration): Series | null {
    const key = seriesKey({ name, attributes });
    const known = this.series.get(key);
    if (known !== undefined) {
      if (known.kind !== kind || known.unit !== unit) Object.assign(known, { kind, unit });
      return known;
    }
    if (this.series.size >= MAX_SERIES) {
      if (!this.overfull)
        this.remark('many', `the guest's probe names more than ${MAX_SERIES} metrics: the others are not shown`);
      this.overfull = true;
      return null;
    }
    const series: Series = { name, attributes, kind, unit, fresh: false, value: 0, count: 0, time: 0 };
    this.series.set(key, series);
    return series;
  }

  private greet({ program, dropped, version, metricCount }: Extract<ProbeRecord, { type: 'hello' }>): void {
    this.program = program;
    this.dropped = dropped;
    this.announced = metricCount;
    if (version > this.version)
      this.remark(
        'version',
        `the guest's probe speaks version ${version} of the protocol, this unidbg version ${PROBE_VERSION}: what it does not know is left out`,
      );
    this.version = Math.max(this.version, version);
  }

  private toSamples({ name, attributes, kind, unit, value, count, time }: Series): readonly Sample[] {
    const sample = (suffix: string, type: Sample['kind'], of: number, measuredIn: string): Sample => ({
      ...{ name: name + suffix, attributes, value: of, unit: measuredIn, kind: type, absent: null, probe: this.probe },
    });
    if (kind !== 'span') return [sample('', kind, value, unit)];
    // Until all are named nobody knows whether one of them has this name.
    if (this.declared.size < this.announced) return [sample('', 'gauge', value, 'ns')];
    const derived = [sample('.count', 'counter', count, '{span}'), sample('.time', 'counter', time, 'ns')];
    // The guest may count the same itself, under that very name: it knows what went before we came.
    return [sample('', 'gauge', value, 'ns'), ...derived.filter((one) => !this.series.has(seriesKey(one)))];
  }

  // A gap in the sequence is loss; going back a little is none (a guest that restarted begins at 0 again).
  private countLoss(sequence: number): void {
    if (this.nextSequence !== null) {
      const gap = (sequence - this.nextSequence) >>> 0;
      if (gap < 0x8000_0000) this.lost += gap;
    }
    this.nextSequence = (sequence + 1) >>> 0;
  }

  private remark(code: string, message: string): void {
    this.remarks.push({ code: `probe-${code}`, message });
  }
}

/** A value's 8 bytes; integers beyond 2^53 are rounded. No bigint on the way: it would be an allocation. */
function readValue(view: DataView, at: number, type: number): number {
  if (type === TYPE.float) return view.getFloat64(at, true);
  const high = type === TYPE.span ? view.getUint32(at + 4, true) : view.getInt32(at + 4, true);
  return high * 0x1_0000_0000 + view.getUint32(at, true);
}
