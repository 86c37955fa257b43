// All that measures a live guest: its host, its memory, its own probe, the wire, a V8 inspector, and its collector's log on the
// console; and what the samples mean.

import type { ReportedCrash } from '../model/console-text.ts';
import { type Sample, seriesKey } from '../model/metric.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import type { LiveTarget } from '../targets/live.ts';
import { Appraisal } from './appraisal.ts';
import type { Code } from './code.ts';
import { InspectorSource } from './inspector-source.ts';
import { MetricSampler } from './metric-sampler.ts';
import { NetworkSource } from './network-source.ts';
import type { ProbeEndpoint } from './probe-endpoint.ts';
import type { Session } from './session.ts';
import type { Systems } from './systems.ts';

/** What is measured, and where else than in the VM itself is listened. */
export interface MeasuringInput {
  readonly target: LiveTarget;
  readonly record: VmRecord | null;
  readonly session: Session;
  readonly code: () => Code;
  readonly systems: Systems;
  readonly probeEndpoints: readonly ProbeEndpoint[];
  readonly inspect: string | null;
  readonly evaluate: boolean;
  /** An uncaught exception that an inspector told and the console did not. */
  readonly onCrash: (crash: ReportedCrash) => void;
}

/** Samples on demand; owns every connection that measuring needs. */
export class Measuring {
  readonly network: NetworkSource;
  readonly inspector: InspectorSource;
  private readonly sampler: MetricSampler;
  private readonly appraisal: Appraisal;
  private readonly gcLog: ReturnType<Systems['openGcLog']>;
  /** What the console said of collections since the last sample, by series. */
  private logged = new Map<string, Sample>();

  constructor(input: MeasuringInput) {
    const { target, record, session, code, systems, inspect, evaluate, onCrash } = input;
    this.network = new NetworkSource({ session, monitor: target.monitor, pid: target.facts.pid });
    this.inspector = new InspectorSource({ session, record, code, inspect, evaluate, onCrash });
    this.gcLog = systems.openGcLog();
    this.appraisal = new Appraisal(session, systems);
    const { guestProbe } = systems;
    this.sampler = new MetricSampler({ target, record, session, code, guestProbe, endpoints: input.probeEndpoints }, (outside) =>
      this.sampleOthers(outside),
    );
  }

  /** Looks for whom to listen to, and takes the first sample. */
  async start(): Promise<void> {
    this.inspector.open();
    await this.sampler.open();
    await this.sample();
  }

  async sample(): Promise<void> {
    await this.sampler.sample();
    this.appraisal.appraise(performance.now());
  }

  /** Takes a whole line of the console: collectors may log there. */
  hear(line: string): void {
    for (const sample of this.gcLog.push(line)) this.logged.set(seriesKey(sample), sample);
  }

  /** The guest began anew. */
  reset(): void {
    this.gcLog.reset();
    this.logged.clear();
  }

  /** Leaves the VM as it was found. */
  async close(): Promise<void> {
    await this.network.close();
    await this.inspector.close();
    await this.sampler.close();
  }

  private async sampleOthers(outside: ReadonlySet<string>): Promise<readonly Sample[]> {
    const logged = [...this.logged.values()];
    this.logged = new Map();
    const told = [...this.network.samples(), ...(await this.inspector.samples())];
    const names = new Set(told.filter(({ value }) => value !== null).map(({ name }) => name));
    return [...told, ...logged.filter(({ name }) => !names.has(name) && !outside.has(name))];
  }
}
