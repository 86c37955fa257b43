// Stacks at instructions nobody chose: random functions of the demo guest, random steps from there, timer interrupts let in
// between, so that stops fall on the first instructions of trap vectors, prologues and epilogues. gdb is the oracle.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import { readSymbolTable } from '../../src/elf/symtab.ts';
import { openUnwindModule, type UnwindModule } from '../../src/unwind/module.ts';
import { createUnwinder, type RawStack } from '../../src/unwind/unwinder.ts';
import { type DemoGuest, startDemoGuest } from '../support/demo-guest.ts';
import { type Comparison, compareStacks, formatComparison, prove } from '../unwind/compare-stacks.ts';
import { symtabSymbolizer } from '../unwind/elf-guest.ts';
import { type GdbSession, startGdb } from '../unwind/gdb-session.ts';

const STOPS = 60;
const LIMIT = 1000;

describe('the demo guest without frame pointers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-unwind-stops-'));
  let guest: DemoGuest;
  let session: GdbSession;
  let elf: ElfFile;
  beforeAll(async () => {
    const socket = join(folder, 'gdb.sock');
    guest = await startDemoGuest({ variant: 'cfi', qemuArgs: ['-gdb', `unix:${socket},server=on,wait=off`] });
    await guest.waitForConsole(/unikernel up/);
    elf = openElf(guest.elf);
    session = startGdb({ folder, elf: guest.elf, start: [`target remote ${socket}`] });
    // QEMU holds interrupts back while stepping unless told otherwise.
    session.execute('maintenance packet Qqemu.sstep=0x1');
  });
  afterAll(async () => {
    session.close();
    elf.close();
    await guest.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('has at random instructions the frames that gdb finds', () => {
    const comparisons = compareAt(STOPS, (module) => module);
    expect(comparisons.filter(({ verdict }) => verdict !== 'equal').map(describeComparison)).toEqual([]);
    expect(new Set(comparisons.map(({ theirs }) => theirs[0]!.name)).size).toBeGreaterThan(STOPS / 6);
    expect(Math.max(...comparisons.map(({ theirs }) => theirs.length))).toBeGreaterThan(5);
  });

  it('is walked through its interrupts by their code alone where the CFI of the trap vectors is taken away', () => {
    const comparisons = compareAt(STOPS / 2, withoutTrapCfi, ['trap_handler', 'trap_entry']);
    const different = comparisons.filter(({ verdict }) => verdict !== 'equal');
    expect(different.map(describeComparison)).toEqual([]);
    const through = comparisons.filter(({ theirs }) => theirs.some(({ isSignalFrame }) => isSignalFrame));
    expect(through.length).toBeGreaterThan(STOPS / 10);
  });

  it('tells by running on that a frame is true, and that an invented one is not', () => {
    session.stop({ seconds: 5, functions: ['app_render'], steps: 0 });
    const stop = session.stop({ steps: 9 })!;
    const stack = unwind(openUnwindModule(elf, 0n), stop.registers);
    const [innermost, caller, ...others] = stop.frames;
    const claim = (theirs: typeof stop.frames): Comparison => ({
      ...compareStacks({ ...stop, frames: theirs }, stack, LIMIT),
    });
    const lying = claim([innermost!, { ...caller!, pc: caller!.pc + 4n }, ...others]);
    expect(lying).toMatchObject({ verdict: 'different', at: 1 });
    expect(prove(session, lying, 5)).toBe('ours');
  });

  function compareAt(count: number, change: (module: UnwindModule) => UnwindModule, always?: readonly string[]): Comparison[] {
    const module = change(openUnwindModule(elf, 0n));
    const functions = [...readSymbolTable(elf)].filter(({ kind, size }) => kind === 'function' && size > 0);
    return Array.from({ length: count }, (_, index) => {
      const some = functions.filter((__, at) => at % 7 === index % 7).map(({ name }) => name);
      const approach =
        index % 3 === 0 ? { seconds: 0.3, functions: always ?? some, steps: index % 11 } : { steps: 1 + ((index * 37) % 90) };
      const stop = session.stop(approach)!;
      return compareStacks(stop, unwind(module, stop.registers), LIMIT);
    });
  }

  function unwind(module: UnwindModule, registers: Parameters<ReturnType<typeof createUnwinder>['unwind']>[0]): RawStack {
    const unwinder = createUnwinder({ modules: [module], rules: [], symbolizer: symtabSymbolizer(elf) });
    return unwinder.unwind(registers, session.memory, { limit: LIMIT });
  }
});

/** The CFI of signal frames is as if it were not there. */
function withoutTrapCfi(module: UnwindModule): UnwindModule {
  const cfi = module.cfi!;
  return {
    ...module,
    cfi: {
      base: cfi.base,
      diagnostics: cfi.diagnostics,
      startsAt: (address) => cfi.startsAt(address),
      find: (address) => {
        const match = cfi.find(address);
        return match?.fde.cie.signalFrame === true ? null : match;
      },
    },
  };
}

function describeComparison(comparison: Comparison): string {
  return formatComparison(comparison, () => '');
}
