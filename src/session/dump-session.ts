// A session on a guest that stands still: a dump, or the dump in a bundle with what was recorded before it. All that can be read is read
// once, as the same events that a live session emits; then whoever looks may ask for memory and code, which come from the dump on demand.

import { CrashReader } from '../console/crash-reader.ts';
import type { ReportedCrash } from '../model/console-text.ts';
import type { Crash } from '../model/crash.ts';
import { errorCode, errorMessage, UnidbgError } from '../model/error.ts';
import type { GuestEvent, TargetIdentity } from '../model/event.ts';
import type { Intent } from '../model/intent.ts';
import type { Memory } from '../model/target.ts';
import type { DumpTarget, OpenDumpOptions } from '../targets/dump/open-dump.ts';
import { Appraisal } from './appraisal.ts';
import type { Code, CodeReader } from './code.ts';
import { ConsolePipeline } from './console-pipeline.ts';
import { explainStop } from './dead-stack.ts';
import { explainReported, explainSilent } from './explain-crash.ts';
import { landmarksOf } from './landmarks.ts';
import { Looking } from './looking.ts';
import { type CodeOptions, openCode, viewBy } from './open-guest.ts';
import { explainOutOfMemory } from './out-of-memory.ts';
import { explainSignal, filesOf, modulesOf } from './process-core.ts';
import { readProbes, readSockets } from './read-probes.ts';
import { type Look, look, spaceOf } from './sampler.ts';
import { Session } from './session.ts';
import { findWaitCycle, isDeadHalt } from './silent-death.ts';
import { type StackWalker, walkerOf } from './stack-walker.ts';
import { readExitStatus } from './system-habits.ts';

/** What a dump session is made of. */
export interface DumpSource {
  /** What the guest is called. */
  readonly name: string;
  /** When it was made, ms since the epoch: what is read of it was true then. */
  readonly madeAt: number;
  /** Opens the dump; called once, when the images are open. Null: there is none, only what was recorded. */
  readonly openDump: ((options: OpenDumpOptions) => DumpTarget) | null;
  /** What was recorded before, in order: of a bundle. */
  readonly recorded: Iterable<GuestEvent>;
  /** What its console printed, by pieces, where that was kept apart (`--console`); null: the guest's own log is read from its memory. */
  readonly console: Iterable<Uint8Array> | null;
}

/** How to open one. */
export interface DumpSessionOptions extends CodeOptions {
  readonly sourceRoots: readonly string[];
  readonly dump: OpenDumpOptions;
}

/** An open one. */
export interface DumpSession {
  readonly session: Session;
  /** Null when there was no dump. */
  readonly target: DumpTarget | null;
  readonly code: () => Code;
  /** Why what was read is not whole; null when it is. */
  readonly partial: string | null;
  close(): void;
}

/** Opens it and reads all that there is. `prepare` is given the session before its first event. Throws DUMP_*, ELF_*, FILE_UNREADABLE. */
export async function openDumpSession(
  source: DumpSource,
  options: DumpSessionOptions,
  prepare: (session: Session) => void = () => undefined,
): Promise<DumpSession> {
  // What was recorded may end after the dump was begun: time does not go back.
  const session: Session = new Session(() => Math.max(source.madeAt, session.snapshot().at));
  prepare(session);
  for (const event of source.recorded) session.emit(event);
  let target: DumpTarget | null = null;
  let codeReader: CodeReader | null = null;
  try {
    const openDump = (more: OpenDumpOptions): DumpTarget | null =>
      source.openDump?.({ ...more, ...options.dump, name: source.name }) ?? null;
    // A core of a process names its files; else the files say how a dump without registers is read.
    if (options.symbols.length === 0) target = openDump({});
    codeReader = await openCode(null, target === null ? options : { ...options, symbols: filesOf(target) });
    target ??= openDump({ landmarks: landmarksOf(codeReader.images) });
    const reading = new DumpReading(session, { target, codeReader, console: source.console }, options);
    await reading.readAll();
    return new OpenedDumpSession(session, target, codeReader, reading);
  } catch (error) {
    target?.close();
    codeReader?.close();
    throw error;
  }
}

class OpenedDumpSession implements DumpSession {
  readonly session: Session;
  readonly target: DumpTarget | null;
  readonly partial: string | null;
  private readonly codeReader: CodeReader;
  private readonly reading: DumpReading;

  constructor(session: Session, target: DumpTarget | null, codeReader: CodeReader, reading: DumpReading) {
    this.session = session;
    this.target = target;
    this.codeReader = codeReader;
    this.reading = reading;
    this.partial = target?.partial ?? null;
  }

  readonly code = (): Code => this.reading.code;

  close(): void {
    this.target?.close();
    this.codeReader.close();
  }
}

/** Reads a dump once, into events. */
class DumpReading {
  code: Code;
  private readonly session: Session;
  private readonly target: DumpTarget | null;
  private readonly codeReader: CodeReader;
  private readonly console: DumpSource['console'];
  private readonly options: DumpSessionOptions;

  constructor(
    session: Session,
    {
      target,
      codeReader,
      console,
    }: Pick<DumpSource, 'console'> & { readonly target: DumpTarget | null; readonly codeReader: CodeReader },
    options: DumpSessionOptions,
  ) {
    this.session = session;
    this.target = target;
    this.codeReader = codeReader;
    this.console = console;
    this.options = options;
    this.code = codeReader.unplaced({ trust: false });
  }

  async readAll(): Promise<void> {
    const { target } = this;
    if (target === null) return;
    await this.placeCode(target);
    // Recorded where the files were, read where they are not: what the recording knows has names.
    const isNamed = this.code.images.some(({ match }) => match !== 'mismatch' && match !== 'no-file');
    if (!isNamed && this.session.snapshot().images.length > 0) {
      for (const diagnostic of target.describe()) this.session.emit({ type: 'diagnostic', diagnostic });
      this.session.remark(
        'symbols-not-here',
        'the files with symbols are not on this machine: names are those of the recording; --symbols FILE reads the dump',
      );
      this.answerIntents(target);
      return;
    }
    this.emitIdentity(target);
    for (const diagnostic of [...target.describe(), ...this.code.diagnostics])
      this.session.emit({ type: 'diagnostic', diagnostic });
    this.session.emit({ type: 'vm', status: 'shutdown', reason: target.title });
    this.session.emit({ type: 'images', images: this.code.images });
    const seen = await this.trying('stacks-unreadable', () => this.look(target));
    await this.trying('metrics-unreadable', () => this.readMetrics(target));
    await this.trying('crash-unexplained', () => this.findCrash(target, seen));
    await this.trying('memory-unexplained', () => this.explainMemory(target));
    await this.trying('exit-unread', () => this.readExit(target));
    this.answerIntents(target);
  }

  private async placeCode(target: DumpTarget): Promise<void> {
    const [first] = await target.allRegisters();
    if (first === undefined) {
      this.code = this.codeReader.unplaced({ trust: true });
      const message =
        'the dump has no registers: give them with --registers FILE (the text of `info registers -a`), or --symbols to find the page tables by';
      this.session.remark('no-registers', message);
      return;
    }
    await this.trying('symbols-unplaced', async () => {
      this.code = await this.codeReader.place({ ...viewBy(target, first.registers), listed: modulesOf(target) });
    });
  }

  private emitIdentity({ facts, machine, title }: DumpTarget): void {
    const before = this.session.snapshot().identity;
    const identity: TargetIdentity = {
      name: before?.name ?? facts.name,
      kind: 'dump',
      pid: null,
      machine,
      accelerator: before?.accelerator ?? null,
      vcpus: facts.vcpus,
      memoryBytes: before?.memoryBytes ?? facts.memoryBytes,
      unikernel: this.code.unikernel?.name ?? before?.unikernel ?? null,
      unikernelTitle: this.code.unikernel?.title ?? before?.unikernelTitle ?? null,
      memoryReader: title,
      readStopsGuest: false,
      console: before?.console ?? this.consoleWords(),
    };
    this.session.emit({ type: 'identity', identity });
  }

  private consoleWords(): string {
    if (this.console !== null) return 'the file given with --console';
    return this.code.unikernel?.readMemoryLog === undefined ? 'none' : "the guest's own log, read from its memory";
  }

  private async look(target: DumpTarget): Promise<Look> {
    const seen = await look(target, this.code, { withArguments: true });
    this.session.emit({ type: 'registers', vcpus: seen.vcpus });
    this.session.emit({ type: 'stacks', stacks: seen.stacks });
    if (seen.threads.length > 0) this.session.emit({ type: 'threads', threads: seen.threads });
    return seen;
  }

  private async readMetrics(target: DumpTarget): Promise<void> {
    const space = spaceOf(target, await target.allRegisters());
    if (space === null) return;
    const samples = await readProbes(space, this.code, null);
    if (samples.length > 0) this.session.emit({ type: 'metrics', samples });
    const sockets = await readSockets(space, this.code);
    if (sockets !== null) this.session.emit({ type: 'sockets', sockets });
    new Appraisal(this.session, this.options.systems).appraise(performance.now());
  }

  /** What was recorded has told it already; else the guest's own log, else the stacks. */
  private async findCrash(target: DumpTarget, seen: Look | null): Promise<void> {
    const told = await this.readConsole(target);
    if (this.session.snapshot().crashes.length > 0) return;
    const walker = walkerOf(target, () => this.code);
    for (const crash of told) this.session.emit({ type: 'crash', crash: await explainReported(crash, this.code, walker) });
    if (told.length > 0) return;
    const signalled = target.signal === null ? null : await explainSignal(target, target.signal, this.code, walker);
    const stopped = signalled === null ? await explainStop(target, this.code, walker) : null;
    if (stopped !== null && 'exit' in stopped) this.session.emit({ type: 'guest-exit', exit: stopped.exit });
    if (stopped !== null && 'remark' in stopped) this.session.remark('guest-stopped', stopped.remark);
    const dead = signalled ?? (stopped !== null && 'crash' in stopped ? stopped.crash : null);
    const crash = dead ?? (stopped === null && seen !== null ? await this.findHang(seen, walker) : null);
    if (crash !== null) this.session.emit({ type: 'crash', crash });
  }

  /** The console as lines, kept apart or in the guest's own memory; the crashes that they tell. A recording has had the whole console. */
  private async readConsole(target: DumpTarget): Promise<readonly ReportedCrash[]> {
    if (this.session.snapshot().console.length > 0) return [];
    const pieces = this.console ?? (await this.readMemoryLog(target));
    const crashes: ReportedCrash[] = [];
    const { unikernels, runtimes } = this.options.systems;
    const reader = new CrashReader({ unikernels, runtimes, unikernel: this.code.unikernel?.name ?? null });
    const pipeline = new ConsolePipeline(this.console === null ? 'log in memory' : 'console', reader, {
      onLine: (line) => {
        this.session.emit({ type: 'console', line });
      },
      onCrash: (crash) => crashes.push(crash),
    });
    pipeline.useCode(this.code);
    for (const bytes of pieces) pipeline.push(bytes);
    pipeline.close();
    return crashes;
  }

  private async readMemoryLog(target: DumpTarget): Promise<readonly Uint8Array[]> {
    const read = this.code.unikernel?.readMemoryLog;
    const space = spaceOf(target, await target.allRegisters());
    if (read === undefined || space === null) return [];
    const { symbolizer } = this.code;
    const bytes = await space.walk((memory: Memory) => read({ memory, findSymbol: (name) => symbolizer.findSymbol(name) }));
    return bytes === null ? [] : [bytes];
  }

  // A consistent dump is one moment: threads that wait for each other in a circle will do so for ever, and so will vCPUs that are halted
  // with interrupts off, unless the console had the system's last words.
  private async findHang(seen: Look, walker: StackWalker): Promise<Crash | null> {
    const { threads, stacks, vcpus } = seen;
    const cycle = findWaitCycle(threads);
    if (cycle === null) {
      const halt = this.code.unikernel?.halt ?? null;
      const hasEnded = this.session.snapshot().console.some(({ text }) => halt?.test(text) === true);
      const [first] = vcpus;
      if (first === undefined || hasEnded || !isDeadHalt(seen)) return null;
      const message = 'dead halt\nEvery vCPU is halted with interrupts off: nothing but a reset can wake it';
      const told = {
        kind: 'hang',
        message,
        witness: 'memory',
        vcpu: first.vcpu,
        registers: first.registers,
        frames: null,
      } as const;
      return explainSilent(told, this.code, walker);
    }
    const frames = stacks.find(({ kind, id }) => kind === 'thread' && id === cycle[0]!.id)?.frames ?? [];
    const nameOf = (id: string | null): string => threads.find((thread) => thread.id === id)?.name ?? `thread ${id ?? '?'}`;
    const waits = cycle.map(
      ({ name, waitingFor, blockedBy }) => `${name} waits for ${waitingFor ?? 'a lock'} held by ${nameOf(blockedBy)}`,
    );
    const message = [`deadlock between ${cycle.map(({ name }) => name).join(' and ')}`, ...waits].join('\n');
    return explainSilent({ kind: 'hang', message, witness: 'memory', vcpu: null, registers: null, frames }, this.code, walker);
  }

  /** Why memory ran out, where it did and nobody has told yet. */
  private async explainMemory(target: DumpTarget): Promise<void> {
    const snapshot = this.session.snapshot();
    const crash = snapshot.crashes.find(({ kind }) => kind === 'out-of-memory');
    if (crash === undefined || snapshot.outOfMemory !== null) return;
    const outOfMemory = await explainOutOfMemory({ target, code: this.code, crash, snapshot });
    this.session.emit({ type: 'out-of-memory', outOfMemory });
  }

  private async readExit(target: DumpTarget): Promise<void> {
    const exit = await readExitStatus(target, this.code);
    if (exit !== null) this.session.emit({ type: 'guest-exit', exit });
  }

  private answerIntents(target: DumpTarget): void {
    const { session } = this;
    const looking = new Looking({ target, session, code: () => this.code, sourceRoots: this.options.sourceRoots });
    session.handleIntents(async (intent: Intent) => {
      switch (intent.type) {
        case 'show-memory':
          return looking.showMemory(intent.address, intent.length);
        case 'show-memory-of':
          return looking.showMemoryOf(intent.expression, intent.length);
        case 'show-listing':
          return looking.showListing(intent.place);
        case 'refresh-stacks':
          return;
        case 'evaluate':
        case 'capture':
        case 'halt':
        case 'resume':
        case 'step':
        case 'break':
        case 'delete-breakpoints':
        case 'playback':
          throw new UnidbgError('USAGE', 'not possible here: this is a dump, nothing runs');
      }
    });
  }

  // A dump that is cut off or damaged tells what it can: each part that fails is a remark of its own.
  private async trying<T>(code: string, body: () => Promise<T>): Promise<T | null> {
    try {
      return await body();
    } catch (error) {
      if (errorCode(error) === null) throw error;
      this.session.remark(code, errorMessage(error));
      return null;
    }
  }
}
