// A view (src/report/views) as a verb: printed once, or again and again with --watch; as lines or as JSON.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { UnidbgError } from '../model/error.ts';
import type { GuestEvent } from '../model/event.ts';
import { encodeJson } from '../model/json.ts';
import { parseDuration } from '../model/quantity.ts';
import { toPrintable } from '../report/printable.ts';
import type { View } from '../report/views/index.ts';
import type { Session } from '../session/session.ts';
import { type CpuShares, followShares, NO_SHARES } from '../vitals/cpu-shares.ts';
import { EXIT } from './exit-codes.ts';
import { addGuestOptions, type GuestOptions, importantRemarks, withGuest } from './guest-session.ts';
import { remark, sayLines } from './say.ts';
import type { Verb } from './verb.ts';

interface ViewOptions extends GuestOptions {
  readonly watch?: boolean;
  readonly every: string;
  readonly for?: string;
  readonly pcap?: string;
  readonly capture?: boolean;
}

/** A view that is printed once is worth two looks. */
const FIRST_LOOKS_MS = 500;
const HOME_AND_CLEAR = '\x1b[H\x1b[J';
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

/** The verb that prints `view`. */
export function viewVerb(view: View): Verb {
  return {
    register: (program: Command, finish) => {
      const command = addGuestOptions(
        program
          .command(view.name)
          .argument('[vm]', 'name or pid from `unidbg ls`, a QMP socket, a recording, a bundle or a dump'),
      )
        .description(view.doc)
        .option('--watch', 'print it again and again, until Ctrl-C or the guest ends')
        .option('--every <time>', 'with --watch: how often', '1s')
        .option(
          '--for <time>',
          `how long to look${view.settleMs > 0 ? `; ${view.settleMs} ms without` : ''}; with --watch: when to end`,
        );
      if (view.captures) {
        command
          .option('--pcap <file>', 'keep the packets as pcapng, for tshark and Wireshark')
          .option('--no-capture', 'do not capture packets: counters and sockets only');
      }
      command.addHelpText('after', view.notes);
      command.action(finish(async (vm: string | undefined, options: ViewOptions) => run(view, vm, options)));
    },
  };
}

async function run(view: View, vm: string | undefined, options: ViewOptions): Promise<number> {
  const { capture: mayCapture = true, ...guestOptions } = options;
  const everyMs = parseDuration(options.every);
  if (everyMs < 100) throw new UnidbgError('USAGE', `--every ${options.every}: at least 100ms`);
  const forMs = options.for === undefined ? null : parseDuration(options.for);
  const captures = view.captures && mayCapture;
  const pcap = options.pcap === undefined ? {} : { pcap: options.pcap };
  const guest = {
    ...guestOptions,
    lookEveryMs: options.watch === true ? everyMs : FIRST_LOOKS_MS,
    ...(captures ? { capture: pcap } : {}),
  };
  return withGuest(vm, guest, async ({ session, isStill }) => {
    const shares = watchShares(session);
    const print = (): void => {
      printView(view, session, shares(), options);
    };
    const interrupted = onInterrupt();
    if (options.watch === true && !isStill) {
      await watch(session, print, { everyMs, forMs, settleMs: view.settleMs, interrupted });
      return EXIT.fine;
    }
    if (!isStill) await Promise.race([sleep(forMs ?? (captures ? view.settleMs : Math.min(view.settleMs, 2500))), interrupted]);
    print();
    if (options.json !== true) for (const message of importantRemarks(session.snapshot())) remark(message);
    return EXIT.fine;
  });
}

interface WatchTimes {
  readonly everyMs: number;
  readonly forMs: number | null;
  readonly settleMs: number;
  readonly interrupted: Promise<void>;
}

/** Prints until told to end, or the guest is gone; the terminal is left as it was. */
async function watch(session: Session, print: () => void, { everyMs, forMs, settleMs, interrupted }: WatchTimes): Promise<void> {
  const end = Promise.withResolvers<undefined>();
  void interrupted.then(() => {
    end.resolve(undefined);
  });
  session.subscribe((event: GuestEvent) => {
    if (event.type === 'vm' && event.status === 'gone') end.resolve(undefined);
  });
  const ending = forMs === null ? end.promise : Promise.race([end.promise, sleep(forMs)]);
  const showCursor = (): void => {
    if (process.stdout.isTTY) process.stdout.write(SHOW_CURSOR);
  };
  process.once('exit', showCursor);
  if (process.stdout.isTTY) process.stdout.write(HIDE_CURSOR);
  let over = false;
  void ending.then(() => {
    over = true;
  });
  await Promise.race([ending, sleep(Math.min(settleMs, everyMs))]);
  while (!over) {
    print();
    await Promise.race([ending, sleep(everyMs)]);
  }
  showCursor();
  process.removeListener('exit', showCursor);
}

/** On a terminal a repeated view stays where it is and is cut to the screen; elsewhere it goes on below, after a blank line. */
function printView(view: View, session: Session, shares: CpuShares, options: ViewOptions): void {
  const snapshot = session.snapshot();
  const seen = { snapshot, shares };
  if (options.json === true) {
    const head = { schemaVersion: 1, target: snapshot.identity?.name ?? null, at: snapshot.at };
    process.stdout.write(`${encodeJson({ ...head, ...view.document(seen) })}\n`);
    return;
  }
  const lines = view.lines(seen).map(toPrintable);
  if (options.watch !== true) {
    sayLines(lines);
  } else if (process.stdout.isTTY) {
    const { columns, rows } = process.stdout;
    const shown = lines.slice(0, rows - 1).map((line) => line.slice(0, columns));
    process.stdout.write(`${HOME_AND_CLEAR}${shown.join('\n')}\n`);
  } else {
    process.stdout.write(`${lines.join('\n')}\n\n`);
  }
}

function watchShares(session: Session): () => CpuShares {
  let shares = followShares(NO_SHARES, session.snapshot());
  session.subscribe((event) => {
    if (event.type === 'threads') shares = followShares(shares, session.snapshot());
  });
  return () => shares;
}

function onInterrupt(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        resolve();
      });
    }
  });
}
