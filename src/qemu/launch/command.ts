// Starts the command that starts a VM: a QEMU command line, or any launcher (ops, kraft, make, a script), whose QEMUs are found through
// shims. A launcher may start several VMs one after the other; each is given out when it can be talked to.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, UnidbgError } from '../../model/error.ts';
import { findProgram } from '../discover/command-line.ts';
import { findVms } from '../discover/find.ts';
import type { VmRecord } from '../discover/record.ts';
import { findStartTime } from '../process.ts';
import { openQmp } from '../qmp/client.ts';
import { type Keeper, openKeeper } from './keeper.ts';
import { OutputTail } from './output-tail.ts';
import { type LaunchPlan, type LaunchWishes, planLaunch } from './plan.ts';
import { cannotStart, END_MS, type ProcessEnd, waitForMonitor } from './ready.ts';
import { countOthers, findNote, makeShims, release } from './shim-folder.ts';

/** A VM that can be talked to. */
export interface StartedVm {
  readonly plan: LaunchPlan;
  readonly record: VmRecord;
}

/** A command that runs. */
export interface StartedCommand {
  /** It is QEMU itself, not a launcher. */
  readonly isQemu: boolean;
  readonly pid: number | null;
  /** Settles when the command's own process has ended. */
  readonly ended: Promise<ProcessEnd>;
  /** How it ended; null while it runs. */
  end(): ProcessEnd | null;
  /** The next VM; null when the command has ended and there is none. Throws QEMU_LAUNCH, QEMU_NOT_FOUND. */
  next(withinMs: number): Promise<StartedVm | null>;
  /** QEMUs that ran beside the one that was given out, and were left alone. */
  others(): number;
  /** The command's last words. */
  output(): readonly string[];
  /** Tells a VM's QEMU to quit, and waits for its end. */
  quit(vm: StartedVm, withinMs: number): Promise<void>;
  /** Ends all that it started and removes what was made for it. */
  close(): Promise<void>;
  /** The same at once. */
  closeNow(): void;
}

/** How a command is started. */
export interface CommandOptions {
  readonly wishes: LaunchWishes;
  /** Its standard input: ours, or none. A terminal is never given away: nothing that dies can leave it in disorder. */
  readonly stdin: 'inherit' | 'ignore';
  /** What a launcher writes before and beside its QEMU. */
  readonly onOutput?: (text: string) => void;
}

const POLL_MS = 20;
/** A QEMU that was started answers within this, or never. */
const ANSWER_MS = 30_000;

/** Starts it. Throws USAGE. */
export function startCommand(argv: readonly string[], options: CommandOptions): StartedCommand {
  if (argv.length === 0)
    throw new UnidbgError('USAGE', 'what is to be run? Write unidbg ci -- qemu-system-x86_64 …, or -- ops run …');
  const folder = mkdtempSync(join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), 'unidbg-ci-'));
  const keeper = openKeeper(folder);
  try {
    return findProgram(argv) === 0
      ? new QemuCommand(argv, folder, keeper, options)
      : new LauncherCommand(argv, folder, keeper, options);
  } catch (error) {
    keeper.closeNow();
    throw error;
  }
}

abstract class Command implements StartedCommand {
  abstract readonly isQemu: boolean;
  readonly ended: Promise<ProcessEnd>;
  protected readonly child: ChildProcess;
  protected readonly errors: OutputTail;
  /** Why it was not even started. */
  protected failure: UnidbgError | null = null;
  private readonly keeper: Keeper;
  private ending: ProcessEnd | null = null;

  get pid(): number | null {
    return this.child.pid ?? null;
  }

  constructor(child: ChildProcess, program: string, keeper: Keeper, errors: OutputTail) {
    this.child = child;
    this.errors = errors;
    this.keeper = keeper;
    this.ended = new Promise((resolve) => {
      const settle = (end: ProcessEnd): void => {
        this.ending ??= end;
        resolve(this.ending);
      };
      child.once('exit', (status, signal) => {
        settle({ status, signal });
      });
      child.once('error', (cause) => {
        this.failure = cannotStart(program, cause);
        settle({ status: null, signal: null });
      });
    });
  }

  abstract next(withinMs: number): Promise<StartedVm | null>;
  abstract others(): number;

  end(): ProcessEnd | null {
    return this.ending;
  }

  output(): readonly string[] {
    return this.errors.lines;
  }

  async quit({ plan, record }: StartedVm, withinMs: number): Promise<void> {
    try {
      const qmp = await openQmp(plan.qmp, { connectTimeoutMs: END_MS });
      await qmp.execute('quit').finally(() => {
        qmp.close();
      });
    } catch (error) {
      // It has ended already, or does not listen any more.
      if (errorCode(error) === null) throw error;
    }
    for (let waited = 0; waited < withinMs && findStartTime(record.pid) !== null; waited += POLL_MS) await sleep(POLL_MS);
  }

  async close(): Promise<void> {
    await this.keeper.close();
    if (this.child.pid !== undefined) await Promise.race([this.ended, sleep(END_MS, null, { ref: false })]);
    this.errors.close();
  }

  closeNow(): void {
    this.keeper.closeNow();
  }

  /** What it wrote may come a moment after its end. */
  protected async lastWords(): Promise<string> {
    await sleep(POLL_MS);
    return this.output().length === 0
      ? ''
      : `; it said:\n${this.output()
          .map((line) => `  ${line}`)
          .join('\n')}`;
  }
}

class QemuCommand extends Command {
  readonly isQemu = true;
  private readonly plan: LaunchPlan;
  private given = false;

  constructor(argv: readonly string[], folder: string, keeper: Keeper, { wishes, stdin }: CommandOptions) {
    const place = join(folder, 'vm');
    mkdirSync(place, { mode: 0o700 });
    const plan = planLaunch(argv, place, wishes);
    const errors = new OutputTail(join(folder, 'stderr'));
    const child = spawn(plan.argv[0]!, plan.argv.slice(1), {
      detached: true,
      env: keeper.env,
      stdio: [stdin, 'ignore', errors.fd],
    });
    super(child, plan.argv[0]!, keeper, errors);
    this.plan = plan;
  }

  async next(withinMs: number): Promise<StartedVm | null> {
    if (this.given) return null;
    this.given = true;
    const record = await answering(this.plan, Math.min(withinMs, ANSWER_MS), () => this.end() === null, null);
    if (this.failure !== null) throw this.failure;
    if (record !== null) return { plan: this.plan, record };
    const words = await this.lastWords();
    throw new UnidbgError('QEMU_LAUNCH', `QEMU ended ${endWords(this.end())} before it could be talked to${words}`);
  }

  others(): number {
    return 0;
  }
}

class LauncherCommand extends Command {
  readonly isQemu = false;
  private readonly folder: string;
  private readonly program: string;
  private readonly words: OutputTail;
  private given = 0;
  private last: StartedVm | null = null;

  constructor(argv: readonly string[], folder: string, keeper: Keeper, { wishes, stdin, onOutput }: CommandOptions) {
    const env = { ...keeper.env, PATH: makeShims(folder, wishes, process.env['PATH'] ?? '') };
    const echo = (text: string): void => {
      // With a VM running it is mostly the guest's console, which is told from QEMU's own copy.
      if (findNote(folder) === null) onOutput?.(text);
    };
    const words = new OutputTail(join(folder, 'stdout'), echo);
    const errors = new OutputTail(join(folder, 'stderr'), echo);
    const child = spawn(argv[0]!, argv.slice(1), { detached: true, env, stdio: [stdin, words.fd, errors.fd] });
    super(child, argv[0]!, keeper, errors);
    this.folder = folder;
    this.program = basename(argv[0]!);
    this.words = words;
  }

  override async close(): Promise<void> {
    await super.close();
    this.words.close();
  }

  /** Once a VM runs, its console is among what goes to standard output. */
  override output(): readonly string[] {
    return this.given > 0 ? super.output() : [...this.words.lines, ...super.output()];
  }

  async next(withinMs: number): Promise<StartedVm | null> {
    await this.letGo();
    const deadline = performance.now() + withinMs;
    let died: string | null = null;
    while (performance.now() < deadline) {
      const note = findNote(this.folder);
      if (note?.plan != null) {
        const { pid, plan } = note;
        const record = await answering(plan, ANSWER_MS, () => isAlive(pid, plan), pid);
        if (record !== null) {
          this.last = { plan, record };
          this.given += 1;
          return this.last;
        }
        died = 'QEMU ended before it could be talked to';
      } else if (note !== null) died = note.refused;
      // A launcher may try again, with other options.
      if (note !== null) release(this.folder);
      else if (this.end() !== null) return this.whenOver(died);
      await sleep(POLL_MS);
    }
    if (this.given > 0) return null;
    throw new UnidbgError(
      'QEMU_LAUNCH',
      `${this.program} has started no QEMU within ${Math.round(withinMs / 1000)} s${await this.lastWords()}`,
    );
  }

  others(): number {
    return countOthers(this.folder);
  }

  /** The VM that was given out has ended, and is only kept to be looked at: its launcher may go on. */
  private async letGo(): Promise<void> {
    if (this.last === null) return;
    await this.quit(this.last, END_MS);
    release(this.folder);
    this.last = null;
  }

  private async whenOver(died: string | null): Promise<null> {
    if (this.failure !== null) throw this.failure;
    if (this.given > 0 && died === null) return null;
    const ended = `${this.program} ended ${endWords(this.end())}`;
    const why = died ?? 'no qemu-system-… that it found in PATH was started (one called by its full path is not seen)';
    throw new UnidbgError('QEMU_LAUNCH', `${ended}, and ${why}${await this.lastWords()}`);
  }
}

/** Waits until QEMU answers; null when it ended before. `launcherPid`: the process that a launcher started, which may detach itself. */
async function answering(
  plan: LaunchPlan,
  withinMs: number,
  isThere: () => boolean,
  launcherPid: number | null,
): Promise<VmRecord | null> {
  const stopped = new AbortController();
  const ready = waitForMonitor(plan.socket, withinMs, stopped.signal).then(
    () => true,
    async (error: unknown) => {
      // QEMU closes the socket a moment before it has ended.
      for (let waited = 0; waited < END_MS && isThere(); waited += POLL_MS) await sleep(POLL_MS);
      if (isThere()) throw error;
      return false;
    },
  );
  const gone = (async () => {
    while (isThere() && !stopped.signal.aborted) await sleep(POLL_MS);
    return false;
  })();
  try {
    if (!(await Promise.race([ready, gone]))) return null;
    return await findRecord(plan, launcherPid);
  } finally {
    stopped.abort();
    ready.catch(() => undefined);
  }
}

/** QEMU's process. One that detaches itself is there twice until it has done so. */
async function findRecord({ socket, argv }: LaunchPlan, launcherPid: number | null): Promise<VmRecord | null> {
  const detaches = argv.includes('-daemonize') || argv.includes('--daemonize');
  for (let waited = 0; waited < ANSWER_MS; waited += POLL_MS) {
    const found = findVms().filter(({ monitors }) =>
      monitors.some(({ endpoint }) => endpoint?.kind === 'unix' && endpoint.path === socket),
    );
    const own = detaches ? found.filter(({ pid }) => pid !== launcherPid) : found;
    if (own[0] !== undefined && own.length === found.length) return own[0];
    if (found.length === 0 && !existsSync(socket)) return null;
    await sleep(POLL_MS);
  }
  return null;
}

/** A QEMU that detached itself is no longer where it was started; its socket stays. */
function isAlive(pid: number, { argv, socket }: LaunchPlan): boolean {
  if (findStartTime(pid) !== null) return true;
  return (argv.includes('-daemonize') || argv.includes('--daemonize')) && existsSync(socket);
}

/** `with status 1`, `by SIGABRT`. */
export function endWords(end: ProcessEnd | null): string {
  if (end === null) return 'unseen';
  return end.signal === null ? `with status ${end.status ?? '?'}` : `by ${end.signal}`;
}
