// The in-guest probe of a live guest, over whichever of its transports can be had: its virtio-serial port, a further serial port
// that turns out to carry it, its ring in guest RAM. They all say the same, so one is listened to: the first of these that speaks.
// Beside it whoever speaks at the endpoints that the user named: other programs of the guest, or the same where nothing else is.

import { errorCode } from '../model/error.ts';
import type { GuestProbe, ProbeIntake, ProbeRing, ProbeStream } from '../model/guest-probe.ts';
import { type Sample, seriesKey } from '../model/metric.ts';
import type { Registers } from '../model/registers.ts';
import type { CharacterBackend, VmConsole, VmRecord } from '../qemu/discover/record.ts';
import { formatEndpoint, socketAddress } from '../qemu/qmp/endpoint.ts';
import type { LiveTarget } from '../targets/live.ts';
import type { Code } from './code.ts';
import { type ConsoleSink, type ConsoleSource, followFile, readPty, readSocket } from './console-source.ts';
import { formatProbeEndpoint, openProbeEndpoint, type ProbeEndpoint, type ProbeSpeaker } from './probe-endpoint.ts';
import { RingPoll } from './ring-poll.ts';
import type { Session } from './session.ts';

/** Serial ports behind the console that are tried: more than four are rare on a PC. */
const MAX_TRIED = 3;
/** A port that carries the probe shows a whole record within this many bytes: the guest names everything once a second. */
const MAX_BYTES_WITHOUT_RECORD = 64 * 1024;
/** A socket takes one reader: one that stays silent is given back to whoever may want it. */
const MAX_SILENT_SAMPLES = 10;
/** Programs that are listened to at the user's endpoints at a time. */
const MAX_SPEAKERS = 8;
/** Series of all programs of a guest together, in the life of a session: one that connects again and again brings no new ones for ever. */
const MAX_SERIES = 4_000;

interface Heard<P extends ProbeIntake> {
  readonly probe: P;
  lostTold: number;
}

interface Stream extends Heard<ProbeStream> {
  readonly name: string;
  /** The guest named it as the probe's; else it is only tried. */
  readonly certain: boolean;
  source: ConsoleSource | null;
  bytes: number;
  silentSamples: number;
  ended: boolean;
}

/** What a source of in-guest samples needs. `endpoints`: where the user says that the guest speaks too. */
export interface ProbeSourceInput {
  readonly target: LiveTarget;
  readonly record: VmRecord | null;
  readonly session: Session;
  readonly code: () => Code;
  readonly guestProbe: GuestProbe;
  readonly endpoints?: readonly ProbeEndpoint[];
}

/** Listens to the in-guest probe, if there is one. Owns its connections. */
export class ProbeSource {
  private readonly input: ProbeSourceInput;
  private readonly streams: Stream[] = [];
  private readonly endpoints: ConsoleSource[] = [];
  private speakers: Heard<ProbeStream>[] = [];
  private ring: Heard<ProbeRing>;
  private readonly poll: RingPoll;
  private readonly refused = new Set<string>();
  private readonly known = new Set<string>();
  private overfull = false;

  constructor(input: ProbeSourceInput) {
    this.input = input;
    this.ring = this.openRing();
    this.poll = new RingPoll({
      target: input.target,
      findRing: () => (this.speaking() === null ? this.ring.probe : null),
      findAddress: () => input.code().symbolizer.findSymbol(input.guestProbe.ringSymbol)?.address ?? null,
      keyOfAddress: input.code,
    });
  }

  /** Connects to the probe's virtio-serial port or, where there is none, to further serial ports that may carry it. */
  async open(): Promise<void> {
    const { record, guestProbe, endpoints = [] } = this.input;
    for (const endpoint of endpoints) this.openEndpoint(endpoint);
    if (record === null) return;
    for (const { name, chardev, backend } of record.virtioPorts) {
      if (name === guestProbe.portName) await this.listen({ name: 'virtio-serial', chardev, backend }, true);
    }
    if (this.streams.length > 0) return;
    for (const console of record.consoles.slice(1, 1 + MAX_TRIED)) await this.listen(console, false);
  }

  /**
   * What the guest said since the last call, apart from metrics in `outside`: those are measured without its help. `space` is where the
   * guest's memory is looked at, from now on until the next call: a ring is read more often than samples are taken.
   */
  async sample(space: Registers | null, outside: ReadonlySet<string>): Promise<readonly Sample[]> {
    this.dismissStrangers();
    await this.poll.read(space);
    const samples = new Map<string, Sample>();
    for (const heard of [...this.speakers, this.speaking() ?? this.ring]) {
      for (const sample of heard.probe.take()) {
        const key = seriesKey(sample);
        if (!samples.has(key) && this.isRoomFor(key)) samples.set(key, sample);
      }
      this.tellRemarks(heard);
    }
    const all = [...samples.values()];
    this.tellRefused(all.filter(({ name }) => outside.has(name)));
    return all.filter(({ name }) => !outside.has(name));
  }

  close(): void {
    this.poll.close();
    for (const stream of this.streams) end(stream);
    for (const endpoint of this.endpoints) void endpoint.close();
  }

  private isRoomFor(key: string): boolean {
    if (this.known.has(key)) return true;
    if (this.known.size < MAX_SERIES) {
      this.known.add(key);
      return true;
    }
    if (!this.overfull) this.remark('many', `the guest's probes name more than ${MAX_SERIES} metrics: the others are not shown`);
    this.overfull = true;
    return false;
  }

  private openEndpoint(endpoint: ProbeEndpoint): void {
    const onRemark = (code: string, message: string): void => {
      this.remark(code, message);
    };
    try {
      this.endpoints.push(openProbeEndpoint(endpoint, { admit: (name) => this.admit(name), onRemark }));
    } catch (error) {
      if (errorCode(error) !== 'FILE_UNREADABLE') throw error;
      this.remark('unavailable', `nothing can be heard at ${formatProbeEndpoint(endpoint)}: ${(error as Error).message}`);
    }
  }

  private admit(name: string): ProbeSpeaker | null {
    if (this.speakers.length >= MAX_SPEAKERS) return null;
    const heard = { probe: this.input.guestProbe.openStream(name), lostTold: 0 };
    this.speakers.push(heard);
    return {
      onBytes: (bytes) => {
        heard.probe.push(bytes);
      },
      onEnd: () => {
        this.tellRemarks(heard);
        this.speakers = this.speakers.filter((other) => other !== heard);
      },
    };
  }

  private async listen({ name, chardev, backend }: Omit<VmConsole, 'logfile'>, certain: boolean): Promise<void> {
    const probe = this.input.guestProbe.openStream(name);
    const stream: Stream = { probe, name, certain, source: null, bytes: 0, silentSamples: 0, ended: false, lostTold: 0 };
    if (await this.isTaken(backend, chardev ?? name)) {
      if (certain) this.remark('busy', `somebody else is connected to the probe's port, at ${describe(backend)}`);
      return;
    }
    stream.source = openBackend(backend, {
      onBytes: (bytes) => {
        this.hear(stream, bytes);
      },
      onRemark: (code, message) => {
        this.onRemark(stream, code, message);
      },
    });
    if (stream.source !== null) this.streams.push(stream);
  }

  private hear(stream: Stream, bytes: Uint8Array): void {
    if (stream.ended) return;
    stream.bytes += bytes.length;
    stream.probe.push(bytes);
  }

  private speaking(): Stream | null {
    return this.streams.find(({ probe, ended }) => probe.records > 0 && !ended) ?? null;
  }

  // Streams are tried silently; only the loss of one that spoke, or of the probe's own port, is worth a word.
  private onRemark(stream: Stream, code: string, message: string): void {
    if (code === 'console-from-now') return;
    if (stream.certain || stream.probe.records > 0) {
      this.remark(code.replace('console-', ''), message.replace('the console', 'the probe'));
    }
    if (code !== 'console-ended' && code !== 'console-unavailable') return;
    stream.ended = true;
    // What the ring turned over meanwhile was heard over the stream: it is no loss.
    this.ring = this.openRing();
  }

  private dismissStrangers(): void {
    for (const stream of this.streams) {
      if (stream.probe.records > 0 || stream.certain || stream.ended) continue;
      stream.silentSamples = stream.bytes === 0 ? stream.silentSamples + 1 : 0;
      if (stream.bytes > MAX_BYTES_WITHOUT_RECORD || stream.silentSamples > MAX_SILENT_SAMPLES) end(stream);
    }
  }

  private openRing(): Heard<ProbeRing> {
    return { probe: this.input.guestProbe.openRing(), lostTold: 0 };
  }

  // A server socket takes one client; a second one would connect and never hear a word.
  private async isTaken(backend: CharacterBackend, chardev: string): Promise<boolean> {
    if (backend.kind !== 'socket') return false;
    const lines = (await this.input.target.monitor.hmp('info chardev')).split('\n');
    const line = lines.find((entry) => entry.startsWith(`${chardev}:`));
    return line !== undefined && !line.includes('disconnected:');
  }

  // The guest chooses its names: it must not overwrite what is measured from outside, by mistake or on purpose.
  private tellRefused(samples: readonly Sample[]): void {
    const fresh = samples.map(({ name }) => name).filter((name) => !this.refused.has(name));
    if (fresh.length === 0) return;
    for (const name of fresh) this.refused.add(name);
    this.remark(
      'name-taken',
      `the in-guest probe's ${[...new Set(fresh)].join(', ')} is not shown: unidbg measures that itself; the guest should use names of its own`,
    );
  }

  private tellRemarks(heard: Heard<ProbeIntake>): void {
    for (const { code, message } of heard.probe.takeRemarks()) this.input.session.remark(code, message);
    const { lost } = heard.probe.loss;
    if (lost > heard.lostTold) this.input.session.emit({ type: 'lost', what: 'probe records', count: lost - heard.lostTold });
    heard.lostTold = lost;
  }

  private remark(code: string, message: string): void {
    this.input.session.remark(`probe-${code}`, message);
  }
}

function end(stream: Stream): void {
  if (stream.ended) return;
  stream.ended = true;
  void stream.source?.close();
}

function openBackend(backend: CharacterBackend, sink: ConsoleSink): ConsoleSource | null {
  if (backend.kind === 'socket' && backend.server) return readSocket(socketAddress(backend.endpoint), sink);
  if (backend.kind === 'pty' && backend.path !== null) return readPty(backend.path, sink);
  if (backend.kind === 'file') return followFile(backend.path, sink);
  return null;
}

function describe(backend: CharacterBackend): string {
  return backend.kind === 'socket' ? formatEndpoint(backend.endpoint) : backend.kind;
}
