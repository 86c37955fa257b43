// `unidbg replay` on the recording of a guest that crashes, made here: on a screen in a pty as a user sees it, and as lines.

import { mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type IPty, spawn as spawnPty } from '@lydell/node-pty';
import xterm from '@xterm/headless';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRecording } from '../../src/session/recording.ts';
import { EMPTY_SNAPSHOT, reduceAll } from '../../src/session/reduce.ts';
import { asReplay, Timeline } from '../../src/session/timeline.ts';
import { eventsOf, runUnidbg, UNIDBG } from '../support/cli.ts';
import { startDemoGuest } from '../support/demo-guest.ts';

const file = join(mkdtempSync(join(tmpdir(), 'unidbg-replay-')), 'crash.unidbg');

beforeAll(async () => {
  const guest = await startDemoGuest({ append: 'crash=null after=5000' });
  try {
    await runUnidbg(['attach', String(guest.process.pid), '--json', '--record', file, '--until-crash', '--for', '30s']);
  } finally {
    await guest.stop();
  }
});

const terminals: IPty[] = [];
afterAll(() => {
  for (const pty of terminals) {
    try {
      pty.kill('SIGKILL');
    } catch {
      // It has ended already.
    }
  }
});

function open(args: readonly string[], columns: number, rows: number) {
  const pty = spawnPty(process.execPath, [UNIDBG, 'replay', file, ...args], {
    ...{ name: 'xterm-256color', cols: columns, rows },
    env: { ...process.env, NO_COLOR: '', TMUX: '', LC_ALL: '', LANG: 'C.UTF-8' },
  });
  terminals.push(pty);
  const terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true });
  pty.onData((data) => {
    terminal.write(data);
  });
  const { promise: exited, resolve } = Promise.withResolvers<{ exitCode: number }>();
  pty.onExit(resolve);
  const screen = (): string => {
    const { active } = terminal.buffer;
    return Array.from({ length: rows }, (_, row) => active.getLine(active.baseY + row)?.translateToString(true) ?? '').join('\n');
  };
  const shows = async (wanted: RegExp): Promise<string> => {
    await expect.poll(screen, { timeout: 20_000, interval: 20 }).toMatch(wanted);
    return screen();
  };
  return {
    press: (keys: string): void => {
      pty.write(keys);
    },
    shows,
    exited,
  };
}

describe('the recording of a crash on the screen', () => {
  it.each([
    [80, 24],
    [200, 50],
  ])('is gone through forth and back, at %i×%i', async (columns, rows) => {
    const { press, shows, exited } = open(['--at', 'crash'], columns, rows);
    await shows(/at the ✖ .*├━+✖/);
    await shows(/crash_point\+0x/);
    press('[');
    // What came later is not there any more: neither in the console nor in the crash panel.
    await shows(/^(?![^]*crash_point)[^]*● RUNNING {2}demo[^]*1\.0s before ✖/);
    press('5');
    await shows(/no crash so far/);
    press('C');
    await shows(/at the ✖/);
    await shows(/✖ fault null dereference in count_visit \(crash\.c:\d+\)/);
    press(':at -500ms\r');
    await shows(/0\.5s before ✖/);
    press('.');
    await shows(/0\.[0-4]s before ✖|at the ✖/);
    press('0 ');
    await shows(/▶ 1×/);
    press('>>>>>>');
    await shows(/▶ 64×/);
    // Played to its end, where it stands still.
    await shows(/‖ still 64×[^]*(?:at the|after) ✖/);
    press('q');
    expect((await exited).exitCode).toBe(4);
  });
});

describe('the recording of a crash as lines', () => {
  it('is at every event the fold of all events up to it', () => {
    const reader = openRecording(file);
    const timeline = new Timeline(reader);
    timeline.readAll();
    let folded = EMPTY_SNAPSHOT;
    let count = 0;
    for (const event of reader.events()) {
      folded = reduceAll(folded, [asReplay(event)]);
      count += 1;
      expect(timeline.seekCount(count).snapshot).toEqual(folded);
    }
    expect(timeline.extent().count).toBe(count);
    reader.close();
  });

  it('tells the state at a moment: what was, and nothing of what came', async () => {
    const before = await runUnidbg(['replay', file, '--at', '-500ms', '--plain']);
    expect(before.stdout).toMatch(/UTC: [\d.]+s of [\d.]+s, 0\.5s before the crash\n/);
    expect(before.stdout).toMatch(/^demo\S* · unidbg demo guest · running/m);
    expect(before.stdout).toMatch(/^vcpu 0 \[/m);
    expect(before.stdout).not.toContain('===');
    expect(before.status).toBe(0);
    const crash = await runUnidbg(['replay', file, '--at', 'crash', '--json']);
    expect(JSON.parse(crash.stdout)).toMatchObject({ verdict: 'fault', crash: { kind: 'fault' } });
    expect(crash.status).toBe(4);
  });

  it('tells the events between two moments', async () => {
    const all = eventsOf(await runUnidbg(['replay', file, '--json']));
    const crash = all.find(({ type }) => type === 'crash')!;
    const some = await runUnidbg(['replay', file, '--json', '--from', '-1s', '--to', 'crash']);
    // In the order in which they were told: threads have the time when they were read, which may be just before the moment.
    const first = all.findIndex(({ at }) => at >= crash.at - 1000);
    const last = all.findLastIndex(({ at }) => at <= crash.at);
    expect(eventsOf(some)).toEqual(all.slice(first, last + 1));
    expect(some.status).toBe(4);
    expect((await runUnidbg(['replay', file, '--json', '--to', '-1s'])).status).toBe(0);
  });

  it('is told as far as it goes when it was cut off', async () => {
    const cut = `${file}.cut`;
    writeFileSync(cut, readFileSync(file));
    truncateSync(cut, Math.floor(readFileSync(file).length / 2));
    const result = await runUnidbg(['replay', cut, '--at', 'end', '--plain']);
    expect(result.status).toBe(0);
    const lines = await runUnidbg(['replay', cut]);
    expect(lines.stdout).toMatch(/\[unidbg\] the recording was cut off in line \d+: the last event is lost\n$/);
  });

  it.each([
    [['--at', 'soon'], /"soon" is not a moment: write 12\.5s/],
    [['--at', '2001-01-01'], /has no moment 2001-01-01 00:00:00\.000: it begins at/],
    [['--at', '1s', '--from', '1s'], /--at is one moment/],
    [['--speed', '-1'], /--speed -1: a number from 0/],
  ])('refuses %j', async (args, words) => {
    const result = await runUnidbg(['replay', file, '--plain', ...args]);
    expect(result.stderr).toMatch(words);
    expect(result.status).toBe(2);
  });
});
