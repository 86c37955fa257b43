// Probe records → samples: keeps the declared names, keeps early values back until they are named, counts what was lost.

import type { Sample } from '../../src/model/metric.ts';
import type { ProbeRecord } from './records.ts';

type Declaration = Extract<ProbeRecord, { type: 'declare' }>;

const MAX_DECLARED = 1_000;
const MAX_KEPT_BACK = 1_000;

/** One guest's probe as heard so far. */
export class ProbeMetrics {
  /** The guest program's own name, once it said HELLO. */
  program: string | null = null;
  /** Records that were sent but never came, by their sequence numbers. */
  lost = 0;
  /** Records that the guest itself had to drop, by its own count. */
  dropped = 0;
  private readonly transport: string;
  private readonly declared = new Map<number, Declaration>();
  private keptBack: Extract<ProbeRecord, { type: 'value' }>[] = [];
  private nextSequence: number | null = null;

  constructor(transport: string) {
    this.transport = transport;
  }

  /** Takes records in order; gives the newest value of each metric among them. */
  push(records: readonly ProbeRecord[]): readonly Sample[] {
    const newest = new Map<string, Sample>();
    for (const record of records) {
      this.countLoss(record.sequence);
      for (const sample of this.take(record)) newest.set(sample.name, sample);
    }
    return [...newest.values()];
  }

  private take(record: ProbeRecord): readonly Sample[] {
    switch (record.type) {
      case 'hello':
        this.program = record.program;
        this.dropped = record.dropped;
        return [];
      case 'declare':
        return this.addDeclaration(record);
      case 'value': {
        const declaration = this.declared.get(record.id);
        if (declaration !== undefined) return [toSample(declaration, record.value, this.transport)];
        if (this.keptBack.length < MAX_KEPT_BACK) this.keptBack.push(record);
        return [];
      }
    }
  }

  private addDeclaration(record: Declaration): readonly Sample[] {
    if (!this.declared.has(record.id) && this.declared.size >= MAX_DECLARED) return [];
    this.declared.set(record.id, record);
    const early = this.keptBack.filter((value) => value.id === record.id);
    if (early.length === 0) return [];
    this.keptBack = this.keptBack.filter((value) => value.id !== record.id);
    return early.map((value) => toSample(record, value.value, this.transport));
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

function toSample(declaration: Declaration, value: number, transport: string): Sample {
  return {
    name: declaration.name,
    attributes: {},
    value,
    unit: declaration.kind === 'span' ? 'ns' : declaration.unit,
    kind: declaration.kind === 'counter' ? 'counter' : 'gauge',
    absent: null,
    probe: `guest (${transport})`,
  };
}
