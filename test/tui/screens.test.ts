// Whole screens as text, in test/tui/goldens. `UPDATE=1` writes them anew: read the difference before committing it.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { drawFleet } from '../../tui/fleet/draw.ts';
import type { FleetState } from '../../tui/fleet/state.ts';
import { initialFleet } from '../../tui/fleet/state.ts';
import { makeBusy, makeFleet } from './busy-guest.ts';
import { linesAnsi, linesText, openState, press, screenAnsi, screenText } from './draw.ts';
import { CRASH, makeCrashed, makeSnapshot, manyLines, NOW } from './guest.ts';

const GOLDENS = join(import.meta.dirname, 'goldens');

function expectGolden(name: string, text: string): void {
  const file = join(GOLDENS, `${name}.txt`);
  if (process.env['UPDATE'] === '1') writeFileSync(file, `${text}\n`);
  expect(existsSync(file), `${file} is missing: UPDATE=1 writes it`).toBe(true);
  expect(`${text}\n`).toBe(readFileSync(file, 'utf8'));
}

const memory = {
  address: 0xffffffff80104000n,
  bytes: Uint8Array.from({ length: 1024 }, (_, index) => (index * 37) % 256),
  unreadable: [{ start: 64, end: 96 }],
};

const healthy = makeSnapshot();
const busy = makeBusy();
const crashed = makeCrashed();
const stopped = makeSnapshot({
  vm: { status: 'debug', reason: 'breakpoint at handle_request', since: NOW - 12_000 },
  stop: { vcpu: 0, reason: 'breakpoint 1', frames: CRASH.frames },
});
const connecting = makeSnapshot({
  identity: null,
  vm: { status: 'connecting', reason: null, since: NOW },
  ...{ console: [], stacks: [], stacksAt: 0, threads: [], images: [], metrics: new Map() },
});
const stopsGuest = makeSnapshot({
  identity: { ...healthy.identity!, kind: 'rsp', memoryReader: 'memory over the GDB stub at :1234', readStopsGuest: true },
});

const SCREENS: readonly (readonly [string, Snapshot, readonly string[]])[] = [
  ['healthy', healthy, []],
  ['connecting', connecting, []],
  ['crash-in-console', crashed, []],
  ['crash', crashed, ['5']],
  ['stacks-stopped', stopped, ['2']],
  ['stacks-expanded', healthy, ['2', 'e', 'j', 'j', 'j', 'j', 'enter']],
  ['metrics-expanded', healthy, ['3', 'e']],
  ['threads', healthy, ['4']],
  ['bytes', makeSnapshot({ memory }), ['x']],
  ['memory', busy, ['6']],
  ['memory-expanded', busy, ['6', 'e']],
  ['memory-unmeasured', healthy, ['6', 'e']],
  ['gc', busy, ['8']],
  ['gc-expanded', busy, ['8', 'e']],
  ['network', busy, ['9']],
  ['network-expanded', busy, ['9', 'e']],
  ['network-not-captured', healthy, ['9', 'e']],
  ['flow', busy, ['9', 'j', 'j', 'j', 'enter']],
  ['findings', busy, ['7']],
  ['overview', crashed, ['7']],
  ['help', healthy, ['?']],
  ['raw', crashed, ['5', 'y']],
  ['scrolled-and-frozen', makeSnapshot({ console: manyLines(300) }), ['k', 'f']],
  ['command-line', healthy, [':', '"b net"']],
  ['rsp-stops-the-guest', stopsGuest, []],
];

describe.each([
  [80, 24],
  [200, 50],
])('at %i×%i', (columns, rows) => {
  it.each(SCREENS)('the screen "%s" is as it was', (name, snapshot, keys) => {
    const { state } = press(openState(columns, rows), snapshot, ...keys);
    expectGolden(`${name}-${columns}x${rows}`, screenText(snapshot, { ...state, message: null }));
  });
});

describe('many VMs', () => {
  const state = (columns: number, rows: number): FleetState => ({
    ...initialFleet({ size: { columns, rows }, now: NOW - 65_000 }),
    now: NOW,
  });

  it.each([
    [80, 24],
    [200, 50],
  ])('are as they were at %i×%i', (columns, rows) => {
    const lines = drawFleet(makeFleet(), state(columns, rows));
    expectGolden(`fleet-${columns}x${rows}`, linesText(lines, columns));
  });

  it.each(['sixteen', 'none'] as const)('are as they were in the palette "%s"', (palette) => {
    expectGolden(`fleet-${palette}`, linesAnsi(drawFleet(makeFleet(), state(80, 24)), 80, palette));
  });
});

describe('the smallest screens', () => {
  it('still show all three panels at 60×15', () => {
    expectGolden('healthy-60x15', screenText(healthy, openState(60, 15)));
  });

  it('say that they are too small below', () => {
    expectGolden('too-small-40x10', screenText(healthy, openState(40, 10)));
  });
});

describe('colours', () => {
  it.each(['sixteen', 'eight', 'none'] as const)('of the palette "%s" are as they were', (palette) => {
    expectGolden(`crash-in-console-${palette}`, screenAnsi(crashed, openState(), palette));
  });

  it.each(['sixteen', 'none'] as const)('of memory that runs full, in the palette "%s", are as they were', (palette) => {
    expectGolden(`memory-${palette}`, screenAnsi(busy, press(openState(), busy, '6', 'e').state, palette));
    expectGolden(`network-${palette}`, screenAnsi(busy, press(openState(), busy, '9', 'e').state, palette));
  });
});
