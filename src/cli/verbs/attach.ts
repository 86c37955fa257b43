// `unidbg attach <vm>`: a running VM on a live screen, or as plain lines or JSON, without stopping it.

import type { Command } from 'commander';
import { findScreenObstacle } from '../../../tui/environment.ts';
import type { Crash } from '../../model/crash.ts';
import { UnidbgError } from '../../model/error.ts';
import type { GuestEvent } from '../../model/event.ts';
import { parseDuration } from '../../model/quantity.ts';
import { openLiveSession } from '../../session/live-session.ts';
import { RecordingWriter } from '../../session/recording.ts';
import type { Session } from '../../session/session.ts';
import type { LiveSource } from '../../targets/live.ts';
import { attachToMany } from '../attach-fleet.ts';
import { type AttachOptions, sessionOptionsOf } from '../attach-options.ts';
import { attachToStill, printEvents } from '../attach-still.ts';
import { collect } from '../collect.ts';
import { CrashDump } from '../dump-on-crash.ts';
import { EXIT, exitCodeOfCrash } from '../exit-codes.ts';
import { debugDirOption, sourceOption, symbolsOption } from '../file-options.ts';
import { openLog } from '../log.ts';
import { showScreen } from '../screen.ts';
import { addDumpOptions, findStillKind, type StillOptions } from '../still-guest.ts';
import { fetchProgress } from '../symbolize/progress.ts';
import { chooseVm, findSource } from '../target.ts';
import type { Verb } from '../verb.ts';
import { version } from '../version.ts';

export const attach: Verb = {
  register: (program: Command, finish) => {
    addAttachOptions(
      addDumpOptions(
        program
          .command('attach')
          .argument(
            '[vms...]',
            'name or pid from `unidbg ls`, a QMP socket (unix:PATH, HOST:PORT); a dump, a bundle or a recording',
          ),
      ),
    )
      .description('look into a running VM without stopping it, or into many at once; or into the dump of one')
      .option('--all', 'every VM there is, and those that start while we look')
      .action(
        finish(async (vms: readonly string[], options: AttachOptions & StillOptions) => {
          const onScreen = wantsScreen(options);
          const kind = vms.length === 1 ? findStillKind(vms[0]!, options) : null;
          if (kind !== null) return attachToStill(vms[0]!, kind, options, onScreen);
          refuseEndings(options, onScreen);
          if (vms.length > 1 || options.all === true) return attachToMany(vms, options, onScreen);
          const [vm] = vms;
          const seen = await attachTo(() => (vm === undefined ? chooseVm() : findSource(vm)), options);
          return seen.exitCode;
        }),
      );
  },
};

/** The options that attaching takes, wherever it happens. */
export function addAttachOptions(command: Command): Command {
  return command
    .option('--plain', 'plain lines instead of a screen (the default when stdout is no terminal)')
    .option('--json', 'one JSON event a line; with it nothing else is printed to stdout')
    .addOption(symbolsOption())
    .addOption(debugDirOption())
    .addOption(sourceOption())
    .option('--record <file>', 'write the event stream, for `unidbg replay`')
    .option('--log <file>', "unidbg's own log")
    .option('--dump-on-crash [dir]', 'when the guest crashes, write everything of it into a bundle in this folder')
    .option(
      '--probe <place>',
      "where the guest's own programs speak: listen:PORT, listen:/path, tcp:HOST:PORT, unix:/path, file:/path; may be given many times",
      collect,
      [],
    )
    .option('--take-console', 'move the console to us when it cannot be read otherwise (QMP chardev-change)')
    .option('--for <time>', 'detach after this time: 500ms, 8s, 2m (plain and JSON only)')
    .option('--until-crash', 'detach when the guest has crashed, or is off (plain and JSON only)')
    .option('--hang-after <time>', 'a vCPU that spins with interrupts off so long hangs; what is less certain takes longer', '5s')
    .option('--sample-every <time>', 'how often metrics are read, 10ms or more', '1s')
    .option('--look-every <time>', 'how often stacks are read, 50ms or more', '500ms')
    .option('--capture', 'capture packets from the start (in the screen: `:capture on`)')
    .option('--pcap <file>', 'capture packets, and keep them as pcapng')
    .option(
      '--inspect <where>',
      "a V8 inspector: HOST:PORT or unix:/path; without it one is looked for among the VM's forwarded ports",
    )
    .option('--no-inspect', 'look for no V8 inspector')
    .option('--no-evaluate', 'evaluate nothing in a guest with an inspector: then only the size of its heap is known');
}

/** Whether the guest is off, or has ended in a VM that nobody switches off. */
function isEnd(event: GuestEvent): boolean {
  return event.type === 'guest-exit' || (event.type === 'vm' && event.status === 'shutdown');
}

/** A guest that is off crashes no more; what its console still holds, and what its end meant, is told first. */
const OFF_MS = 1000;

/** Whether there is a terminal to draw on and nobody asked for lines. */
export function wantsScreen(options: Pick<AttachOptions, 'plain' | 'json'>): boolean {
  return (
    options.plain !== true && options.json !== true && findScreenObstacle(process.env, process.stdin, process.stdout) === null
  );
}

/** A screen ends when its user says so. Throws USAGE. */
function refuseEndings(options: AttachOptions, onScreen: boolean): void {
  if (onScreen && (options.for !== undefined || options.untilCrash === true)) {
    throw new UnidbgError('USAGE', '--for and --until-crash go with --plain or --json');
  }
}

/** What was seen of a guest: as our exit code, whose system it is (null: not known), and whether its QEMU is gone. */
export interface Seen {
  readonly exitCode: number;
  readonly unikernel: string | null;
  readonly isGone: boolean;
  /** The first. */
  readonly crash: Crash | null;
}

/** Attaches and stays until told otherwise. */
export async function attachTo(find: () => LiveSource | Promise<LiveSource>, options: AttachOptions): Promise<Seen> {
  const onScreen = wantsScreen(options);
  refuseEndings(options, onScreen);
  const forMs = options.for === undefined ? null : parseDuration(options.for);
  const sessionOptions = sessionOptionsOf(options);
  const source = await find();
  const log = openLog(options.log);
  const crashes: Crash[] = [];
  const ending = Promise.withResolvers<string>();
  const name = 'pid' in source ? source.name : 'vm';
  const writer = options.record === undefined ? null : new RecordingWriter(options.record, { unidbg: version(), target: name });
  const dump =
    options.dumpOnCrash === undefined ? null : new CrashDump(options.dumpOnCrash === true ? '.' : options.dumpOnCrash, name);
  const prepare = (session: Session): void => {
    dump?.prepare(session);
    session.subscribe((event) => {
      log.debug({ event: event.type }, event.type === 'diagnostic' ? event.diagnostic.message : event.type);
      writer?.write(event);
      if (event.type === 'crash') crashes.push(event.crash);
      if (event.type === 'crash' && options.untilCrash === true) ending.resolve('crash');
      if (event.type === 'vm' && event.status === 'gone') ending.resolve('gone');
      if (options.untilCrash === true && isEnd(event))
        setTimeout(() => {
          ending.resolve('off');
        }, OFF_MS);
    });
    if (!onScreen) printEvents(session, options.json === true);
  };
  const fetching = fetchProgress();
  const heard = dump === null ? {} : { onConsole: dump.onConsole };
  const live = await openLiveSession(source, { ...sessionOptions, ...heard, onFetch: fetching.onProgress }, prepare)
    .catch((error: unknown) => {
      dump?.close();
      throw error;
    })
    .finally(fetching.close);
  dump?.use(live, 'pid' in source ? source : null);
  const flushing = setInterval(() => {
    const failure = writer?.flush() ?? null;
    if (failure !== null) live.session.remark('recording-ended', failure.message);
  }, 200);
  try {
    if (onScreen) await showScreen(live.session, options.record === undefined ? {} : { recording: options.record });
    else await stay(ending, forMs);
  } finally {
    await dump?.settle();
    await live.close();
    // What only its end told is written too, though memory is gone by then.
    await dump?.settle();
    dump?.close();
    clearInterval(flushing);
    writer?.close();
  }
  const [first] = crashes;
  const { identity, vm } = live.session.snapshot();
  return {
    exitCode: first === undefined ? EXIT.fine : exitCodeOfCrash(first.kind),
    unikernel: identity?.unikernel ?? null,
    isGone: vm.status === 'gone',
    crash: crashes[0] ?? null,
  };
}

/** Waits for the end: of the guest, of the time, or a signal. */
async function stay(ending: PromiseWithResolvers<string>, forMs: number | null): Promise<void> {
  const stop = (): void => {
    ending.resolve('signal');
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, stop);
  const timer = forMs === null ? null : setTimeout(stop, forMs);
  await ending.promise;
  if (timer !== null) clearTimeout(timer);
  for (const signal of signals) process.off(signal, stop);
}
