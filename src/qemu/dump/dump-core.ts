// The memory and registers of a whole guest as an ELF core, read from outside of QEMU (src/memory) and written as QEMU's own
// `dump-guest-memory` would: smaller, sooner, and the guest stands still only while it is copied, or not at all.

import type { ByteSink } from '../../bytes/byte-sink.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { UnidbgError } from '../../model/error.ts';
import { type CopyOutcome, type CoreProgress, copyMemory } from './copy-memory.ts';
import { type CoreLayout, encodeCoreHead } from './core-file.ts';
import { encodeNotes } from './core-notes.ts';
import { FRAME_BYTES, FrameWriter } from './frame-writer.ts';
import { stopGuest } from './open-resumer.ts';
import type { CorePlan, CoreSource } from './plan-core.ts';
import { parseVcpuStates, type VcpuState } from './vcpu-state.ts';

/** How to write it. */
export interface CoreOptions {
  /** Do not stop the guest: what is copied is of many moments. */
  readonly live: boolean;
  /** As seekable zstd; else the ELF file itself. */
  readonly compressed: boolean;
  /** Bytes of guest memory that are done, of how many, and bytes in the file. */
  readonly onProgress?: (progress: CoreProgress) => void;
}

/** What was written. */
export interface CoreFacts extends CopyOutcome {
  /** Size of what was written. */
  readonly written: number;
  /** For how long we stopped the guest, ms; null: not at all (`--live`, or it stood still anyway). */
  readonly stoppedMs: number | null;
  /** From the first page to the last, ms. */
  readonly copyMs: number;
  /** How guest memory was read. */
  readonly reader: string;
  readonly diagnostics: readonly Diagnostic[];
}

/** Writes the core. Throws QMP_*, REGISTERS_UNREADABLE, and what `sink` throws; the guest runs again whatever happens. */
export async function writeCore(plan: CorePlan, sink: ByteSink, options: CoreOptions): Promise<CoreFacts> {
  const { source, layout, reader } = plan;
  const writer = new FrameWriter(sink, options.compressed);
  const isRunning = (await source.monitor.askState()).status === 'running';
  const stopped = isRunning && !options.live ? await stopGuest(source.monitor, source.pid) : null;
  const diagnostics = [...plan.diagnostics];
  let stoppedMs: number | null = null;
  const from = performance.now();
  let copied: CopyOutcome;
  let copyMs: number;
  try {
    const vcpus = await readVcpus(source);
    await putHead(writer, layout, vcpus);
    copied = await copyMemory(plan, writer, options.onProgress ?? ((): void => undefined));
    copyMs = performance.now() - from;
    if (isRunning && options.live) diagnostics.push(await describeMovement(source, vcpus, copyMs));
  } finally {
    stoppedMs = (await stopped?.release()) ?? null;
  }
  await writer.end();
  options.onProgress?.({ done: layout.size - FRAME_BYTES, total: layout.size - FRAME_BYTES, written: writer.written });
  const { written } = writer;
  return { ...copied, written, stoppedMs, copyMs, reader, diagnostics };
}

async function readVcpus({ monitor, machine }: CoreSource): Promise<readonly VcpuState[]> {
  const text = await monitor.hmp('info registers -a');
  const vcpus = parseVcpuStates(text, machine);
  if (vcpus.length > 0) return vcpus;
  throw new UnidbgError('REGISTERS_UNREADABLE', `QEMU shows no registers: ${text.slice(0, 200)}`);
}

/** QEMU decides by the first vCPU: in long mode the core is a 64-bit one, whatever code runs just now. */
async function putHead(writer: FrameWriter, layout: CoreLayout, vcpus: readonly VcpuState[]): Promise<void> {
  const { machine, values } = vcpus[0]!.registers;
  const isLong = machine === 'i386' && ((values['efer'] ?? 0n) & 0x400n) !== 0n;
  const kind = isLong ? 'x86_64' : machine;
  const buffer = await writer.take();
  buffer.set(encodeCoreHead(layout, encodeNotes(vcpus, kind), kind, FRAME_BYTES));
  writer.put(buffer, FRAME_BYTES);
}

async function describeMovement(source: CoreSource, before: readonly VcpuState[], copyMs: number): Promise<Diagnostic> {
  const after = await readVcpus(source).catch(() => []);
  const moved = before.filter(({ vcpu, registers }) => {
    const now = after.find((state) => state.vcpu === vcpu)?.registers.values;
    return now === undefined || Object.entries(registers.values).some(([name, value]) => now[name] !== value);
  });
  const words = moved.length === 0 ? 'no vCPU moved' : `${moved.length} of ${before.length} vCPUs moved`;
  return {
    code: 'dump-live',
    message: `the guest was not stopped: its pages are of moments up to ${copyMs.toFixed(0)} ms apart, registers of the first; ${words} meanwhile`,
  };
}
