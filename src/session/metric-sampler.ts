// Metrics of a live guest: the host's view of the VM, agentless probes, and the in-guest probe over RAM ring or port.

import { errorCode, errorMessage } from '../model/error.ts';
import type { GuestProbe, ProbeLoss, ProbeRing, ProbeStream } from '../model/guest-probe.ts';
import type { Sample } from '../model/metric.ts';
import type { Probe, ProbeGuest, Reading } from '../model/probe.ts';
import type { AddressSpace } from '../model/target.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import { createHostSampler, type HostSampler } from '../qemu/host-metrics.ts';
import { socketAddress } from '../qemu/qmp/endpoint.ts';
import type { LiveTarget } from '../targets/live.ts';
import type { Code } from './code.ts';
import { type ConsoleSource, readSocket } from './console-source.ts';
import { spaceOf } from './sampler.ts';
import type { Session } from './session.ts';

/** Samples on demand; owns the probe's connection. */
export class MetricSampler {
  private readonly input: {
    target: LiveTarget;
    record: VmRecord | null;
    session: Session;
    code: () => Code;
    guestProbe: GuestProbe;
  };
  private readonly host: HostSampler;
  private readonly ring: ProbeRing;
  private stream: { readonly probe: ProbeStream; readonly source: ConsoleSource } | null = null;
  private lostBefore = 0;

  constructor(input: MetricSampler['input']) {
    this.input = input;
    this.host = createHostSampler(input.target.monitor, input.target.facts.pid);
    this.ring = input.guestProbe.openRing();
  }

  /** Connects to the probe's virtio-serial port where the VM has one, and takes the first sample. */
  async start(): Promise<void> {
    const { record, guestProbe, session } = this.input;
    const port = record?.virtioPorts.find(({ name }) => name === guestProbe.portName);
    if (port?.backend.kind === 'socket' && port.backend.server) {
      const probe = guestProbe.openStream('virtio-serial');
      const onBytes = (bytes: Uint8Array): void => {
        this.emit(probe.push(bytes));
      };
      const onRemark = (code: string, message: string): void => {
        if (code !== 'console-from-now')
          session.remark(code.replace('console', 'probe'), message.replace('the console', 'the probe port'));
      };
      this.stream = { probe, source: readSocket(socketAddress(port.backend.endpoint), { onBytes, onRemark }) };
    }
    await this.sample();
  }

  async sample(): Promise<void> {
    const { target, session } = this.input;
    const { status } = target.state();
    if (status === 'gone' || status === 'connecting') return;
    try {
      const [host, guest] = await Promise.all([this.host.sample(), this.sampleGuest()]);
      this.emit([...host, ...guest]);
      this.tellLoss();
    } catch (error) {
      if (errorCode(error) === null) throw error;
      if (errorCode(error) !== 'QMP_CLOSED') session.remark('sample-failed', errorMessage(error));
    }
  }

  close(): void {
    this.stream?.source.close();
  }

  private async sampleGuest(): Promise<readonly Sample[]> {
    const { target, code } = this.input;
    const { probes, missing } = code();
    const space = spaceOf(target, await target.allRegisters());
    if (space === null) return [];
    const read = await Promise.all(probes.map((probe) => sampleProbe(probe, space, code())));
    const absent = missing.flatMap(({ probe, reason }) => absentSamples(probe, reason));
    return [...read.flat(), ...absent, ...(await this.sampleRing(space))];
  }

  private async sampleRing(space: AddressSpace): Promise<readonly Sample[]> {
    const symbol = this.input.code().symbolizer.findSymbol(this.input.guestProbe.ringSymbol);
    if (symbol === null) return [];
    const commit = await space.walk((memory) => this.ring.read(memory, symbol.address));
    return commit?.() ?? [];
  }

  private emit(samples: readonly Sample[]): void {
    if (samples.length > 0) this.input.session.emit({ type: 'metrics', samples });
  }

  private tellLoss(): void {
    const total = count(this.ring.loss) + (this.stream === null ? 0 : count(this.stream.probe.loss));
    if (total > this.lostBefore) this.input.session.emit({ type: 'lost', what: 'probe records', count: total - this.lostBefore });
    this.lostBefore = total;
  }
}

function count({ lost, dropped, damaged }: ProbeLoss): number {
  return lost + dropped + damaged;
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
