// Pictures of the HTML report in a real browser, to look at: demo guests that die in four ways are run by `unidbg ci`, and each report is
// photographed light and dark, on a wide screen and on a narrow one. Needs Debian's chromium.
//   node test/support/report-screenshots.ts [FOLDER]     a new folder in the temporary one unless told

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildDemoGuest, DEMO_SOURCE_ROOT } from '../guests/build.ts';
import { UNIDBG } from './cli.ts';

const RUNS: Readonly<Record<string, readonly string[]>> = {
  fault: ['crash=null after=8000'],
  'out-of-memory': ['gc=off leak=4000000'],
  deadlock: ['crash=deadlock after=4000'],
  flaky: ['flaky=2 after=500 requests=200', '--repeat=6', '--until=exit'],
};
/** Chromium's numbers for `preferredColorScheme`. */
const SCHEMES = { light: 1, dark: 0 } as const;
const WIDTHS = { wide: 1600, narrow: 400 } as const;
const HEIGHT = 3600;

const folder = process.argv[2] ?? mkdtempSync(join(tmpdir(), 'unidbg-report-'));
const elf = await buildDemoGuest('fp');
for (const [name, [append, ...options]] of Object.entries(RUNS)) {
  const report = resolve(folder, name);
  const qemu = ['qemu-system-x86_64', '-machine', 'q35', '-m', '96M', '-display', 'none', '-serial', 'stdio', '-no-reboot'];
  const ci = [
    'ci',
    '--no-dump',
    '--quiet',
    '--timeout=60s',
    `--source=${DEMO_SOURCE_ROOT}`,
    `--report=${report}`,
    `--name=${name}`,
  ];
  spawnSync(process.execPath, [UNIDBG, ...ci, ...options, '--', ...qemu, '-kernel', elf, '-append', append ?? ''], {
    stdio: 'ignore',
  });
  for (const [scheme, number] of Object.entries(SCHEMES))
    for (const [width, pixels] of Object.entries(WIDTHS)) {
      const picture = `${report}-${width}-${scheme}.png`;
      photograph(join(report, 'report.html'), picture, pixels, number);
      console.log(picture);
    }
}

function photograph(page: string, picture: string, width: number, scheme: number): void {
  const looks = [`--window-size=${width},${HEIGHT}`, `--blink-settings=preferredColorScheme=${scheme}`, '--hide-scrollbars'];
  execFileSync(
    'chromium',
    ['--headless', '--no-sandbox', '--disable-gpu', ...looks, `--screenshot=${picture}`, `file://${page}`],
    {
      stdio: 'ignore',
      timeout: 60_000,
    },
  );
}
