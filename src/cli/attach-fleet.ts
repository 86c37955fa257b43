// `unidbg attach a b c` and `--all`: many VMs on one screen, or their lines and events with the name of each.

import type { CrashKind } from '../model/crash.ts';
import { UnidbgError } from '../model/error.ts';
import type { GuestEvent } from '../model/event.ts';
import { parseDuration } from '../model/quantity.ts';
import { findVms } from '../qemu/discover/find.ts';
import { encodeEvent } from '../session/event-codec.ts';
import { symbolFilesOf } from '../session/find-symbols.ts';
import { openLiveSession } from '../session/live-session.ts';
import type { Session } from '../session/session.ts';
import type { LiveSource } from '../targets/live.ts';
import type { AttachOptions } from './attach-options.ts';
import { sessionOptionsOf } from './attach-options.ts';
import { EXIT, exitCodeOfCrash } from './exit-codes.ts';
import { Fleet } from './fleet.ts';
import { openLog } from './log.ts';
import { newPlainState, plainLines } from './plain.ts';
import { showFleet } from './screen.ts';
import { findSource } from './target.ts';

/** VMs that start are found so soon under `--all`. */
const FIND_EVERY_MS = 2000;

/** Attaches to all of `names` (with `all`, to every VM there is and will be) and stays until told otherwise. Gives the exit code. */
export async function attachToMany(names: readonly string[], options: AttachOptions, onScreen: boolean): Promise<number> {
  if (options.record !== undefined || options.pcap !== undefined || options.dumpOnCrash !== undefined) {
    throw new UnidbgError('USAGE', '--record, --pcap and --dump-on-crash are for one VM: each such file holds one guest');
  }
  const forMs = options.for === undefined ? null : parseDuration(options.for);
  const sessionOptions = sessionOptionsOf(options);
  const log = openLog(options.log);
  const crashes: CrashKind[] = [];
  const ending = Promise.withResolvers<undefined>();
  const print = onScreen ? null : printerOf(options.json === true);
  const end = (): void => {
    ending.resolve(undefined);
  };
  const isOver = (): boolean =>
    fleet.members().every(({ session, failure }) => failure !== null || session?.snapshot().vm.status === 'gone');
  const fleet = new Fleet({
    open: (source, prepare, inView) =>
      openLiveSession(source, { ...sessionOptions, symbols: symbolsFor(source, options.symbols), inView }, prepare),
    prepare: (name, session: Session) => {
      session.subscribe((event) => {
        log.debug({ vm: name, event: event.type }, event.type === 'diagnostic' ? event.diagnostic.message : event.type);
        print?.(name, event);
        if (event.type === 'crash') crashes.push(event.crash.kind);
        if (event.type === 'crash' && options.untilCrash === true) end();
        if (event.type === 'vm' && event.status === 'gone' && options.all !== true && isOver()) end();
      });
    },
    onFailure: (name, message) => {
      log.debug({ vm: name }, message);
      print?.(name, {
        type: 'diagnostic',
        at: Date.now(),
        diagnostic: { code: 'attach-failed', message: `cannot be attached: ${message}` },
      });
      if (options.all !== true && isOver()) end();
    },
  });
  const findAll = (): void => {
    for (const vm of findVms()) fleet.add(vm.name, () => vm);
  };
  const begin = (): void => {
    for (const name of names) fleet.add(name, () => findSource(name));
    if (options.all === true) findAll();
  };
  const finding = options.all === true ? setInterval(findAll, FIND_EVERY_MS) : null;
  try {
    if (onScreen) await showFleet(fleet, begin);
    else {
      begin();
      await stay(ending.promise, end, forMs);
    }
  } finally {
    if (finding !== null) clearInterval(finding);
    await fleet.close();
  }
  const [first] = crashes;
  if (first !== undefined) return exitCodeOfCrash(first);
  const members = fleet.members();
  return members.length > 0 && members.every(({ failure }) => failure !== null) ? EXIT.cannotAttach : EXIT.fine;
}

/** What was given is for some of the VMs: of each its own file is read too, as it would be without any given. */
function symbolsFor(source: LiveSource, given: readonly string[]): readonly string[] {
  const kernel = 'pid' in source ? source.kernel : null;
  if (given.length === 0 || kernel === null) return given;
  return [...new Set([...symbolFilesOf(kernel).slice(0, 1), ...given])];
}

/** Prints an event with the name of its VM: before each line, or as `vm` of the JSON object. */
function printerOf(json: boolean): (name: string, event: GuestEvent) => void {
  const seen = new Map<string, ReturnType<typeof newPlainState>>();
  return (name, event) => {
    const state = seen.get(name) ?? newPlainState();
    seen.set(name, state);
    const lines = json
      ? [`{"vm":${JSON.stringify(name)},${encodeEvent(event).slice(1)}`]
      : plainLines(event, state).map((line) => `${name}: ${line}`);
    for (const line of lines) process.stdout.write(`${line}\n`);
  };
}

/** Waits for the end, the time, or a signal. */
async function stay(ending: Promise<undefined>, end: () => void, forMs: number | null): Promise<void> {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, end);
  const timer = forMs === null ? null : setTimeout(end, forMs);
  await ending;
  if (timer !== null) clearTimeout(timer);
  for (const signal of signals) process.off(signal, end);
}
