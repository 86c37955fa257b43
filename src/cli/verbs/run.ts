// `unidbg run -- qemu-system-x86_64 …`: starts a QEMU with what attaching needs added, says what, and attaches.

import { rmSync } from 'node:fs';
import type { Command } from 'commander';
import { findVm } from '../../qemu/discover/find.ts';
import { type LaunchedVm, launchVm } from '../../qemu/launch/launch.ts';
import type { AttachOptions } from '../attach-options.ts';
import { EXIT } from '../exit-codes.ts';
import { beginRecord, endRecord } from '../record-rr.ts';
import { SYSTEMS } from '../systems.ts';
import type { Verb } from '../verb.ts';
import { addAttachOptions, attachTo, type Seen, wantsScreen } from './attach.ts';

export const run: Verb = {
  register: (program: Command, finish) => {
    addAttachOptions(program.command('run').argument('<qemu...>', 'the QEMU command line, after --'))
      .description('start a VM with what attaching needs added, and attach to it')
      .option(
        '--record-rr <file>',
        'let QEMU record the run, for `unidbg replay-rr` to go back from its crash (docs/replay-rr.md)',
      )
      .passThroughOptions()
      .action(finish(async (argv: readonly string[], options: AttachOptions) => runVm(argv, options)));
  },
};

async function runVm(argv: readonly string[], options: AttachOptions): Promise<number> {
  const onScreen = wantsScreen(options);
  const record = options.recordRr === undefined ? null : await beginRecord(argv, options.recordRr);
  const vm = await launchVm(record?.argv ?? argv, { terminal: onScreen || options.json === true ? 'kept' : 'shared' });
  for (const { flags, why } of vm.plan.additions) process.stderr.write(`unidbg: added ${flags.join(' ')}: ${why}\n`);
  // Whatever ends us early (a closed pipe, a bug): no QEMU that nobody sees is left behind.
  const killWithUs = (): void => {
    vm.process.kill('SIGKILL');
    rmSync(vm.folder, { recursive: true, force: true });
  };
  process.on('exit', killWithUs);
  // A guest that died with nobody to tell QEMU to quit would stay for ever: without a screen, its crash ends the run.
  const seen = await attachTo(() => findVm(String(vm.pid)), { ...options, untilCrash: !onScreen });
  process.off('exit', killWithUs);
  if (record !== null) await endRecord(record, vm, { symbols: options.symbols, crash: seen.crash });
  return onScreen && vm.process.exitCode === null && vm.process.signalCode === null
    ? leaveRunning(vm, seen.exitCode)
    : end(vm, seen);
}

/** The user left the screen: the VM goes on, as after `attach`. */
function leaveRunning(vm: LaunchedVm, exitCode: number): number {
  process.stdout.write(`unidbg: pid ${vm.pid}; \`unidbg attach ${vm.pid}\` comes back to it, \`kill ${vm.pid}\` ends it.\n`);
  vm.process.unref();
  return exitCode;
}

async function end(vm: LaunchedVm, { exitCode, unikernel, isGone }: Seen): Promise<number> {
  // The session sees the process end before its parent is told how.
  const ended = isGone || vm.process.exitCode !== null || vm.process.signalCode !== null;
  const { status, signal } = ended ? await vm.exited : { status: null, signal: null };
  await vm.dispose();
  if (ended) process.stderr.write(`unidbg: QEMU ended ${signal === null ? withStatus(status, unikernel) : `by ${signal}`}\n`);
  // QEMU's own failure, with no crash of the guest to blame, must not look like success.
  return exitCode === EXIT.fine && signal !== null && signal !== 'SIGINT' && signal !== 'SIGTERM' ? EXIT.cannotAttach : exitCode;
}

/** `with status 85 (Unikraft crashed: …)`: what the guest's system means by it, where it sets it. */
function withStatus(status: number | null, unikernel: string | null): string {
  const system = SYSTEMS.unikernels.find(({ name }) => name === unikernel);
  const meaning = status === null ? null : (system?.explainExit(status)?.how ?? null);
  return `with status ${String(status ?? '?')}${meaning === null ? '' : ` (${meaning})`}`;
}
