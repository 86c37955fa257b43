// How soon `unidbg ci` ends after a crash: from the guest's last byte on its serial port (the time of its file) to the exit of the process.
//   node bench/ci-crash-time.ts [times]

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BROKEN, type BrokenGuest, commandOf } from '../test/guests/broken.ts';
import { UNIDBG } from '../test/support/cli.ts';

const times = Number(process.argv[2] ?? '3');
/** Those whose last byte is their death's; a silent one's end is measured by patience alone. */
const SPEAKING = ['null', 'wild', 'stack', 'assert', 'abort', 'panic', 'oom'];

for (const guest of BROKEN.filter(({ name }) => SPEAKING.includes(name))) {
  for (const dump of [false, true]) {
    const took: number[] = [];
    for (let run = 0; run < times; run += 1) took.push(await measure(guest, dump));
    took.sort((a, b) => a - b);
    const words = took.map((ms) => `${ms.toFixed(0)} ms`).join(' ');
    console.log(`${guest.name.padEnd(8)} ${dump ? 'with reports and bundle' : 'verdict alone          '}  ${words}`);
  }
}

async function measure(guest: BrokenGuest, dump: boolean): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'ci-bench-'));
  const serial = join(folder, 'serial');
  try {
    const command = (await commandOf(guest)).map((word) => (word === 'stdio' ? `file:${serial}` : word));
    const report = dump ? ['--report', join(folder, 'report')] : [];
    const child = spawn(process.execPath, [UNIDBG, 'ci', '--quiet', ...report, '--', ...command], { stdio: 'ignore' });
    const status = await new Promise((resolve) => child.once('exit', resolve));
    const ended = Date.now();
    if (status !== guest.exitCode) throw new Error(`${guest.name}: exit code ${String(status)}`);
    return ended - statSync(serial).mtimeMs;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
