// `unidbg replay FILE`: a recording, or what a bundle recorded, on the same screen: in its own time or faster, forth and back. Without a
// screen: its events as lines or JSON, or the state at one moment.

import type { Command } from 'commander';
import type { Crash } from '../../model/crash.ts';
import { UnidbgError } from '../../model/error.ts';
import type { GuestEvent } from '../../model/event.ts';
import { encodeJson } from '../../model/json.ts';
import { MOMENT_FORMS, type Moment, parseMoment } from '../../model/moment.ts';
import { reportToJson } from '../../report/json.ts';
import { reportOfSnapshot } from '../../report/snapshot-report.ts';
import { encodeEvent } from '../../session/event-codec.ts';
import { Replay } from '../../session/replay.ts';
import { asReplay, Timeline } from '../../session/timeline.ts';
import { collect } from '../collect.ts';
import { EXIT, exitCodeOfCrash } from '../exit-codes.ts';
import { debugDirOption, sourceOption } from '../file-options.ts';
import { newPlainState, plainLines } from '../plain.ts';
import { momentLines } from '../replay/moment-lines.ts';
import { openReplaySource, type ReplaySource } from '../replay/open-replay.ts';
import { sayLines } from '../say.ts';
import { showScreen } from '../screen.ts';
import type { Verb } from '../verb.ts';
import { wantsScreen } from './attach.ts';

interface ReplayVerbOptions {
  readonly plain?: boolean;
  readonly json?: boolean;
  readonly speed: string;
  readonly at?: string;
  readonly from?: string;
  readonly to?: string;
  readonly symbols: readonly string[];
  readonly debugDir: readonly string[];
  readonly source: readonly string[];
}

const EXAMPLES = `
A moment is ${MOMENT_FORMS};
a date and a time of day together are one, too. On the screen ? tells the keys that go through time.

Examples:
  unidbg replay crash.unicrash --at -3s             the screen, three seconds before the crash
  unidbg replay demo.rec --at 12.5s --plain         the state at that moment: stacks, findings, metrics
  unidbg replay demo.rec --from -10s --to crash     the last ten seconds as lines

The exit code tells the first crash of what was shown: 0 none, 4 crash, 5 out of memory, 6 hang.`;

export const replay: Verb = {
  register: (program: Command, finish) => {
    program
      .command('replay')
      .argument('<file>', 'a recording made with --record, or a bundle')
      .description('go through a recording, or what a bundle recorded: forth and back, at any speed')
      .option('--plain', 'plain lines, at once')
      .option('--json', 'one JSON event a line, at once; with --at one JSON report')
      .option('--speed <factor>', 'how much faster than it happened; 0 = stand at its end', '1')
      .option('--at <moment>', 'stand at this moment; with --plain and --json: the state then')
      .option('--from <moment>', 'lines and JSON: from this moment on')
      .option('--to <moment>', 'lines and JSON: up to this moment')
      .option('--symbols <elf>', "of a bundle: the files that name its core's code; may be given many times", collect, [])
      .addOption(debugDirOption())
      .addOption(sourceOption())
      .addHelpText('after', EXAMPLES)
      .action(finish(async (file: string, options: ReplayVerbOptions) => replayFile(file, options)));
  },
};

async function replayFile(file: string, options: ReplayVerbOptions): Promise<number> {
  const speed = Number(options.speed);
  if (!(speed >= 0 && speed <= 1e6)) throw new UnidbgError('USAGE', `--speed ${options.speed}: a number from 0 to 1000000`);
  const [at, from, to] = [options.at, options.from, options.to].map((text) => (text === undefined ? null : parseMoment(text)));
  if (at != null && (from != null || to != null))
    throw new UnidbgError('USAGE', '--at is one moment: --from and --to go without it');
  const isScreen = wantsScreen(options) && from == null && to == null;
  const source = openReplaySource(file, options);
  try {
    if (isScreen) return await showReplay(source, options, { speed, from: at ?? (speed === 0 ? { from: 'end' } : null) });
    if (at != null) return tellMoment(file, source, at, options.json === true);
    return tellEvents(source, from ?? null, to ?? null, options.json === true);
  } finally {
    source.close();
  }
}

async function showReplay(
  { reader, dump, remarks }: ReplaySource,
  options: ReplayVerbOptions,
  { speed, from }: { readonly speed: number; readonly from: Moment | null },
): Promise<number> {
  const sourceRoots = [...options.source, process.cwd()];
  const session = new Replay(reader, { speed: speed === 0 ? 1 : speed, from, sourceRoots, dump, remarks });
  try {
    await showScreen(session, {});
    return exitCodeOf(session.crashes());
  } finally {
    session.close();
  }
}

/** The state at a moment, as lines or as a report. */
function tellMoment(file: string, { reader, remarks }: ReplaySource, moment: Moment, json: boolean): number {
  const timeline = new Timeline(reader);
  timeline.readAll();
  const { point, position } = timeline.pointAt(moment);
  const { snapshot, clock } = point;
  const diagnostics = [...snapshot.diagnostics, ...remarks];
  const around = { source: file, seenAt: clock.at === 0 ? null : clock.at + position - clock.elapsed };
  sayLines(
    json
      ? [encodeJson(reportToJson(reportOfSnapshot({ ...snapshot, diagnostics }, around)))]
      : [...momentLines(point, timeline.extent(), position), ...remarks.map(({ message }) => `[unidbg] ${message}`)],
  );
  return exitCodeOf(snapshot.crashes);
}

/** The events between two moments, both included; what is wrong with the file is told at the end. */
function tellEvents(source: ReplaySource, from: Moment | null, to: Moment | null, json: boolean): number {
  const seen = newPlainState();
  const crashes: Crash[] = [];
  let at = 0;
  const tell = (event: GuestEvent): void => {
    at = event.at;
    if (event.type === 'crash') crashes.push(event.crash);
    sayLines(json ? [encodeEvent(event)] : plainLines(event, seen));
  };
  for (const event of eventsBetween(source, from, to)) tell(event);
  for (const diagnostic of source.remarks) tell({ at, type: 'diagnostic', diagnostic });
  return exitCodeOf(crashes);
}

function* eventsBetween({ reader }: ReplaySource, from: Moment | null, to: Moment | null): Generator<GuestEvent> {
  if (from === null && to === null) {
    for (const event of reader.events()) yield asReplay(event);
    return;
  }
  const timeline = new Timeline(reader);
  timeline.readAll();
  const first = from === null ? 0 : timeline.find(from);
  const last = to === null ? Infinity : timeline.find(to);
  for (const { event, clock } of timeline.eventsFrom(timeline.start)) {
    if (clock.elapsed > last) return;
    if (clock.elapsed >= first) yield event;
  }
}

function exitCodeOf([first]: readonly Pick<Crash, 'kind'>[]): number {
  return first === undefined ? EXIT.fine : exitCodeOfCrash(first.kind);
}
