// `unidbg backtrace <vm|dump|bundle|recording>`: the stacks of all vCPUs and guest threads, once. A VM is not stopped for it, unless --exact asks.

import type { Command } from 'commander';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { UnidbgError } from '../../model/error.ts';
import type { Stack } from '../../model/frame.ts';
import { encodeJson } from '../../model/json.ts';
import { stackLines } from '../../report/stack-text.ts';
import { type LookedOnce, lookOnce } from '../../session/look-once.ts';
import { EXIT } from '../exit-codes.ts';
import { debugDirOption, symbolsOption } from '../file-options.ts';
import { remark, sayLines } from '../say.ts';
import { addDumpOptions, findStillKind, openStill, type StillKind, type StillOptions } from '../still-guest.ts';
import { fetchProgress } from '../symbolize/progress.ts';
import { SYSTEMS } from '../systems.ts';
import { chooseVm, findSource } from '../target.ts';
import type { Verb } from '../verb.ts';

interface BacktraceOptions extends StillOptions {
  readonly vcpu?: string;
  readonly thread?: string;
  readonly exact?: boolean;
  readonly json?: boolean;
}

const NOTES = `
Examples:
  unidbg backtrace my-vm
  unidbg backtrace my-vm --thread worker-1 --exact
  unidbg backtrace crash.unicrash --json
  unidbg backtrace vmcore --symbols kernel.elf

Each frame says how it was found: [registers], [cfi], [frame-pointer], or
[scan], which is a guess. The guest goes on while its stacks are read: one that
moved meanwhile is marked torn; --exact avoids that.`;

export const backtrace: Verb = {
  register: (program: Command, finish) => {
    addDumpOptions(program.command('backtrace'))
      .argument('[vm]', 'name or pid from `unidbg ls`, a QMP socket; a dump, a bundle or a recording')
      .description('print the stacks of all vCPUs and guest threads, once, without stopping the guest')
      .addOption(symbolsOption())
      .addOption(debugDirOption())
      .option('--vcpu <n>', 'only this vCPU')
      .option('--thread <name>', 'only guest threads of this name or id')
      .option('--exact', 'stop the guest while its stacks are read, and say for how long')
      .option('--json', 'print one JSON document')
      .addHelpText('after', NOTES)
      .action(finish(async (vm: string | undefined, options: BacktraceOptions) => run(vm, options)));
  },
};

async function run(target: string | undefined, options: BacktraceOptions): Promise<number> {
  const kind = target === undefined ? null : findStillKind(target, options);
  const seen = target !== undefined && kind !== null ? await lookAtFile(target, kind, options) : await lookAtVm(target, options);
  const stacks = choose(seen, options);
  if (options.json === true) {
    const { name, images, stoppedMs, diagnostics } = seen;
    const document = { schemaVersion: 1, target: name, images, stacks, stoppedMs, diagnostics };
    process.stdout.write(`${encodeJson(document)}\n`);
    return EXIT.fine;
  }
  for (const { message } of seen.diagnostics.filter(({ code }) => !code.startsWith('memory-reader'))) {
    remark(message);
  }
  sayLines([stacks.map((stack) => stackLines(stack).join('\n')).join('\n\n')]);
  if (seen.stoppedMs !== null) process.stderr.write(`unidbg: the guest was stopped for ${seen.stoppedMs.toFixed(1)} ms\n`);
  return EXIT.fine;
}

async function lookAtVm(target: string | undefined, options: BacktraceOptions): Promise<LookedOnce> {
  const source = target === undefined ? await chooseVm() : findSource(target);
  const progress = fetchProgress();
  return lookOnce(source, {
    systems: SYSTEMS,
    symbols: options.symbols,
    debugSearch: { roots: options.debugDir, splitRoots: options.debugDir },
    onFetch: progress.onProgress,
    exact: options.exact === true,
  }).finally(progress.close);
}

async function lookAtFile(path: string, kind: StillKind, options: BacktraceOptions): Promise<LookedOnce> {
  if (options.exact === true) throw new UnidbgError('USAGE', `--exact: nothing in ${path} moves`);
  if (kind === 'recording' && options.symbols.length > 0) {
    throw new UnidbgError('USAGE', `--symbols: the frames in the recording ${path} have the names they were recorded with`);
  }
  const still = await openStill(path, kind, options);
  try {
    const { crashes, images, stacks, threads, diagnostics, identity } = still.session.snapshot();
    const told = crashes.map(
      ({ title }): Diagnostic => ({ code: 'crash', message: `it crashed: ${title}; \`unidbg analyze ${path}\` tells it` }),
    );
    return { name: identity?.name ?? path, images, stacks, threads, stoppedMs: null, diagnostics: [...diagnostics, ...told] };
  } finally {
    still.close();
  }
}

function choose({ stacks, threads }: LookedOnce, { vcpu, thread }: BacktraceOptions): readonly Stack[] {
  if (vcpu === undefined && thread === undefined) return stacks;
  const chosen = stacks.filter(({ kind, id, name }) =>
    kind === 'vcpu' ? id === vcpu : thread !== undefined && (name === thread || id === thread),
  );
  if (chosen.length > 0) return chosen;
  const vcpus = stacks.filter(({ kind }) => kind === 'vcpu');
  if (vcpu !== undefined) throw new UnidbgError('USAGE', `no vCPU ${vcpu}; there ${counted(vcpus.map(({ id }) => id))}`);
  const known = threads.find(({ id, name }) => name === thread || id === thread);
  if (known?.state === 'running') {
    process.stderr.write(`unidbg: ${known.name} is running: its stack is that of a vCPU\n`);
    return vcpus;
  }
  const why = known === undefined ? `no guest thread ${thread ?? ''}` : `${known.name} (${known.state}) has no stack`;
  throw new UnidbgError('USAGE', `${why}; there ${counted(threads.map(({ name }) => name))}`);
}

function counted(names: readonly string[]): string {
  return `${names.length === 1 ? 'is' : 'are'} ${names.join(', ') || 'none'}`;
}
