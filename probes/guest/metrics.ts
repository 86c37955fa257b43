// Probe records → samples: keeps the declared names, keeps early values back until they are named, counts what was lost.

import type { Sample } from '../../src/model/metric.ts';
import type { ProbeRecord } from './records.ts';

type Declaration = Extract<ProbeRecord, { type: 'declare' }>;

/** Different names heard from one guest: each may become a series, and a hostile guest must not grow our memory. */
const MAX_NAMES = 1_000;
const MAX_KEPT_BACK = 1_000;

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
  private readonly transport: string;
  private readonly names = new Set<string>();
  private readonly declared = new Map<number, Declaration>();
  private keptBack: Extract<ProbeRecord, { type: 'value' }>[] = [];
  private fresh = new Map<string, Sample>();
  private nextSequence: number | null = null;

  constructor(transport: string) {
    this.transport = transport;
  }

  /** Takes records in, in order. */
  push(records: readonly ProbeRecord[]): void {
    for (const record of records) {
      this.records += 1;
      this.countLoss(record.sequence);
      if (record.type === 'declare') this.addName(record);
      else if (record.type === 'value') this.takeValue(record);
      else {
        this.program = record.program;
        this.dropped = record.dropped;
      }
    }
  }

  /** What was said of each metric since the last call: the newest value, of spans the longest. */
  take(): readonly Sample[] {
    const { fresh } = this;
    this.fresh = new Map();
    return [...fresh.values()];
  }

  private takeValue(record: Extract<ProbeRecord, { type: 'value' }>): void {
    const declaration = this.declared.get(record.id);
    if (declaration !== undefined) this.add(declaration, record.value);
    else if (this.keptBack.length < MAX_KEPT_BACK) this.keptBack.push(record);
  }

  private addName(record: Declaration): void {
    if (!this.names.has(record.name) && this.names.size >= MAX_NAMES) return;
    this.names.add(record.name);
    this.declared.set(record.id, record);
    const early = this.keptBack.filter((value) => value.id === record.id);
    if (early.length === 0) return;
    this.keptBack = this.keptBack.filter((value) => value.id !== record.id);
    for (const { value } of early) this.add(record, value);
  }

  private add(declaration: Declaration, value: number): void {
    const { name, kind } = declaration;
    // Several pauses fell into one period: the worst is the one to know.
    const worst = kind === 'span' ? Math.max(value, this.fresh.get(name)?.value ?? 0) : value;
    this.fresh.set(name, {
      name,
      attributes: {},
      value: worst,
      unit: kind === 'span' ? 'ns' : declaration.unit,
      kind: kind === 'counter' ? 'counter' : 'gauge',
      absent: null,
      probe: `guest (${this.transport})`,
    });
  }

  // A gap in the sequence is loss; going back a little is none (a guest that restarted begins at 0 again).
  private countLoss(sequence: number): void {
    if (this.nextSequence !== null) {
      const gap = (sequence - this.nextSequence) >>> 0;
      if (gap < 0x8000_0000) this.lost += gap;
    }
    this.nextSequence = (sequence + 1) >>> 0;
  }
}
