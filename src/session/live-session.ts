// A session on a running VM: opens what can be had of it, then looks, samples and listens until closed. Looking never
// stops the guest. Everything it learns is an event.

import { CrashReader } from '../console/crash-reader.ts';
import type { ReportedCrash } from '../model/console-text.ts';
import { errorCode, errorMessage } from '../model/error.ts';
import type { TargetIdentity } from '../model/event.ts';
import type { Image } from '../model/image.ts';
import type { Intent } from '../model/intent.ts';
import type { Unikernel } from '../model/unikernel.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import type { VmState } from '../qemu/vm-status.ts';
import type { LiveSource, LiveTarget } from '../targets/live.ts';
import type { Code, CodeReader } from './code.ts';
import { ConsolePipeline } from './console-pipeline.ts';
import { Control } from './control.ts';
import { CrashWatch, type DeathSign } from './crash-watch.ts';
import { DeathExplainer, isPanic, lastWords, silent, unseenReset } from './explain-death.ts';
import { Intents } from './intents.ts';
import { Measuring } from './measuring.ts';
import type { NetworkOptions } from './network-source.ts';
import { type OpenConsole, openConsole, takeConsole } from './open-console.ts';
import { type GuestOptions, openGuest, viewBy } from './open-guest.ts';
import { explainOutOfMemory } from './out-of-memory.ts';
import type { ProbeEndpoint } from './probe-endpoint.ts';
import { type Look, look } from './sampler.ts';
import { Session } from './session.ts';
import { isDeadHalt, SilentDeathDetector } from './silent-death.ts';
import type { ConsoleProgress } from './silent-death-types.ts';
import { goneOn, NOTHING_PRINTED, readExitStatus, readHabits } from './system-habits.ts';

/** How to attach. */
export interface LiveSessionOptions extends GuestOptions {
  /** Where source files may be read from. */
  readonly sourceRoots: readonly string[];
  readonly takeConsole: boolean;
  /** Where the guest's own programs are listened to, besides what the VM's devices say (`--probe`). */
  readonly probeEndpoints?: readonly ProbeEndpoint[];
  /** Where its V8 inspector is: `HOST:PORT`, `unix:PATH`; `auto` (so unless told): among the ports that QEMU forwards; null: none is looked for. */
  readonly inspect?: string | null;
  /** Whether a small reader may be evaluated in a guest with an inspector; true unless told. */
  readonly evaluate?: boolean;
  /** Captures packets from the start; on demand (intent `capture`) without. */
  readonly capture?: NetworkOptions;
  /** Milliseconds between two looks at the stacks; 500 unless told. */
  readonly lookEveryMs?: number;
  /** Whether somebody sees the stacks of this VM now; else they are read only every two seconds. Always unless told. */
  readonly inView?: () => boolean;
  /** Milliseconds between two samples of metrics; 1000 unless told. */
  readonly sampleEveryMs?: number;
  /** So long a vCPU may spin with interrupts off before it is a hang; 5000 unless told. */
  readonly hangAfterMs?: number;
  /** Given the console's bytes as they are, as they come. */
  readonly onConsole?: (bytes: Uint8Array) => void;
}

/** An attached session. `close` lets the guest go on as it was and resolves when nothing of ours is left. */
export interface LiveSession {
  readonly session: Session;
  readonly target: LiveTarget;
  readonly control: Control;
  readonly measuring: Measuring;
  readonly code: () => Code;
  close(): Promise<void>;
}

/** Code is placed again so often while an image was not found in memory: the guest may still be loading it. */
const REPLACE_EVERY_LOOKS = 2;
/** Else what the guest has loaded is listed anew so often. */
const RELIST_EVERY_LOOKS = 20;
/** An image that is not found in memory is remarked upon only after so long. */
const SETTLE_MS = 1500;
/** A dead guest does not move: look seldom. */
const DEAD_LOOK_MS = 2000;
/** Nor are stacks that nobody sees read as often. */
const UNSEEN_LOOK_MS = 2000;

/** Attaches. `prepare` is given the session before its first event, to subscribe. Throws QMP_*, ELF_*, REGISTERS_UNREADABLE. */
export async function openLiveSession(
  source: LiveSource,
  options: LiveSessionOptions,
  prepare: (session: Session) => void,
): Promise<LiveSession> {
  const { record, target, codeReader } = await openGuest(source, options);
  const session = new Session();
  prepare(session);
  const attached = new Attached(target, record, session, codeReader, options);
  try {
    await attached.start();
    return attached;
  } catch (error) {
    await attached.close();
    throw error;
  }
}

class Attached implements LiveSession {
  readonly session: Session;
  readonly target: LiveTarget;
  readonly control: Control;
  readonly measuring: Measuring;
  private readonly record: VmRecord | null;
  private readonly options: LiveSessionOptions;
  private readonly codeReader: CodeReader;
  private console: ConsolePipeline | null = null;
  private readonly crashWatch: CrashWatch;
  private readonly detector: SilentDeathDetector;
  private readonly deaths: DeathExplainer;
  private readonly intents: Intents;
  private openedConsole: OpenConsole | null = null;
  private consoleProgress: Omit<ConsoleProgress, 'isWhole'> = NOTHING_PRINTED;
  private consoleTried = false;
  private current: Code;
  private lastLook: Look | null = null;
  /** The last look was at a dead guest. */
  private hasSeenDead = false;
  private readonly startedAt = Date.now();
  private looks = 0;
  private telling: Promise<void> = Promise.resolve();
  private looking: Promise<void> | null = null;
  private timers: NodeJS.Timeout[] = [];
  /** Remarks on images, each said once. */
  private readonly told = new Set<string>();
  private closed = false;

  constructor(
    target: LiveTarget,
    record: VmRecord | null,
    session: Session,
    codeReader: CodeReader,
    options: LiveSessionOptions,
  ) {
    this.target = target;
    this.record = record;
    this.session = session;
    this.codeReader = codeReader;
    this.options = options;
    this.current = codeReader.unplaced({ trust: false });
    const code = (): Code => this.current;
    this.control = new Control({ target, record, session, code });
    const { systems, probeEndpoints = [], inspect = 'auto', evaluate = true } = options;
    const onCrash = (crash: ReportedCrash): void => {
      this.crashWatch.push({ type: 'text', crash });
    };
    this.measuring = new Measuring({ target, record, session, code, systems, probeEndpoints, inspect, evaluate, onCrash });
    this.intents = new Intents({
      target,
      session,
      code,
      control: this.control,
      network: this.measuring.network,
      sourceRoots: options.sourceRoots,
      refresh: () => this.lookNow(),
    });
    this.deaths = new DeathExplainer({ target, session, code, lastLook: () => this.lastLook });
    this.detector = new SilentDeathDetector({ patienceMs: options.hangAfterMs ?? 5000 });
    this.crashWatch = new CrashWatch((sign) => {
      this.telling = this.telling.then(() => this.tell(sign));
    });
  }

  readonly code = (): Code => this.current;

  async start(): Promise<void> {
    this.target.onState((state) => {
      this.onState(state);
    });
    this.session.handleIntents((intent: Intent) => this.intents.carryOut(intent));
    this.emitState(this.target.state());
    await this.placeCode();
    this.emitIdentity();
    for (const diagnostic of this.target.describe()) this.session.emit({ type: 'diagnostic', diagnostic });
    await this.lookNow();
    this.tellOldDeath();
    await this.openConsole();
    this.emitIdentity();
    await this.beginCapture();
    await this.measuring.start();
    this.every(this.options.lookEveryMs ?? 500, () => this.lookNow());
    this.every(this.options.sampleEveryMs ?? 1000, () => this.measuring.sample());
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const timer of this.timers) clearInterval(timer);
    await this.control.close();
    await this.intents.close();
    await this.openedConsole?.source.close();
    this.console?.close();
    // A guest that ended within a moment was known by its console alone, if at all.
    this.emitIdentity();
    // What the VM's end meant may still be found out; then nothing waits for words any more.
    await this.telling;
    this.crashWatch.flush();
    await this.telling;
    await this.measuring.close();
    this.target.close();
    this.codeReader.close();
  }

  // A turn that is still busy when the next is due is not overtaken; a failing one is told once and tried again.
  private every(periodMs: number, body: () => Promise<void>): void {
    let busy = false;
    const turn = (): void => {
      if (busy || this.closed) return;
      busy = true;
      void body().finally(() => {
        busy = false;
      });
    };
    this.timers.push(setInterval(turn, periodMs));
  }

  private lookNow(): Promise<void> {
    this.looking ??= this.lookOnce().finally(() => {
      this.looking = null;
    });
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    const { status } = this.target.state();
    if (status === 'gone' || status === 'connecting') return;
    const sinceLook = Date.now() - this.session.snapshot().stacksAt;
    const isDead = status === 'shutdown' || status === 'crashed';
    // The first look at a dead guest is not put off: it is where everything stood.
    if (isDead && this.hasSeenDead && sinceLook < DEAD_LOOK_MS) return;
    this.hasSeenDead = isDead;
    if (this.options.inView?.() === false && sinceLook < UNSEEN_LOOK_MS) return;
    try {
      this.looks += 1;
      const every = this.current.settled ? RELIST_EVERY_LOOKS : REPLACE_EVERY_LOOKS;
      if (this.looks % every === 0) await this.placeCode();
      const seen = await look(this.target, this.current);
      if (this.closed) return;
      this.lastLook = seen;
      this.session.emit({ type: 'registers', vcpus: seen.vcpus });
      this.session.emit({ type: 'stacks', stacks: seen.stacks });
      if (seen.threads.length > 0) this.session.emit({ type: 'threads', threads: seen.threads, at: seen.threadsAt });
      if (status === 'running' && !this.control.holding) await this.detectSilentDeath(seen);
    } catch (error) {
      this.remarkUnlessOver('look-failed', error);
    }
  }

  private async detectSilentDeath(seen: Look): Promise<void> {
    const stacks = seen.vcpus.map(({ vcpu }) => seen.stacks.find(({ kind, id }) => kind === 'vcpu' && id === String(vcpu)));
    const death = this.detector.push({
      at: performance.now(),
      vcpus: seen.vcpus,
      stacks: stacks.map((stack) => stack ?? { frames: [], torn: true, end: 'unreadable' }),
      threads: seen.threads,
      console: this.openedConsole === null ? null : { ...this.consoleProgress, isWhole: this.openedConsole.isWhole },
      system: await readHabits(this.target, this.current, seen.vcpus),
    });
    if (death !== null) this.crashWatch.push({ ...death, type: 'silent', from: 'memory' });
    if (isDeadHalt(seen)) this.tellHaltedEnd();
  }

  /** By its image, else by what it said on the console. */
  private get unikernel(): Unikernel | null {
    const named = this.console?.unikernel ?? null;
    return this.current.unikernel ?? this.options.systems.unikernels.find(({ name }) => name === named) ?? null;
  }

  // A program that ended in a machine which it cannot switch off: the VM stays, and nothing will ever happen in it.
  private tellHaltedEnd(): void {
    const { lastWords } = this.consoleProgress;
    if (lastWords === null || this.crashWatch.told || this.told.has(lastWords)) return;
    this.told.add(lastWords);
    const how = `the guest has ended and stays halted; its last words: ${lastWords}`;
    this.session.emit({ type: 'guest-exit', exit: { code: null, how } });
  }

  private async placeCode(): Promise<void> {
    try {
      const registers = (await this.target.allRegisters())[0]?.registers;
      if (registers !== undefined) this.useCode(await this.codeReader.place(viewBy(this.target, registers)));
    } catch (error) {
      if (errorCode(error) === 'MEMORY_UNREADABLE') this.useCode(this.codeReader.unplaced({ trust: true }));
      this.remarkUnlessOver('symbols-unplaced', error);
    }
  }

  private useCode(code: Code): void {
    const before = this.current;
    this.current = code;
    this.console?.useCode(code);
    if (keyOfImages(code.images) !== keyOfImages(before.images)) {
      this.session.emit({ type: 'images', images: code.images });
      if (this.consoleTried) this.emitIdentity();
    }
    // At first an image may only not be loaded yet: a guest that boots, or stands before its first instruction (-S).
    const isEarly = Date.now() - this.startedAt < SETTLE_MS;
    for (const diagnostic of code.diagnostics) {
      if (this.told.has(diagnostic.message) || (isEarly && diagnostic.code === 'image-mismatch')) continue;
      this.told.add(diagnostic.message);
      this.session.emit({ type: 'diagnostic', diagnostic });
    }
  }

  private async openConsole(): Promise<void> {
    this.consoleTried = true;
    const console = this.openPipeline();
    const sink = {
      onBytes: (bytes: Uint8Array) => {
        this.options.onConsole?.(bytes);
        console.push(bytes);
      },
      onRemark: (code: string, message: string) => {
        this.session.remark(code, message);
      },
    };
    try {
      this.openedConsole = this.options.takeConsole
        ? await takeConsole(this.record, this.target, sink)
        : await openConsole(this.record, this.target, this.code, sink);
    } catch (error) {
      this.remarkUnlessOver('console-unavailable', error);
    }
  }

  private async beginCapture(): Promise<void> {
    if (this.options.capture === undefined) return;
    try {
      await this.measuring.network.open(this.options.capture);
    } catch (error) {
      this.remarkUnlessOver('capture-failed', error);
    }
  }

  private openPipeline(): ConsolePipeline {
    const { unikernels, runtimes } = this.options.systems;
    const reader = new CrashReader({ unikernels, runtimes, unikernel: this.current.unikernel?.name ?? null });
    this.console = new ConsolePipeline(this.record?.consoles[0]?.name ?? 'console', reader, {
      onLine: (line) => {
        this.consoleProgress = goneOn(this.consoleProgress, line, this.unikernel?.halt ?? null);
        this.session.emit({ type: 'console', line });
        if (!line.partial) this.measuring.hear(line.text);
      },
      onCrash: (crash) => {
        const told = this.measuring.inspector.join(crash);
        if (told !== null) this.crashWatch.push({ type: 'text', crash: told });
      },
    });
    this.console.useCode(this.current);
    return this.console;
  }

  private onState(state: VmState): void {
    this.emitState(state);
    if (state.event === 'RESET') this.onReset(state);
    else if (state.status === 'shutdown' || isPanic(state)) this.telling = this.telling.then(() => this.onEnd(state));
    else if (state.status === 'gone') {
      this.console?.settle();
      this.crashWatch.flush();
    }
  }

  // The guest starts over. Asked for by somebody, or the CPU gave up (triple fault): its registers are gone with it, and the
  // last look is all there is.
  private onReset(state: VmState): void {
    if (state.cause === 'guest-reset') this.crashWatch.push(unseenReset());
    this.crashWatch.reset();
    this.measuring.reset();
    this.detector.reset();
    this.consoleProgress = NOTHING_PRINTED;
    this.telling = this.telling.then(() => {
      this.current = this.codeReader.unplaced({ trust: false });
      this.lastLook = null;
    });
  }

  // A VM that was off when we came does not say why. Page tables that the guest has overwritten are reason enough.
  private tellOldDeath(): void {
    const state = this.target.state();
    if (isPanic(state)) this.telling = this.telling.then(() => this.onEnd(state));
    const ruined = this.current.diagnostics.some(({ code }) => code === 'page-tables-damaged');
    if (state.status === 'shutdown' && ruined) {
      this.telling = this.telling.then(async () => {
        this.crashWatch.push(await this.deaths.explainReset());
      });
    }
  }

  private async onEnd(state: VmState): Promise<void> {
    this.console?.settle();
    if (isPanic(state)) {
      this.crashWatch.push(silent(state.cause === 'internal-error' ? 'fault' : 'panic', state.reason ?? ''));
    } else if (state.cause === 'guest-reset' && !this.crashWatch.told) {
      this.crashWatch.push(await this.deaths.explainReset());
    }
    await this.tellExitStatus();
  }

  // Without isa-debug-exit QEMU's own status does not say how the guest's program ended; some guests leave it in their memory.
  private async tellExitStatus(): Promise<void> {
    try {
      // The guest may have been quicker than our next look for its code; what it loaded is still there.
      if (!this.current.settled) await this.placeCode();
      const status = await readExitStatus(this.target, this.current);
      if (status !== null) this.session.emit({ type: 'guest-exit', exit: status });
    } catch (error) {
      // A VM that is gone by now leaves nothing to read.
      if (errorCode(error) === null) throw error;
    }
  }

  private async tell(sign: DeathSign): Promise<void> {
    // An image that was not in memory yet when we last looked may be what just died; with the guest gone nobody can tell any more.
    if (!this.current.settled && this.deaths.walker() !== null) await this.placeCode();
    if (!this.current.settled && this.deaths.walker() === null) this.useCode(this.codeReader.presume(lastWords(sign)));
    const crash = await this.deaths.explain(sign);
    this.session.emit({ type: 'crash', crash });
    if (crash.kind !== 'out-of-memory') return;
    // How far it had come when it died, and not up to a second before.
    await this.measuring.sample();
    const { target, current: code } = this;
    const outOfMemory = await explainOutOfMemory({ target, code, crash, snapshot: this.session.snapshot() });
    this.session.emit({ type: 'out-of-memory', outOfMemory });
  }

  // While our debugger holds the guest it tells each stop itself; QEMU's own STOP and RESUME around every step are its noise.
  private emitState({ status, reason }: VmState): void {
    const isNoise = this.control.holding && ['running', 'paused', 'debug'].includes(status);
    if (!isNoise) this.session.emit({ type: 'vm', status, reason });
  }

  private emitIdentity(): void {
    const { facts } = this.target;
    const known = this.unikernel;
    const identity: TargetIdentity = {
      name: facts.name,
      kind: 'live',
      pid: facts.pid,
      machine: facts.machine,
      accelerator: facts.accelerator,
      vcpus: facts.vcpus,
      memoryBytes: facts.memoryBytes,
      unikernel: known?.name ?? null,
      unikernelTitle: known?.title ?? null,
      memoryReader: facts.memoryReader,
      readStopsGuest: false,
      console: this.openedConsole?.how ?? (this.consoleTried ? 'none' : null),
    };
    const before = this.session.snapshot().identity;
    if (before === null || JSON.stringify(before) !== JSON.stringify(identity)) this.session.emit({ type: 'identity', identity });
  }

  // A VM that ends while we look at it is no failure of ours; everything else that unidbg knows to go wrong is a remark.
  private remarkUnlessOver(code: string, error: unknown): void {
    if (errorCode(error) === null) throw error;
    const over = this.closed || ['gone', 'connecting'].includes(this.target.state().status);
    if (!over) this.session.remark(code, errorMessage(error));
  }
}

function keyOfImages(images: readonly Image[]): string {
  return JSON.stringify(images, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
}
