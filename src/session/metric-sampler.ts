// Metrics of a live guest: the host's view of the VM, agentless probes, and what the in-guest probe says.

import { errorCode, errorMessage } from '../model/error.ts';
import type { Sample } from '../model/metric.ts';
import type { VcpuRegisters } from '../model/registers.ts';
import type { AddressSpace } from '../model/target.ts';
import { createHostSampler, type HostSampler } from '../qemu/host-metrics.ts';
import { CounterWraps } from './counter-wraps.ts';
import { ProbeSource, type ProbeSourceInput } from './probe-source.ts';
import { readProbes, readSockets } from './read-probes.ts';
import { spaceOf } from './sampler.ts';

/** Listing what is open may walk long tables: that is not done at every sample. */
const SOCKETS_EVERY_MS = 1_000;

/** Which mapping is in force hardly ever changes in a unikernel, and under KVM asking for it interrupts the vCPUs. */
const REGISTERS_EVERY_MS = 2_000;

/** Samples on demand; owns the in-guest probe's connections. */
export class MetricSampler {
  private readonly input: ProbeSourceInput;
  private readonly host: HostSampler;
  private readonly inside: ProbeSource;
  private readonly wraps = new CounterWraps();
  private readonly unwatch: () => void;
  private readonly others: (outside: ReadonlySet<string>) => Promise<readonly Sample[]>;
  private socketsAt = Number.NEGATIVE_INFINITY;
  private vcpus: readonly VcpuRegisters[] = [];
  private registersAt = Number.NEGATIVE_INFINITY;
  /** Names of metrics that are measured from outside. */
  private readonly outside = new Set<string>();
  /** Names that somebody else said: where they are absent in memory, they are not absent. */
  private readonly said = new Set<string>();

  /** `others`: samples of whoever else measures this guest, asked for at each sample with the names that are measured here. */
  constructor(input: ProbeSourceInput, others: (outside: ReadonlySet<string>) => Promise<readonly Sample[]>) {
    this.input = input;
    this.others = others;
    this.host = createHostSampler(input.target.monitor, input.target.facts.pid);
    this.inside = new ProbeSource(input);
    this.unwatch = input.target.onState(({ cause }) => {
      this.registersAt = Number.NEGATIVE_INFINITY;
      if (cause === 'guest-reset') this.wraps.reset();
    });
  }

  /** Looks for the in-guest probe. */
  async open(): Promise<void> {
    await this.telling(() => this.inside.open());
  }

  async sample(): Promise<void> {
    const { status } = this.input.target.state();
    if (status === 'gone' || status === 'connecting') return;
    await this.telling(() => this.sampleAll());
  }

  /** Leaves the VM as it was found. */
  async close(): Promise<void> {
    this.unwatch();
    this.inside.close();
    await this.telling(() => this.host.close());
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
    const { session, target } = this.input;
    const vcpus = await this.registers();
    const space = spaceOf(target, vcpus);
    const memory = space === null ? [] : readProbes(space, this.input.code(), this.wraps);
    const [host, agentless] = await Promise.all([this.host.sample(), memory]);
    for (const { name, value } of [...host, ...agentless]) if (value !== null) this.outside.add(name);
    const others = await this.others(this.outside);
    const measured = [...host, ...agentless, ...others];
    const known = new Set([...this.outside, ...others.flatMap(({ name, value }) => (value === null ? [] : [name]))]);
    const inside = await this.inside.sample(vcpus[0]?.registers ?? null, known);
    for (const { name, value } of [...others, ...inside]) if (value !== null) this.said.add(name);
    const samples = [...measured.filter(({ name, value }) => value !== null || !this.said.has(name)), ...inside];
    if (samples.length > 0) session.emit({ type: 'metrics', samples });
    await this.sampleSockets(spaceOf(target, vcpus));
  }

  private async registers(): Promise<readonly VcpuRegisters[]> {
    if (performance.now() - this.registersAt >= REGISTERS_EVERY_MS) {
      this.vcpus = await this.input.target.allRegisters();
      this.registersAt = performance.now();
    }
    return this.vcpus;
  }

  private async sampleSockets(space: AddressSpace | null): Promise<void> {
    if (space === null || performance.now() - this.socketsAt < SOCKETS_EVERY_MS) return;
    this.socketsAt = performance.now();
    const sockets = await readSockets(space, this.input.code());
    if (sockets !== null) this.input.session.emit({ type: 'sockets', sockets });
  }
}
