// Metrics of a live guest: the host's view of the VM, agentless probes, and what the in-guest probe says.

import { errorCode, errorMessage } from '../model/error.ts';
import type { GuestProbe } from '../model/guest-probe.ts';
import type { Sample } from '../model/metric.ts';
import type { Probe, ProbeGuest, Reading } from '../model/probe.ts';
import type { AddressSpace } from '../model/target.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import { createHostSampler, type HostSampler } from '../qemu/host-metrics.ts';
import type { LiveTarget } from '../targets/live.ts';
import type { Code } from './code.ts';
import { ProbeSource } from './probe-source.ts';
import { spaceOf } from './sampler.ts';
import type { Session } from './session.ts';

/** Samples on demand; owns the in-guest probe's connections. */
export class MetricSampler {
  private readonly input: {
    target: LiveTarget;
    record: VmRecord | null;
    session: Session;
    code: () => Code;
    guestProbe: GuestProbe;
  };
  private readonly host: HostSampler;
  private readonly inside: ProbeSource;
  /** Names of metrics that are measured from outside. */
  private readonly outside = new Set<string>();

  constructor(input: MetricSampler['input']) {
    this.input = input;
    this.host = createHostSampler(input.target.monitor, input.target.facts.pid);
    this.inside = new ProbeSource(input);
  }

  /** Looks for the in-guest probe, and takes the first sample. */
  async start(): Promise<void> {
    await this.telling(() => this.inside.open());
    await this.sample();
  }

  async sample(): Promise<void> {
    const { status } = this.input.target.state();
    if (status === 'gone' || status === 'connecting') return;
    await this.telling(() => this.sampleAll());
  }

  close(): void {
    this.inside.close();
  }

  // What was lost of the guest is told by others; what else unidbg knows to go wrong is a remark.
  private async telling(body: () => Promise<void>): Promise<void> {
    try {
      await body();
    } catch (error) {
      if (errorCode(error) === null) throw error;
      if (errorCode(error) !== 'QMP_CLOSED') this.input.session.remark('sample-failed', errorMessage(error));
    }
  }

  private async sampleAll(): Promise<void> {
    const { target, session } = this.input;
    const space = spaceOf(target, await target.allRegisters());
    const [host, agentless] = await Promise.all([this.host.sample(), this.sampleProbes(space)]);
    for (const { name } of [...host, ...agentless]) this.outside.add(name);
    const samples = [...host, ...agentless, ...(await this.inside.sample(space, this.outside))];
    if (samples.length > 0) session.emit({ type: 'metrics', samples });
  }

  private async sampleProbes(space: AddressSpace | null): Promise<readonly Sample[]> {
    if (space === null) return [];
    const code = this.input.code();
    const read = await Promise.all(code.probes.map((probe) => sampleProbe(probe, space, code)));
    const absent = code.missing.flatMap(({ probe, reason }) => absentSamples(probe, reason));
    return [...read.flat(), ...absent];
  }
}

async function sampleProbe(probe: Probe, space: AddressSpace, code: Code): Promise<readonly Sample[]> {
  const readings = await space.walk((memory) => {
    const guest: ProbeGuest = { memory, types: code.symbolizer.types, symbols: code.symbolizer };
    return probe.sample(guest);
  });
  return Object.keys(probe.metrics).flatMap((name) => toSamples(probe, name, readings[name]));
}

function absentSamples(probe: Probe, reason: string): readonly Sample[] {
  return Object.keys(probe.metrics).flatMap((name) => toSamples(probe, name, { absent: reason }));
}

function toSamples(probe: Probe, name: string, reading: Reading | undefined): readonly Sample[] {
  const { kind, unit } = probe.metrics[name]!;
  const sample = (
    value: number | bigint | null,
    attributes: Readonly<Record<string, string>>,
    absent: string | null,
  ): Sample => ({
    name,
    attributes,
    value: value === null ? null : Number(value),
    unit,
    kind,
    absent,
    probe: probe.name,
  });
  if (reading === undefined) return [sample(null, {}, 'this guest does not keep it')];
  if (typeof reading === 'number' || typeof reading === 'bigint') return [sample(reading, {}, null)];
  if ('absent' in reading) return [sample(null, {}, reading.absent)];
  return reading.map(({ value, attributes }) => sample(value, attributes, null));
}
