// `unidbg doctor`: what this machine lacks, or with --support what unidbg understands and how that was tried.

import type { Command } from 'commander';
import { RUNTIMES } from '../../runtimes/index.ts';
import { UNIKERNELS } from '../../unikernels/index.ts';
import { type Check, checkMachine } from '../doctor/machine.ts';
import { supportLines, supportToJson } from '../doctor/support.ts';
import { EXIT } from '../exit-codes.ts';
import type { Verb } from '../verb.ts';

interface DoctorOptions {
  readonly support?: boolean;
  readonly json?: boolean;
}

const MARKS = { fine: 'ok', limits: '--', missing: '!!' } as const;

export const doctor: Verb = {
  register: (program: Command, finish) => {
    program
      .command('doctor')
      .description('say what this machine lacks for unidbg, or which systems are supported and how that was tried')
      .option('--support', 'which unikernels and languages, how far, and how that was tried')
      .option('--json', 'print one JSON document')
      .action(finish(async (options: DoctorOptions) => (options.support === true ? tellSupport(options) : examine(options))));
  },
};

async function tellSupport({ json }: DoctorOptions): Promise<number> {
  print(json === true ? [JSON.stringify(supportToJson(UNIKERNELS, RUNTIMES))] : supportLines(UNIKERNELS, RUNTIMES));
  return Promise.resolve(EXIT.fine);
}

async function examine({ json }: DoctorOptions): Promise<number> {
  const checks = await checkMachine();
  print(json === true ? [JSON.stringify({ schemaVersion: 1, checks })] : checks.flatMap(checkLines));
  return checks.some(({ state }) => state === 'missing') ? EXIT.expectationFailed : EXIT.fine;
}

function checkLines({ what, found, state, remedy }: Check): readonly string[] {
  return [`${MARKS[state]}  ${what}: ${found}`, ...(remedy === null ? [] : [`      ${remedy}`])];
}

function print(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}
