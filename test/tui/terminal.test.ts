// End to end: the real screen in a pty, its bytes read by a terminal emulator. What is claimed is what a user would see.

import type { IPty } from '@lydell/node-pty';
import { spawn as spawnPty } from '@lydell/node-pty';
import xterm from '@xterm/headless';
import { afterEach, describe, expect, it } from 'vitest';

const SCRIPT = `${import.meta.dirname}/scripted-screen.ts`;

interface Session {
  readonly pty: IPty;
  readonly terminal: InstanceType<typeof xterm.Terminal>;
  /** All bytes so far. */
  output(): string;
  readonly exited: Promise<{ exitCode: number; signal?: number }>;
}

const opened: Session[] = [];

afterEach(() => {
  for (const { pty } of opened.splice(0)) {
    try {
      pty.kill('SIGKILL');
    } catch {
      // It has ended already.
    }
  }
});

function open(script: string, variables: Record<string, string> = {}, columns = 80, rows = 24): Session {
  const pty = spawnPty(process.execPath, [SCRIPT, script], {
    name: variables['TERM'] ?? 'xterm-256color',
    cols: columns,
    rows,
    env: { ...process.env, NO_COLOR: '', TMUX: '', LC_ALL: '', LANG: 'C.UTF-8', ...variables },
  });
  const terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true });
  let output = '';
  pty.onData((data) => {
    output += data;
    terminal.write(data);
  });
  const { promise: exited, resolve } = Promise.withResolvers<{ exitCode: number; signal?: number }>();
  pty.onExit(resolve);
  const session = { pty, terminal, output: () => output, exited };
  opened.push(session);
  return session;
}

function screenOf({ terminal }: Session): string {
  const { active } = terminal.buffer;
  return Array.from(
    { length: terminal.rows },
    (_, row) => active.getLine(active.baseY + row)?.translateToString(true) ?? '',
  ).join('\n');
}

/** Waits until the screen shows `wanted`; the error of the last try tells what it showed instead. */
async function shows(session: Session, wanted: string | RegExp, milliseconds = 10_000): Promise<string> {
  await expect.poll(() => screenOf(session), { timeout: milliseconds, interval: 10 }).toMatch(wanted);
  return screenOf(session);
}

/** The terminal as it was: normal screen, cursor shown, application keypad off. */
async function isRestored(session: Session): Promise<void> {
  await expect.poll(() => session.terminal.buffer.active.type).toBe('normal');
  expect(session.output().lastIndexOf('\x1b[?25h')).toBeGreaterThan(session.output().lastIndexOf('\x1b[?25l'));
  expect(session.terminal.modes.applicationKeypadMode).toBe(false);
  expect(session.terminal.modes.mouseTrackingMode).toBe('none');
}

describe('the screen in a terminal', () => {
  it('opens on the alternate screen, answers keys, and q leaves the terminal as it was', async () => {
    const session = open('crashed');
    await shows(session, /✖ CRASHED {2}demo · unidbg demo guest/);
    expect(session.terminal.buffer.active.type).toBe('alternate');
    session.pty.write('5');
    await shows(session, /→ 41 │ +buffer->length = request->length;/);
    session.pty.write('?');
    await shows(session, /Keys that work here/);
    session.pty.write('\x1b');
    await shows(session, /━ 5 Crash/);
    session.pty.write('q');
    expect(await session.exited).toMatchObject({ exitCode: 0 });
    await isRestored(session);
    await shows(session, /left: {"kind":"user"}/);
  });

  it('answers a key in less than 50 ms', async () => {
    const session = open('long');
    await shows(session, /line 10000 of the log/);
    const times: number[] = [];
    for (const [key, wanted] of [
      ['g', /line 1 of the log/],
      ['G', /line 10000 of/],
      ['x', /shows memory/],
      ['1', /line 10000 of/],
    ] as const) {
      const from = performance.now();
      session.pty.write(key);
      await shows(session, wanted);
      times.push(performance.now() - from);
    }
    // The median: this machine also runs other tests.
    expect(times.sort((a, b) => a - b)[1]).toBeLessThan(50);
  });

  it('writes nothing while nothing changes but the clock', async () => {
    const session = open('healthy');
    await shows(session, /RUNNING/);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = session.output().length;
    await new Promise((resolve) => setTimeout(resolve, 1100));
    // A whole screen is over 2000 bytes; the clock and the ages of values are a few cells.
    expect(session.output().length - before).toBeLessThan(500);
  });

  it('stays readable under a flood of lines and still leaves at once', async () => {
    const session = open('flood');
    await shows(session, /line \d{4,} of the log/);
    session.pty.write('q');
    expect(await session.exited).toMatchObject({ exitCode: 0 });
    await isRestored(session);
  });

  it('follows the size of the terminal', async () => {
    const session = open('crashed');
    await shows(session, /CRASHED/);
    session.terminal.resize(200, 50);
    session.pty.resize(200, 50);
    await shows(session, /├─ 3 Metrics/);
    session.terminal.resize(50, 12);
    session.pty.resize(50, 12);
    await shows(session, /too small/);
    session.terminal.resize(80, 24);
    session.pty.resize(80, 24);
    await shows(session, /┬─ 3 Metrics/);
  });

  it('halts after a yes, shows it loudly, and continues with c', async () => {
    const session = open('healthy');
    await shows(session, /RUNNING/);
    session.pty.write('2H');
    await shows(session, /Halt the guest\?/);
    session.pty.write('y');
    await shows(session, /■ STOPPED by unidbg/);
    session.pty.write('c');
    await shows(session, /● RUNNING/);
  });

  it('takes commands: memory and an expression', async () => {
    const session = open('healthy');
    await shows(session, /RUNNING/);
    session.pty.write(':x 0x1040\r');
    await shows(session, /0000000000001040 {2}4041 4243/);
    session.pty.write(':p counter\r');
    await shows(session, /> counter\s+42/);
  });

  it('asks after Ctrl-C and leaves at the second', async () => {
    const session = open('healthy');
    await shows(session, /RUNNING/);
    session.pty.write('\x03');
    await shows(session, /press Ctrl-C again or q to quit; the VM keeps running/);
    session.pty.write('\x03');
    expect(await session.exited).toMatchObject({ exitCode: 0 });
    await isRestored(session);
  });

  it('copies through OSC 52', async () => {
    const session = open('healthy');
    await shows(session, /RUNNING/);
    session.pty.write('c');
    await shows(session, /copied \d+ lines/);
    const [, base64 = ''] = /\x1b\]52;c;([A-Za-z0-9+/=]+)\x07/.exec(session.output()) ?? [];
    expect(Buffer.from(base64, 'base64').toString()).toContain('alloc: pool "replies" is empty');
  });
});

describe('many VMs in a terminal', () => {
  it('stand in rows, give one the screen and take it back, and one that crashes meanwhile is told of', async () => {
    const session = open('fleet');
    await shows(session, /old +✖ refused/);
    await shows(session, /web +demo +● running/);
    session.pty.write('j\r');
    await shows(session, /● RUNNING {2}web/);
    await shows(session, /✖ dns: fault: null dereference in handle_request \(server\.c:41\)/);
    session.pty.write('0');
    await shows(session, /dns +demo +✖ CRASHED/);
    session.pty.write('q');
    expect(await session.exited).toMatchObject({ exitCode: 0 });
    await isRestored(session);
  });
});

describe('the terminal is restored', () => {
  it.each(['SIGTERM', 'SIGHUP', 'SIGINT'] as const)('after %s, which is told to the caller', async (signal) => {
    const session = open('healthy');
    await shows(session, /RUNNING/);
    process.kill(session.pty.pid, signal);
    expect(await session.exited).toMatchObject({ exitCode: 0 });
    await isRestored(session);
    await shows(session, new RegExp(`"signal":"${signal}"`));
  });

  it('after a bug of ours, whose stack is readable on the normal screen', async () => {
    const session = open('bug', {}, 160, 50);
    await shows(session, /RUNNING/);
    expect((await session.exited).exitCode).toBe(1);
    await isRestored(session);
    await shows(session, /Error: a bug of ours/);
  });

  it('after process.exit somewhere else', async () => {
    const session = open('exit');
    await shows(session, /RUNNING/);
    expect(await session.exited).toMatchObject({ exitCode: 9 });
    await isRestored(session);
  });
});

describe('a hostile guest', () => {
  it('prints text that moves, colours, titles and copies nothing, and is no markup', async () => {
    const session = open('hostile');
    let titles = 0;
    session.terminal.onTitleChange(() => (titles += 1));
    const screen = await shows(session, /\{bold\}tags\{\/bold\} \{red-fg\}\{open\}/);
    expect(screen).toContain('·[2J·[31mred·]0;owned·');
    expect(screen).toContain('wide 漢字 mark');
    expect(titles).toBe(0);
    expect(session.output()).not.toContain('\x1b]');
    expect(session.output()).not.toContain('\x9b');
    const cell = session.terminal.buffer.active.getLine(3)?.getCell(9);
    expect(cell?.getChars()).toBe('r');
    expect(cell?.isFgDefault()).toBe(true);
  });
});

describe('every terminal', () => {
  it.each(['screen-256color', 'tmux-256color', 'linux', 'xterm-kitty'])('is drawn rightly with TERM=%s', async (TERM) => {
    const session = open('crashed', { TERM });
    await shows(session, /✖ CRASHED/);
    await shows(session, /│ r #1 {2}0104b6f5 handle_request/);
    session.pty.write('q');
    await session.exited;
    await isRestored(session);
  });

  it('gets 16 colours at most, and none under NO_COLOR', async () => {
    const coloured = open('crashed');
    await shows(coloured, /CRASHED/);
    expect(coloured.output()).toMatch(/\x1b\[1;41;37m/);
    expect(coloured.output()).not.toMatch(/\x1b\[[0-9;]*[34]8;[25]/);
    const plain = open('crashed', { NO_COLOR: '1' });
    await shows(plain, /CRASHED/);
    expect(plain.output()).not.toMatch(/\x1b\[(?:[0-9]+;)*(?:3[0-7]|4[0-7]|9[0-7]|10[0-7])m/);
    expect(plain.output()).toContain('\x1b[1;7m');
  });

  it('gets ASCII where the locale is not Unicode', async () => {
    const session = open('crashed', { LANG: 'C' });
    await shows(session, /X CRASHED/);
    expect(session.output()).not.toMatch(/[\u0080-\uffff]/);
  });
});
