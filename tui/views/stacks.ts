// The stacks panel: vCPUs and guest threads as a tree. Enter opens a stack to its frames, and a frame to its source.

import { isSamePlace } from '../../src/model/event.ts';
import type { Frame, Stack } from '../../src/model/frame.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { GuestThread } from '../../src/model/thread.ts';
import { parsePattern } from '../filter.ts';
import { formatAge, STALE_AFTER_MS } from '../format.ts';
import type { ScreenState } from '../state.ts';
import { referenceTime } from '../state.ts';
import type { Line } from '../text.ts';
import { justify, span, textWidth, truncate } from '../text.ts';
import { addressDigits, END_REMARKS, frameLine, functionText, placeText } from './frame-line.ts';
import type { Row } from './list.ts';
import { listingLines } from './listing.ts';

/** A row of the tree and what it stands for. */
export interface StackRow extends Row {
  readonly stack: Stack;
  readonly frame: Frame | null;
}

/** Frames shown of one stack at most. */
const MOST_FRAMES = 256;

/** All rows, closed parts left out. A vCPU that our debugger holds comes first. */
export function stackRows(snapshot: Snapshot, state: ScreenState): readonly StackRow[] {
  const pattern = parsePattern(state.filters.stacks ?? '');
  const common = commonFunctions(snapshot.stacks);
  return withStop(snapshot).flatMap((stack) => {
    const rows = rowsOf(stack, common, snapshot, state);
    return pattern === null || rows.some((row) => pattern.matches(row.text)) ? rows : [];
  });
}

/** Functions in which most threads are: the scheduler's switch and sleep, the thread's entry. They tell nothing of one thread. */
function commonFunctions(stacks: readonly Stack[]): ReadonlySet<string> {
  const threads = stacks.filter(({ kind }) => kind === 'thread');
  const counts = new Map<string, number>();
  for (const { frames } of threads) {
    for (const name of new Set(frames.slice(0, MOST_FRAMES).map((frame) => shortFunction(frame.function)))) {
      if (name !== null) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return new Set([...counts].filter(([, count]) => count > 2 && count * 2 >= threads.length).map(([name]) => name));
}

/** Without what it is a template of: `do_wait_until<noninterruptible, …>` is one function of the scheduler's, not twenty. */
function shortFunction(name: string | null): string | null {
  const at = name?.indexOf('<') ?? -1;
  return name === null || at <= 0 || name.includes('operator') ? name : name.slice(0, at);
}

/** What a closed stack is about: its innermost functions without the common ones, or with them where there is nothing else. */
function tellingFunctions({ frames }: Stack, common: ReadonlySet<string>): readonly string[] {
  const names = frames.slice(0, MOST_FRAMES).flatMap((frame) => shortFunction(frame.function) ?? []);
  const telling = names.filter((name) => !common.has(name));
  return (telling.length > 0 ? telling : names).slice(0, 4);
}

/** Where a thread is: its telling functions, innermost first; those of the vCPU for the one that runs when there is one vCPU. */
export function tellingOf({ stacks }: Snapshot): (thread: GuestThread) => readonly string[] {
  const common = commonFunctions(stacks);
  const ofThread = new Map(stacks.flatMap((stack) => (stack.kind === 'thread' ? [[stack.id, stack] as const] : [])));
  const vcpus = stacks.filter(({ kind }) => kind === 'vcpu');
  return ({ id, state }) => {
    const stack = ofThread.get(id) ?? (state === 'running' && vcpus.length === 1 ? vcpus[0] : undefined);
    return stack === undefined ? [] : tellingFunctions(stack, common).slice(0, 2);
  };
}

/** While our debugger holds the guest, the frames it reports are those of that vCPU. */
function withStop({ stop, stacks }: Snapshot): readonly Stack[] {
  if (stop === null || stop.frames.length === 0) return stacks;
  const id = String(stop.vcpu);
  const held: Stack = {
    name: `vcpu ${stop.vcpu}`,
    kind: 'vcpu',
    id,
    state: stop.reason,
    frames: stop.frames,
    end: 'outermost',
    torn: false,
  };
  return [held, ...stacks.filter((stack) => stack.kind !== 'vcpu' || stack.id !== id)];
}

function rowsOf(stack: Stack, common: ReadonlySet<string>, snapshot: Snapshot, state: ScreenState): readonly StackRow[] {
  const key = `${stack.kind}:${stack.id}`;
  const open = isOpen(state, key, stack.kind === 'vcpu');
  const head: StackRow = {
    key,
    stack,
    frame: null,
    text: `${stack.name} ${stack.state} ${stack.frames.map((frame) => functionText(frame)).join(' ')}`,
    draw: (width) => headLine(stack, open ? [] : tellingFunctions(stack, common), width, open),
  };
  return open ? [head, ...frameRows(stack, key, snapshot, state)] : [head];
}

function headLine(stack: Stack, inside: readonly string[], width: number, open: boolean): Line {
  const mark = stack.frames.length === 0 ? '·' : open ? '▾' : '▸';
  const torn = stack.torn ? [span(' torn', 'warning')] : [];
  // An open stack's head has its row to itself: the whole reason of a stop fits there.
  const stateText = truncate(
    stack.state,
    open ? Math.max(8, width - textWidth(stack.name) - 6) : Math.max(8, Math.floor(width / 3)),
  );
  return justify(
    [span(`${mark} `, 'dim'), span(stack.name, 'strong'), ...torn, span(`  ${inside.join(' ← ')}`, 'dim')],
    [span(' '), span(stateText, stack.state === 'running' ? 'good' : 'plain')],
    width,
  );
}

function frameRows(stack: Stack, parent: string, snapshot: Snapshot, state: ScreenState): readonly StackRow[] {
  const digits = addressDigits(stack.frames.map((frame) => frame.pc));
  const frames = stack.frames.slice(0, MOST_FRAMES).flatMap((frame): readonly StackRow[] => {
    const key = `${parent}/${frame.index}`;
    const row: StackRow = {
      key,
      stack,
      frame,
      text: `${functionText(frame)} ${placeText(frame)}`,
      draw: (width) => [span('  '), ...frameLine(frame, digits, width - 2)],
    };
    return isOpen(state, key, false) ? [row, ...sourceRows(row, snapshot, state)] : [row];
  });
  const remark = END_REMARKS[stack.end];
  if (remark === null) return frames;
  const text = `  ⋯ ${remark}`;
  return [...frames, { key: `${parent}/end`, stack, frame: null, text, draw: () => [span(text, 'dim')] }];
}

/** The listing under an open frame; it is there once the session has answered. */
function sourceRows({ key, stack, frame }: StackRow, { listing }: Snapshot, state: ScreenState): readonly StackRow[] {
  const loaded = listing !== null && frame !== null && isSamePlace(listing.place, frame);
  // A snapshot holds one listing, the last one asked for.
  const isAsked = state.listingAsked !== null && frame !== null && isSamePlace(state.listingAsked, frame);
  const waiting = isAsked ? 'reading …' : 'close and open it again to read the source';
  const lines: readonly Line[] = loaded ? listingLines(listing.listing) : [[span(waiting, 'dim')]];
  return lines.map((line, index) => ({
    key: `${key}/${index}`,
    stack,
    frame: null,
    text: '',
    draw: () => [span('    '), ...line],
  }));
}

function isOpen(state: ScreenState, key: string, byDefault: boolean): boolean {
  return byDefault !== state.toggled.has(key);
}

/** What the panel says while there is nothing to list. */
export function emptyStacks(snapshot: Snapshot): readonly Line[] {
  return [[span(snapshot.identity === null ? 'attaching …' : 'no stack has been read yet', 'dim')]];
}

/** Right end of the title: the debugger's mode, or how old the stacks are. */
export function stacksRemark(snapshot: Snapshot, state: ScreenState): Line {
  if (snapshot.vm.status === 'debug') return [span(' ■ STOPPED · debugger ', 'badge-bad')];
  if (snapshot.stacksAt === 0) return [];
  const age = referenceTime(state, snapshot) - snapshot.stacksAt;
  return [span(` ${formatAge(age)} ago `, age > STALE_AFTER_MS ? 'dim' : 'plain')];
}

/** The stack of a row as text, for copies. */
export function stackText(stack: Stack): string {
  return `${stack.name} ${stack.state}\n${stack.frames.map((frame) => `  #${frame.index} 0x${frame.pc.toString(16)} ${functionText(frame)} ${placeText(frame)}`.trimEnd()).join('\n')}`;
}
