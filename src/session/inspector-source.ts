// The V8 inspector of a live guest: found by the flag, or among the ports that its QEMU forwards where the guest looks like Node.js.
// Its heap and collections are samples like all others, an uncaught exception is a crash, and what is asked for on demand (profile,
// heap snapshot, stacks) has its JavaScript in terms of its sources.

import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findFirstInspector } from '../inspector/find.ts';
import { absentMetrics, HeapMetrics } from '../inspector/metrics.ts';
import { type CpuProfile, recordProfile } from '../inspector/profile.ts';
import { InspectorSession } from '../inspector/session.ts';
import { type SnapshotProgress, type WrittenSnapshot, writeHeapSnapshot } from '../inspector/snapshot-file.ts';
import { type StoppedStack, stopForStack } from '../inspector/stop.ts';
import type { ReportedCrash } from '../model/console-text.ts';
import { errorCode, errorMessage, UnidbgError } from '../model/error.ts';
import type { Sample } from '../model/metric.ts';
import { type PortForward, readForwards } from '../qemu/discover/forwards.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import { type Endpoint, formatEndpoint, parseEndpoint } from '../qemu/qmp/endpoint.ts';
import type { Code } from './code.ts';
import { ExceptionWitness } from './exception-witness.ts';
import { mapReportedFrames } from './map-frames.ts';
import type { Session } from './session.ts';

/** What the source needs. */
export interface InspectorSourceInput {
  readonly session: Pick<Session, 'remark'>;
  readonly record: Pick<VmRecord, 'argv' | 'cwd'> | null;
  readonly code: () => Pick<Code, 'images' | 'maps'>;
  /** `HOST:PORT` or `unix:PATH`; `auto`: among the forwarded ports, if this looks like Node.js; null: not at all. */
  readonly inspect: string | null;
  /** Whether a small reader may be evaluated in the guest; else only the heap's size is known. */
  readonly evaluate: boolean;
  /** An uncaught exception that the console did not tell. */
  readonly onCrash: (crash: ReportedCrash) => void;
}

/** Node's own port for its inspector: whoever forwards it wants it used. */
const INSPECTOR_PORT = 9229;
/** Images and modules that are Node.js, by their file names. */
const NODE = /^(?:node|nodejs|libnode\.so(?:\.\d+)*)$/;
const SEEK_MS = 2_000;
/** Ports that need not be an inspector's are a server's: it is not asked again and again. */
const MAX_GUESSES = 3;
/** Other samples do not wait longer for a guest that does not answer; its reading comes with the next ones. */
const WAIT_MS = 200;

/** Owns the attachment to a guest's inspector. */
export class InspectorSource {
  private readonly input: InspectorSourceInput;
  private readonly witness: ExceptionWitness;
  private readonly metrics = new HeapMetrics();
  private readonly stopSeeking = new AbortController();
  private attached: InspectorSession | null = null;
  private seeking: Promise<void> | null = null;
  private reading: Promise<void> | null = null;
  private fresh: readonly Sample[] = [];
  private guesses = 0;
  private told = false;

  constructor(input: InspectorSourceInput) {
    this.input = input;
    this.witness = new ExceptionWitness(input.onCrash);
  }

  /** Begins to look for the inspector and goes on until it is there: a guest that boots has none yet. Throws USAGE. */
  open(): void {
    const { inspect, record } = this.input;
    if (inspect === null || this.seeking !== null) return;
    const given = inspect === 'auto' ? null : parseEndpoint(inspect);
    const forwards = record === null ? [] : readForwards(record);
    if (given !== null || forwards.length > 0) this.seeking = this.seek(given, forwards);
  }

  /** The newest reading that was not given yet, and the next one asked for. Waits 200 ms at most. */
  async samples(): Promise<readonly Sample[]> {
    const { attached } = this;
    if (attached === null) return this.absent();
    this.reading ??= this.read(attached).finally(() => {
      this.reading = null;
    });
    await Promise.race([this.reading, sleep(WAIT_MS)]);
    const { fresh } = this;
    this.fresh = [];
    return fresh;
  }

  /** What is to be told of a crash that the console told: with more of its stack, or null when it was told already. */
  join(crash: ReportedCrash): ReportedCrash | null {
    return this.witness.join(crash);
  }

  /** A CPU profile of so many ms, its stacks in terms of the sources. Throws INSPECTOR_*. */
  async profile(ms: number, intervalMicros?: number): Promise<CpuProfile> {
    const profile = await recordProfile(this.session().connection(), ms, intervalMicros);
    const { maps } = this.input.code();
    return { ...profile, stacks: profile.stacks.map(({ frames, ms }) => ({ frames: mapReportedFrames(frames, maps), ms })) };
  }

  /** Writes a heap snapshot; the guest's JavaScript stands still for it. Throws INSPECTOR_*, FILE_UNREADABLE. */
  async heapSnapshot(
    path: string,
    maxBytes: number,
    onProgress?: (progress: SnapshotProgress) => void,
  ): Promise<WrittenSnapshot> {
    return writeHeapSnapshot(this.session().connection(), path, maxBytes, onProgress);
  }

  /** The JavaScript stack of this moment, for which it is stopped some ms; null when none runs. Throws INSPECTOR_*. */
  async stop(): Promise<StoppedStack | null> {
    const stopped = await stopForStack(this.session().connection());
    return stopped === null ? null : { ...stopped, frames: mapReportedFrames(stopped.frames, this.input.code().maps) };
  }

  async close(): Promise<void> {
    this.stopSeeking.abort();
    await this.seeking;
    await this.attached?.close();
    this.witness.flush();
  }

  private session(): InspectorSession {
    if (this.attached !== null) return this.attached;
    throw new UnidbgError(
      'INSPECTOR_CLOSED',
      'no V8 inspector is attached; start Node with --inspect=0.0.0.0:9229 and forward that port',
    );
  }

  private async seek(given: Endpoint | null, forwards: readonly PortForward[]): Promise<void> {
    const { signal } = this.stopSeeking;
    while (!signal.aborted) {
      const endpoint = given ?? (await this.findForwarded(forwards));
      if (endpoint !== null && (await this.attach(endpoint))) return;
      await sleep(SEEK_MS, null, { signal }).catch(() => undefined);
    }
  }

  private async findForwarded(forwards: readonly PortForward[]): Promise<Endpoint | null> {
    const likely = forwards.filter(({ guestPort }) => guestPort === INSPECTOR_PORT);
    if (likely.length > 0) return (await findFirstInspector(likely.map(({ endpoint }) => endpoint)))?.endpoint ?? null;
    if (!this.isNode() || this.guesses >= MAX_GUESSES) return null;
    this.guesses += 1;
    return (await findFirstInspector(forwards.map(({ endpoint }) => endpoint)))?.endpoint ?? null;
  }

  private isNode(): boolean {
    return this.input.code().images.some(({ path }) => NODE.test(basename(path)));
  }

  private async attach(endpoint: Endpoint): Promise<boolean> {
    const { evaluate, session } = this.input;
    const attached = new InspectorSession(endpoint, {
      evaluate,
      onException: (crash) => {
        this.witness.hear(crash);
      },
      onRemark: (code, message) => {
        session.remark(code, message);
      },
    });
    try {
      await attached.open();
      this.attached = attached;
      return true;
    } catch (error) {
      if (errorCode(error) === null) throw error;
      await attached.close();
      this.tellOnce(`${errorMessage(error)} (looked for again at ${formatEndpoint(endpoint)} until it is there)`);
      return false;
    }
  }

  private tellOnce(message: string): void {
    if (!this.told) this.input.session.remark('inspector-unavailable', message);
    this.told = true;
  }

  private async read(attached: InspectorSession): Promise<void> {
    try {
      const { reading, program, attachment } = await attached.read();
      this.fresh = this.metrics.take(reading, program, attachment);
    } catch (error) {
      // What was lost is told by the attachment itself; a guest that stands still has nothing new to say.
      if (errorCode(error) === null) throw error;
    }
  }

  private absent(): readonly Sample[] {
    if (this.input.inspect === null || !this.isNode()) return [];
    return absentMetrics(
      'no V8 inspector was found: start Node with --inspect=0.0.0.0:9229 and QEMU with hostfwd=tcp:127.0.0.1:9229-:9229',
    );
  }
}
