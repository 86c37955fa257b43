// A running QEMU as a Target: monitor for registers and state, the best permitted reader for memory. Opening it, reading
// it and closing it never stop the guest; `stop` and `exactly` do, and say so.

import { createAddressSpace } from '../memory/address-space.ts';
import { openPhysicalMemory, type PhysicalMemory } from '../memory/open-physical.ts';
import type { LiveReaderName } from '../memory/physical.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import { errorMessage, UnidbgError } from '../model/error.ts';
import type { Machine } from '../model/machine.ts';
import type { Registers, VcpuRegisters } from '../model/registers.ts';
import type { AddressSpace } from '../model/target.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import { type Monitor, openMonitor } from '../qemu/monitor.ts';
import { findPidOfMonitor, findUid } from '../qemu/process.ts';
import type { Endpoint } from '../qemu/qmp/endpoint.ts';
import { parseRegisters } from '../qemu/registers.ts';
import type { VmState } from '../qemu/vm-status.ts';
import { type VmWatch, watchVm } from '../qemu/vm-watch.ts';
import type { OpenTarget, TargetFacts } from './target.ts';

/** What to attach to: a record of `findVm`, or a monitor's endpoint (`pid` is then found through the monitor). */
export type LiveSource = VmRecord | { readonly endpoint: Endpoint };

/** `readers` restricts how memory may be read (tests, `--reader`); null memory = none of them works. */
export interface LiveOptions {
  readonly readers?: readonly LiveReaderName[];
  readonly connectTimeoutMs?: number;
}

/** What was learnt while attaching. */
export interface LiveFacts extends TargetFacts {
  readonly pid: number | null;
  readonly accelerator: string | null;
  /** `7.2.22`; null behind an HMP monitor. */
  readonly qemuVersion: string | null;
}

/** An attached, running (or dead but still there) VM. Owns its monitor connection and its memory reader. */
export interface LiveTarget extends OpenTarget {
  readonly kind: 'live';
  readonly facts: LiveFacts;
  readonly monitor: Monitor;
  /** Calls `listener` at each change, from now on. Returns the unsubscriber. */
  onState(listener: (state: VmState) => void): () => void;
  /** Pauses the guest (QMP `stop`); it stays so until `cont`. */
  stop(): Promise<void>;
  cont(): Promise<void>;
  /** Exact mode: runs `body` with the guest stopped (unless it is anyway) and says for how long, in ms. */
  exactly<T>(body: () => Promise<T>): Promise<{ readonly value: T; readonly stoppedMs: number }>;
}

/** Attaches without stopping the guest. Throws QMP_CONNECT; memory that cannot be read is a diagnostic, not an error. */
export async function openLive(source: LiveSource, options: LiveOptions = {}): Promise<LiveTarget> {
  const record = 'pid' in source ? source : null;
  const monitor = await openMonitor('pid' in source ? source.monitors : [source.endpoint], options);
  const ask = (line: string): Promise<string> => monitor.hmp(line);
  let memory: Promise<MemoryOutcome> | null = null;
  try {
    const pid = record?.pid ?? (await findPidOfMonitor(ask));
    memory = openMemory(monitor, pid, options);
    const [machine, registers, facts] = await Promise.all([
      findMachine(monitor, record),
      ask('info registers -a'),
      askFacts(monitor, record),
    ]);
    const vcpus = parseRegisters(registers, machine).map(({ vcpu }) => vcpu);
    const outcome = await memory;
    return new LiveVm(monitor, { ...facts, pid, machine }, vcpus, outcome, await watchVm(monitor, pid), options);
  } catch (error) {
    monitor.close();
    const outcome = await memory;
    if (outcome !== null && 'reader' in outcome) outcome.reader.close();
    throw error;
  }
}

type MemoryOutcome = PhysicalMemory | { readonly unreadable: string };

async function openMemory(monitor: Monitor, pid: number | null, options: LiveOptions): Promise<MemoryOutcome> {
  const access = { ask: (line: string) => monitor.hmp(line), pid, uid: pid === null ? null : findUid(pid) };
  try {
    return await openPhysicalMemory(access, options.readers);
  } catch (error) {
    return { unreadable: errorMessage(error) };
  }
}

async function findMachine(monitor: Monitor, record: VmRecord | null): Promise<Machine> {
  const arch = (await monitor.findArchitecture()) ?? record?.machine ?? 'x86_64';
  if (arch === 'x86_64' || arch === 'i386' || arch === 'aarch64' || arch === 'riscv64') return arch;
  throw new UnidbgError('REGISTERS_UNREADABLE', `this QEMU emulates ${arch}; unidbg knows x86_64, i386, aarch64 and riscv64`);
}

type AskedFacts = Pick<LiveFacts, 'name' | 'accelerator' | 'memoryBytes' | 'qemuVersion'>;

async function askFacts(monitor: Monitor, record: VmRecord | null): Promise<AskedFacts> {
  const [name, accelerator, memoryBytes] = await Promise.all([
    monitor.findName(),
    monitor.findAccelerator(),
    monitor.findMemoryBytes(),
  ]);
  return {
    name: record?.name ?? name ?? monitor.where,
    accelerator: accelerator ?? record?.accelerator ?? null,
    memoryBytes: memoryBytes ?? record?.memoryBytes ?? null,
    qemuVersion: monitor.version,
  };
}

class LiveVm implements LiveTarget {
  readonly kind = 'live';
  readonly isVirtual = false;
  readonly machine: Machine;
  readonly monitor: Monitor;
  readonly facts: LiveFacts;
  private readonly numbers: readonly number[];
  private readonly watch: VmWatch;
  private readonly options: LiveOptions;
  private memoryOutcome: MemoryOutcome;
  private registersInFlight: Promise<readonly VcpuRegisters[]> | null = null;
  private closed = false;

  constructor(
    monitor: Monitor,
    facts: Omit<LiveFacts, 'vcpus' | 'memoryReader'>,
    numbers: readonly number[],
    memory: MemoryOutcome,
    watch: VmWatch,
    options: LiveOptions,
  ) {
    this.monitor = monitor;
    this.machine = facts.machine;
    this.numbers = numbers;
    this.memoryOutcome = memory;
    this.watch = watch;
    this.options = options;
    this.facts = { ...facts, vcpus: numbers.length, memoryReader: describeReader(memory) };
    // Firmware moves shadow RAM and device windows at each boot: the layout is read anew.
    watch.onState((state) => {
      if (state.event === 'RESET') void this.reopenMemory();
    });
  }

  vcpus(): readonly number[] {
    return this.numbers;
  }

  async registers(vcpu: number): Promise<Registers> {
    const found = (await this.allRegisters()).find((file) => file.vcpu === vcpu);
    if (found !== undefined) return found.registers;
    throw new UnidbgError('REGISTERS_UNREADABLE', `QEMU shows no vCPU ${vcpu}; it has ${this.numbers.join(', ')}`, {
      facts: { vcpu },
    });
  }

  allRegisters(): Promise<readonly VcpuRegisters[]> {
    // Callers of one moment share one answer: the registers of all vCPUs come in one reply anyway.
    this.registersInFlight ??= this.readRegisters().finally(() => (this.registersInFlight = null));
    return this.registersInFlight;
  }

  memory(space: Registers): AddressSpace {
    if ('unreadable' in this.memoryOutcome) throw new UnidbgError('MEMORY_UNREADABLE', this.memoryOutcome.unreadable);
    return createAddressSpace(this.memoryOutcome.reader, space);
  }

  state(): VmState {
    return this.watch.state();
  }

  onState(listener: (state: VmState) => void): () => void {
    return this.watch.onState(listener);
  }

  async stop(): Promise<void> {
    await this.monitor.stop();
  }

  async cont(): Promise<void> {
    await this.monitor.cont();
  }

  async exactly<T>(body: () => Promise<T>): Promise<{ readonly value: T; readonly stoppedMs: number }> {
    if ((await this.monitor.askState()).status !== 'running') return { value: await body(), stoppedMs: 0 };
    const from = performance.now();
    await this.stop();
    try {
      const value = await body();
      return { value, stoppedMs: performance.now() - from };
    } finally {
      await this.cont();
    }
  }

  describe(): readonly Diagnostic[] {
    if ('unreadable' in this.memoryOutcome) return [{ code: 'memory-unreadable', message: this.memoryOutcome.unreadable }];
    const { reader, refused } = this.memoryOutcome;
    const reading: Diagnostic = { code: 'memory-reader', message: `guest memory is read through ${reader.how}` };
    return [
      reading,
      ...refused.map(({ name, reason }) => ({ code: 'memory-reader-refused', message: `${name} not used: ${reason}` })),
    ];
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.watch.close();
    if ('reader' in this.memoryOutcome) this.memoryOutcome.reader.close();
    this.monitor.close();
  }

  private async readRegisters(): Promise<readonly VcpuRegisters[]> {
    const text = await this.monitor.hmp('info registers -a');
    const files = parseRegisters(text, this.machine);
    if (files.length > 0) return files;
    throw new UnidbgError('REGISTERS_UNREADABLE', `QEMU shows no registers: ${text.slice(0, 200)}`);
  }

  private async reopenMemory(): Promise<void> {
    const fresh = await openMemory(this.monitor, this.facts.pid, this.options);
    const stale = this.memoryOutcome;
    // Readers opened meanwhile by a walk in progress keep their files until the next turn of the loop.
    if (this.closed || 'unreadable' in fresh) {
      if ('reader' in fresh) fresh.reader.close();
      return;
    }
    this.memoryOutcome = fresh;
    if ('reader' in stale)
      setImmediate(() => {
        stale.reader.close();
      });
  }
}

function describeReader(memory: MemoryOutcome): string | null {
  if ('unreadable' in memory) return null;
  const why = memory.refused.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  return why === '' ? memory.reader.how : `${memory.reader.how} (not faster: ${why})`;
}
