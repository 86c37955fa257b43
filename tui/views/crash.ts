// The crash panel: what happened, frames over source (or instructions) on the left, registers on the right.

import type { Crash } from '../../src/model/crash.ts';
import { isSamePlace } from '../../src/model/event.ts';
import { type Frame, formatArguments } from '../../src/model/frame.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { parsePattern } from '../filter.ts';
import type { ScreenState } from '../state.ts';
import type { Line } from '../text.ts';
import { fit, span, textWidth, truncate, wrap } from '../text.ts';
import { addressDigits, frameLine, frameText } from './frame-line.ts';
import type { Row } from './list.ts';
import { drawList, fillRows, resolvePosition } from './list.ts';
import { listingAround } from './listing.ts';
import { orderedNames, registerGrid, registerGridWidth } from './registers.ts';

/** A row of the frame list. */
export interface FrameRow extends Row {
  readonly frame: Frame;
}

interface Area {
  readonly width: number;
  readonly height: number;
}

/** From this width on there may be two columns of registers. */
const ROOMY = 104;
const DIVIDER = ' │ ';
const MOST_ARGUMENT_ROWS = 3;
const WITNESSES: Readonly<Record<Crash['witness'], string>> = {
  console: 'the console',
  vm: "the VM's state",
  memory: 'guest memory',
  inspector: 'the V8 inspector',
};

/** The crash on display: the one chosen by `p`, else the newest. */
export function findShownCrash(snapshot: Snapshot, state: ScreenState): Crash | null {
  const index = state.crash ?? snapshot.crashes.length - 1;
  return snapshot.crashes[index] ?? snapshot.crashes.at(-1) ?? null;
}

/** Frames of the crash on display. */
export function crashRows(snapshot: Snapshot, state: ScreenState): readonly FrameRow[] {
  const frames = findShownCrash(snapshot, state)?.frames ?? [];
  const digits = addressDigits(frames.map((frame) => frame.pc));
  const pattern = parsePattern(state.filters.crash ?? '');
  return frames
    .map(
      (frame): FrameRow => ({
        key: String(frame.index),
        frame,
        text: frameText(frame),
        draw: (width) => frameLine(frame, digits, width),
      }),
    )
    .filter((row) => pattern === null || pattern.matches(row.text));
}

/** The selected frame, or null. */
export function findSelectedFrame(snapshot: Snapshot, state: ScreenState): Frame | null {
  const rows = crashRows(snapshot, state);
  return rows[resolvePosition(state.lists.crash, rows, rows.length).index]?.frame ?? null;
}

/** The body of the panel. */
export function drawCrash(snapshot: Snapshot, state: ScreenState, area: Area, focused: boolean): readonly Line[] {
  const crash = findShownCrash(snapshot, state);
  if (crash === null) return fillRows([[span('no crash so far', 'good')]], area);
  const head = headLines(crash, area.width);
  const height = Math.max(0, area.height - head.length);
  const { registers, faultAddress } = crash;
  // One column where all of it fits: the source needs the width more.
  const columns = registers !== null && area.width >= ROOMY && orderedNames(registers).length > height ? 2 : 1;
  const grid = registers === null ? [] : registerGrid(registers, { columns, height, faultAddress });
  const gridWidth = registers === null ? 0 : DIVIDER.length + registerGridWidth(registers, columns) + 1;
  const left = framesAndSource(snapshot, state, { width: area.width - gridWidth, height }, focused);
  const body = registers === null ? left : left.map((line, row): Line => [...line, span(DIVIDER, 'rule'), ...(grid[row] ?? [])]);
  return fillRows([...head, ...body], area);
}

function headLines(crash: Crash, width: number): readonly Line[] {
  const facts = [
    ...(crash.vcpu === null ? [] : [`vcpu ${crash.vcpu}`]),
    ...(crash.faultAddress === null ? [] : [`fault address 0x${crash.faultAddress.toString(16)}`]),
    crash.consoleLines === null
      ? `seen by ${WITNESSES[crash.witness]}`
      : `console lines ${crash.consoleLines.first}–${crash.consoleLines.last}`,
    ...[crash.unikernel, crash.runtime].filter((name) => name !== null),
    crash.signature,
  ];
  return [
    [span(`✖ ${crash.kind} `, 'bad'), span(crash.title, 'strong')],
    ...wrap(crash.message, width, 2).map((text): Line => [span(text)]),
    [span(facts.join(' · '), 'dim')],
    ...(crash.corrupted === null ? [] : [[span(`! text in doubt: ${crash.corrupted}`, 'warning')]]),
  ].map((line) => fit(line, width));
}

function framesAndSource(snapshot: Snapshot, state: ScreenState, area: Area, focused: boolean): readonly Line[] {
  const rows = crashRows(snapshot, state);
  const frameHeight = crashFrameHeight(rows.length, area.height);
  const frames = drawList(rows, state.lists.crash, { width: area.width, height: frameHeight }, focused, [
    [span('no frame is known', 'dim')],
  ]);
  const selected = findSelectedFrame(snapshot, state);
  const sourceHeight = Math.max(0, area.height - frameHeight - 1);
  const { listing } = snapshot;
  const loaded = listing !== null && selected !== null && isSamePlace(listing.place, selected) ? listing.listing : null;
  const title = loaded === null ? (selected === null ? 'source' : 'reading the source …') : `${loaded.kind}: ${loaded.title}`;
  const name = truncate(title, area.width - 4);
  const rule: Line = [
    span('── ', 'rule'),
    span(name, 'tab-shown'),
    span(` ${'─'.repeat(Math.max(0, area.width - 4 - textWidth(name)))}`, 'rule'),
  ];
  const called = argumentLines(selected, area.width, Math.min(MOST_ARGUMENT_ROWS, sourceHeight));
  const source = loaded === null ? [] : listingAround(loaded, sourceHeight - called.length);
  return [
    ...frames,
    ...(area.height > frameHeight ? [rule] : []),
    ...fillRows([...called, ...source], { width: area.width, height: sourceHeight }),
  ];
}

/** What a frame was called with, above its source. */
function argumentLines(frame: Frame | null, width: number, height: number): readonly Line[] {
  const text = formatArguments(frame?.arguments ?? []);
  return text === '' || height <= 0 ? [] : wrap(`called with ${text}`, width, height).map((line): Line => [span(line, 'dim')]);
}

/** Rows of the frame list: all frames where they leave half of the place to the source. */
export function crashFrameHeight(frames: number, height: number): number {
  return Math.max(1, Math.min(Math.max(frames, 1), Math.floor((height - 1) / 2)));
}

/** Right end of the title. */
export function crashRemark(snapshot: Snapshot, state: ScreenState): Line {
  const { length } = snapshot.crashes;
  if (length < 2) return [];
  const index = Math.min(state.crash ?? length - 1, length - 1);
  return [span(` ${index + 1} of ${length} · p earlier `, 'dim')];
}

/** The whole crash as text, for copies. */
export function crashText(crash: Crash): string {
  const registers =
    crash.registers === null
      ? []
      : orderedNames(crash.registers).map((name) => `${name} 0x${crash.registers!.values[name]!.toString(16)}`);
  return [`${crash.kind}: ${crash.title}`, crash.message, ...crash.frames.map((frame) => frameText(frame)), ...registers].join(
    '\n',
  );
}
