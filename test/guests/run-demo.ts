// `npm run demo`: builds the demo guest, starts it by hand with nothing but a QMP socket and a console file, and attaches.
//   npm run demo                       the live screen; the guest dies of a null dereference after 20 s
//   npm run demo -- --plain            the same as lines, without a terminal; ends with the crash
//   npm run demo -- --crash=deadlock   another death (test/guests/demo/README.md), or none

import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { startDemoGuest } from '../support/demo-guest.ts';
import { DEMO_SOURCE_ROOT } from './build.ts';

const UNIDBG = resolve(import.meta.dirname, '../../src/cli/unidbg.js');

const given = process.argv.slice(2);
const crash = given.find((word) => word.startsWith('--crash='))?.slice('--crash='.length) ?? 'null';
const rest = given.filter((word) => !word.startsWith('--crash='));
const plain = rest.includes('--plain') || rest.includes('--json') || !process.stdout.isTTY;
const afterMs = plain ? 5_000 : 20_000;

const append = crash === 'none' ? '' : `crash=${crash} after=${afterMs}`;
const guest = await startDemoGuest({
  append,
  qemuArgs: ['-name', 'demo', '-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0'],
});
const attach = [
  UNIDBG,
  'attach',
  String(guest.process.pid),
  '--source',
  DEMO_SOURCE_ROOT,
  ...(plain ? [...new Set(['--plain', '--until-crash', ...rest])] : rest),
];
console.error(`unidbg: the demo guest runs (QEMU pid ${guest.process.pid ?? '?'}); now: unidbg ${attach.slice(1).join(' ')}`);

const child = spawn(process.execPath, attach, { stdio: 'inherit' });
// Ctrl-C at the terminal is the screen's; the guest ends when the screen does.
process.on('SIGINT', () => undefined);
const status = await new Promise<number>((done) =>
  child.once('exit', (code) => {
    done(code ?? 70);
  }),
);
await guest.stop();
if (status === 4) console.error('unidbg: exit code 4: the guest crashed, as it was told to');
process.exitCode = status === 4 ? 0 : status;
