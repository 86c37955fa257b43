// `unidbg gdb <vm>`: the real gdb on the same VM: architecture, symbols and load bias set, and the guest runs again at its end.

import type { Command } from 'commander';
import { runInteractiveGdb } from '../../gdb/interactive.ts';
import { openLiveSession } from '../../session/live-session.ts';
import { collect } from '../collect.ts';
import { EXIT } from '../exit-codes.ts';
import { SYSTEMS } from '../systems.ts';
import { findSource } from '../target.ts';
import type { Verb } from '../verb.ts';

interface GdbVerbOptions {
  readonly symbols: readonly string[];
  readonly write?: boolean;
}

export const gdb: Verb = {
  register: (program: Command, finish) => {
    program
      .command('gdb')
      .argument('<vm>', 'name or pid from `unidbg ls`, or a QMP socket')
      .argument('[arguments...]', "gdb's own arguments, after --: -batch -ex bt")
      .description('open the real gdb on a VM; the guest stops while gdb holds it and runs again when gdb ends')
      .option('--symbols <elf>', 'ELF file with symbols; may be given many times', collect, [])
      .option('--write', 'let gdb write to the guest (memory, registers)')
      .action(finish(async (vm: string, rest: readonly string[], options: GdbVerbOptions) => openGdb(vm, rest, options)));
  },
};

async function openGdb(vm: string, rest: readonly string[], options: GdbVerbOptions): Promise<number> {
  const live = await openLiveSession(
    findSource(vm),
    { systems: SYSTEMS, symbols: options.symbols, sourceRoots: [], takeConsole: false },
    () => undefined,
  );
  try {
    const guard = { ...(await live.control.guardOptions()), allowWrite: options.write === true };
    const { images } = live.code();
    for (const image of images) {
      process.stderr.write(`unidbg: symbols ${image.path}: ${image.match}, by ${image.placedBy}\n`);
    }
    const placed = images.filter(({ match }) => match !== 'mismatch' && match !== 'no-file');
    const result = await runInteractiveGdb({ images: placed, machine: live.target.machine, guard, arguments: rest });
    process.stderr.write(`unidbg: gdb ended; the guest is ${result.release.guest} (${result.release.by})\n`);
    return result.status === 0 ? EXIT.fine : EXIT.cannotAttach;
  } finally {
    await live.close();
  }
}
