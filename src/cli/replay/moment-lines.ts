// The state of a recorded guest at one moment as plain lines: where it stood, what was wrong, what its metrics were, its last words.

import { exitWords } from '../../model/guest-exit.ts';
import { formatElapsed } from '../../model/moment.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { crashLines, stackLines } from '../../report/stack-text.ts';
import { isoTime } from '../../report/times.ts';
import { VIEWS } from '../../report/views/index.ts';
import type { TimelineExtent, TimelinePoint } from '../../session/timeline.ts';
import { NO_SHARES } from '../../vitals/cpu-shares.ts';

const CONSOLE_LINES = 12;
const FRAMES = 16;
const STACKS = 64;

/** `position` is ms from the recording's start. */
export function momentLines(point: TimelinePoint, extent: TimelineExtent, position: number): readonly string[] {
  const { snapshot } = point;
  const top = VIEWS.find(({ name }) => name === 'top');
  return [
    placeLine(point, extent, position),
    '',
    ...(top?.lines({ snapshot, shares: NO_SHARES }) ?? []),
    ...stackSection(snapshot),
    ...consoleSection(snapshot),
    ...snapshot.crashes.flatMap((crash) => ['', ...crashLines(crash)]),
    ...(snapshot.guestExit === null ? [] : [exitWords(snapshot.guestExit)]),
  ];
}

function placeLine({ clock }: TimelinePoint, { length, crashes }: TimelineExtent, position: number): string {
  const at = clock.at === 0 ? null : isoTime(clock.at + position - clock.elapsed);
  const [crash] = crashes;
  const distance = crash === undefined ? 0 : position - crash.elapsed;
  const toCrash =
    crash === undefined
      ? 'no crash in it'
      : distance === 0
        ? 'at the crash'
        : `${formatElapsed(distance)} ${distance < 0 ? 'before' : 'after'} the crash`;
  const when = at === null ? 'at no known time' : `${at.slice(0, 23).replace('T', ' ')} UTC`;
  return `[unidbg] ${when}: ${formatElapsed(position)} of ${formatElapsed(length)}, ${toCrash}`;
}

function stackSection({ stacks }: Snapshot): readonly string[] {
  if (stacks.length === 0) return [];
  const hidden = stacks.length - STACKS;
  return [
    '',
    ...stacks.slice(0, STACKS).flatMap((stack) => stackLines(stack, FRAMES)),
    ...(hidden > 0 ? [`… ${hidden} more stacks`] : []),
  ];
}

function consoleSection({ console, consoleDropped }: Snapshot): readonly string[] {
  if (console.length === 0) return [];
  const shown = console.slice(-CONSOLE_LINES);
  const before = consoleDropped + console.length - shown.length;
  return ['', before === 0 ? 'console:' : `console, after ${before} lines:`, ...shown.map(({ text }) => `  ${text}`)];
}
