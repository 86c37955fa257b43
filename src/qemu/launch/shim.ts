// A program of its own: what a launcher starts when it starts QEMU (shim-folder.ts). It becomes the real QEMU by execve, so that pid,
// signals, standard streams and exit status are QEMU's own. `argv`: QEMU's name and its arguments.

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { errorMessage } from '../../model/error.ts';
import { findLastValue, hasOption, parseCommandLine } from '../discover/command-line.ts';
import { MARK } from './keeper.ts';
import { type LaunchPlan, planLaunch } from './plan.ts';
import { claim, readWishes, withoutShims, writeNote } from './shim-folder.ts';

const [name = '', ...args] = process.argv.slice(2);
const folder = process.env[MARK] ?? '';
become(name, args);

function become(program: string, words: readonly string[]): void {
  const real = findReal(program);
  if (real === null) {
    process.stderr.write(`unidbg: ${program} is not in PATH any more\n`);
    process.exitCode = 127;
    return;
  }
  const place = isQuestion(words) ? null : claim(folder);
  const argv = place === null ? [real, ...words] : plan([real, ...words], place)?.argv;
  if (argv === undefined) process.exitCode = 1;
  else process.execve!(real, [...argv], process.env);
}

/** The plan, which unidbg reads as well; null where it refuses. */
function plan(argv: readonly string[], place: string): LaunchPlan | null {
  try {
    const planned = planLaunch(argv, place, { ...readWishes(folder), byLauncher: true });
    writeNote(place, { pid: process.pid, plan: planned, refused: null });
    return planned;
  } catch (error) {
    process.stderr.write(`unidbg: ${errorMessage(error)}\n`);
    writeNote(place, { pid: process.pid, plan: null, refused: errorMessage(error) });
    return null;
  }
}

/** Launchers ask QEMU what it can do before they start a VM: `-version`, `-cpu help`, a machine `none`. */
function isQuestion(words: readonly string[]): boolean {
  const options = parseCommandLine(words);
  const machine = findLastValue(options, 'machine', 'M') ?? '';
  return (
    hasOption(options, 'version', 'h', 'help') ||
    /^(type=)?none(,|$)/.test(machine) ||
    options.some(({ value }) => value !== null && /(^|,)(help|\?)$/.test(value))
  );
}

function findReal(program: string): string | null {
  const folders = withoutShims(folder, process.env['PATH'] ?? '').split(delimiter);
  return folders.map((entry) => join(entry, program)).find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
