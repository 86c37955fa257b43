// `unidbg replay FILE`: a recording on the same screen, in its own time or faster; plain lines at once.

import type { Command } from 'commander';
import type { CrashKind } from '../../model/crash.ts';
import { UnidbgError } from '../../model/error.ts';
import { encodeEvent } from '../../session/event-codec.ts';
import { openRecording } from '../../session/recording.ts';
import { replayInto } from '../../session/replay.ts';
import { Session } from '../../session/session.ts';
import { EXIT, exitCodeOfCrash } from '../exit-codes.ts';
import { newPlainState, plainLines } from '../plain.ts';
import { showScreen } from '../screen.ts';
import type { Verb } from '../verb.ts';
import { wantsScreen } from './attach.ts';

interface ReplayOptions {
  readonly plain?: boolean;
  readonly json?: boolean;
  readonly speed: string;
}

export const replay: Verb = {
  register: (program: Command, finish) => {
    program
      .command('replay')
      .argument('<file>', 'a recording made with --record')
      .description('show a recording again')
      .option('--plain', 'plain lines, at once')
      .option('--json', 'one JSON event a line, at once')
      .option('--speed <factor>', 'how much faster than it happened; 0 = all at once', '1')
      .action(finish(async (file: string, options: ReplayOptions) => replayFile(file, options)));
  },
};

async function replayFile(file: string, options: ReplayOptions): Promise<number> {
  const speed = Number(options.speed);
  if (!(speed >= 0)) throw new UnidbgError('USAGE', `--speed ${options.speed}: a number, 0 or greater`);
  const reader = openRecording(file);
  const session = new Session();
  const crashes: CrashKind[] = [];
  session.subscribe((event) => {
    if (event.type === 'crash') crashes.push(event.crash.kind);
  });
  const stop = new AbortController();
  if (wantsScreen(options)) {
    const replaying = replayInto(session, reader.events(), { speed, signal: stop.signal });
    await showScreen(session, {});
    stop.abort();
    await replaying;
  } else {
    const seen = newPlainState();
    session.subscribe((event) => {
      const lines = options.json === true ? [encodeEvent(event)] : plainLines(event, seen);
      for (const line of lines) process.stdout.write(`${line}\n`);
    });
    await replayInto(session, reader.events(), { speed: 0, signal: stop.signal });
  }
  reader.close();
  const [first] = crashes;
  return first === undefined ? EXIT.fine : exitCodeOfCrash(first);
}
