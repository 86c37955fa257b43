// A hundred runs of a healthy guest give a hundred passes; and a flaky one's crashes are one bug.
//   node bench/ci-hundred.ts [runs] [jobs]

import { spawnSync } from 'node:child_process';
import { commandOf, OTHERS } from '../test/guests/broken.ts';
import { UNIDBG } from '../test/support/cli.ts';

const runs = process.argv[2] ?? '100';
const jobs = process.argv[3] ?? '2';

const healthy = await commandOf(OTHERS[0]!);
for (const append of ['after=100 requests=20', 'after=100 requests=20 flaky=10']) {
  const command = healthy.map((word) => (word.includes('requests=') ? append : word));
  const from = performance.now();
  const args = [UNIDBG, 'ci', '--repeat', runs, '--jobs', jobs, '--until', 'exit', '--', ...command];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const seconds = ((performance.now() - from) / 1000).toFixed(0);
  const lines = stdout.split('\n');
  const summary = lines.slice(lines.findIndex((line) => /\d+ of \d+ runs passed/.test(line)));
  console.log(`${append}: exit code ${String(status)} after ${seconds} s\n  ${summary.join('\n  ').trim()}`);
}
