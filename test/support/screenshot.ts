// Makes the picture of the README from a real run: starts the demo guest, attaches to it in a pty of 120×36, waits until its panic
// is on the screen, and draws what the terminal shows.
//   node test/support/screenshot.ts [FILE.svg]     docs/screen.svg unless told

import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawn } from '@lydell/node-pty';
import xterm from '@xterm/headless';
import { DEMO_SOURCE_ROOT } from '../guests/build.ts';
import { cellsToSvg } from './cells-to-svg.ts';
import { UNIDBG } from './cli.ts';
import { startDemoGuest } from './demo-guest.ts';

const COLUMNS = 120;
const ROWS = 36;
/** Long enough for the charts to have something to show. */
const CRASH_AFTER_MS = 45_000;
const PATIENCE_MS = 120_000;

const out = process.argv[2] ?? resolve(import.meta.dirname, '../../docs/screen.svg');
const network = ['-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0'];
const shared = ['-object', 'memory-backend-memfd,id=mem,share=on,size=128M', '-machine', 'q35,memory-backend=mem'];
const guest = await startDemoGuest({
  append: `crash=null after=${CRASH_AFTER_MS}`,
  qemuArgs: ['-name', 'demo', ...network, ...shared],
});
try {
  await writeFile(out, await drawScreen(String(guest.process.pid)));
} finally {
  await guest.stop();
}

async function drawScreen(pid: string): Promise<string> {
  const terminal = new xterm.Terminal({ cols: COLUMNS, rows: ROWS, allowProposedApi: true });
  const pty = spawn(process.execPath, [UNIDBG, 'attach', pid, '--source', DEMO_SOURCE_ROOT], {
    name: 'xterm-256color',
    cols: COLUMNS,
    rows: ROWS,
    env: { ...process.env, NO_COLOR: '', TMUX: '', LC_ALL: '', LANG: 'C.UTF-8' },
  });
  pty.onData((data) => {
    terminal.write(data);
  });
  await waitFor(terminal, /RUNNING/);
  // The collector's heap and pauses beside the console, which keeps the keys.
  pty.write('81');
  await waitFor(terminal, /✖ fault: null dereference in \w+ \(/);
  // The crash is told a moment before its frames have their names.
  await sleep(1500);
  const svg = cellsToSvg(terminal, 'unidbg attach demo');
  pty.write('q');
  await new Promise((done) => pty.onExit(done));
  return svg;
}

async function waitFor(terminal: InstanceType<typeof xterm.Terminal>, pattern: RegExp): Promise<void> {
  const { active } = terminal.buffer;
  const deadline = Date.now() + PATIENCE_MS;
  const text = (): string =>
    Array.from({ length: ROWS }, (_, row) => terminal.buffer.active.getLine(active.baseY + row)?.translateToString() ?? '').join(
      '\n',
    );
  while (!pattern.test(text())) {
    if (Date.now() > deadline) throw new Error(`the screen never showed ${pattern.source}:\n${text()}`);
    await sleep(100);
  }
}
