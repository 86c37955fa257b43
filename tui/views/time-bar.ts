// The time bar of a replay: the moment, how far that is from the start and from the crash, and where both lie in the whole.

import { formatElapsed } from '../../src/model/moment.ts';
import type { Playback } from '../../src/model/playback.ts';
import type { Style } from '../style.ts';
import type { Line, Span } from '../text.ts';
import { fit, lineWidth, padEnd, span } from '../text.ts';

/** From this width on the date stands before the time of day. */
const ROOMY = 110;
const SHORTEST_TRACK = 12;

/** One row of `width` cells: ` 14:03:12.345  +12.5s  3.2s before ✖ ├━━━━●──!──✖──┤ 16.9s `. */
export function drawTimeBar(playback: Playback, width: number): Line {
  // Words of one width, so that the track does not move when the moment does.
  const digits = formatElapsed(playback.length).length;
  const elapsed = padEnd(`+${formatElapsed(playback.position)}`, digits + 1);
  const clock: Line = [span(` ${clockOf(playback.at, width >= ROOMY)} `, 'strong'), span(` ${elapsed} `)];
  const right: Line = [
    playback.read < 1
      ? span(` reading ${Math.floor(playback.read * 100)} % `, 'warning')
      : span(` ${formatElapsed(playback.length)} `),
  ];
  const left = [[...clock, ...crashDistance(playback, digits)], clock].find(
    (line) => width - lineWidth(line) - lineWidth(right) - 2 >= SHORTEST_TRACK,
  );
  if (left === undefined) return fit(clock, width);
  const cells = width - lineWidth(left) - lineWidth(right) - 2;
  return [...left, span('├', 'rule'), ...track(playback, cells), span('┤', 'rule'), ...right];
}

/** `▶ 4×`, or that it stands still (and how fast it would go). */
export function playState({ playing, speed }: Playback): Span {
  return playing ? span(` ▶ ${speed}× `, 'badge-good') : span(` ‖ still${speed === 1 ? '' : ` ${speed}×`} `, 'badge-warning');
}

function clockOf(at: number, withDate: boolean): string {
  return at === 0
    ? '--:--:--.---'
    : new Date(at)
        .toISOString()
        .slice(withDate ? 0 : 11, 23)
        .replace('T', ' ');
}

/** To the crash that comes next, or from the last one. */
function crashDistance({ marks, position }: Playback, digits: number): Line {
  const said = (text: string, style: Style): Line => [span(` ${padEnd(text, digits + ' before ✖'.length)} `, style)];
  const crashes = marks.filter(({ kind }) => kind === 'crash').map(({ elapsed }) => elapsed);
  const crash = crashes.find((elapsed) => elapsed >= position) ?? crashes.at(-1);
  if (crash === undefined) return [];
  const distance = crash - position;
  // A crash may be a fraction of a millisecond away: that is where it is.
  if (Math.abs(distance) < 1) return said('at the ✖', 'bad');
  return said(`${formatElapsed(distance)} ${distance > 0 ? 'before' : 'after'} ✖`, distance > 0 ? 'plain' : 'bad');
}

/** What has been is heavy, what comes is light; crashes and findings are marks on both; the moment's cell is inverse where it has a mark. */
function track({ position, length, marks }: Playback, cells: number): Line {
  const cellOf = (elapsed: number): number =>
    length <= 0 ? 0 : Math.min(cells - 1, Math.round((elapsed / length) * (cells - 1)));
  const now = cellOf(position);
  const drawn = Array.from({ length: cells }, (_, cell): Span => (cell < now ? span('━', 'rule-focused') : span('─', 'rule')));
  for (const kind of ['finding', 'crash'] as const) {
    for (const mark of marks) if (mark.kind === kind) drawn[cellOf(mark.elapsed)] = MARKS[kind];
  }
  const here = drawn[now];
  drawn[now] = here === MARKS.crash || here === MARKS.finding ? span(here.text, 'selected') : span('●', 'strong');
  return joined(drawn);
}

const MARKS: Readonly<Record<Playback['marks'][number]['kind'], Span>> = {
  crash: span('✖', 'bad'),
  finding: span('!', 'warning'),
};

/** Neighbours of one style become one span. */
function joined(cells: Line): Line {
  const spans: { text: string; style: Style }[] = [];
  for (const { text, style } of cells) {
    const last = spans.at(-1);
    if (last?.style === style) last.text += text;
    else spans.push({ text, style });
  }
  return spans;
}
