// The unwinder against gdb on a real guest, in every way the demo guest is built: stopped at random moments, in its threads,
// its collector, its traps and its context switch.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import { openUnwindModule } from '../../src/unwind/module.ts';
import { createUnwinder, type RawStack } from '../../src/unwind/unwinder.ts';
import type { DemoVariant } from '../guests/build.ts';
import { startDemoGuest } from '../support/demo-guest.ts';
import { memoryOf, symtabSymbolizer } from '../unwind/elf-guest.ts';
import { collectGuestStops, type GdbStop, type Stops } from '../unwind/gdb-stops.ts';

const STOPS: readonly Stops[] = [
  { random: 40 },
  { at: 'app_render', steps: 20, stride: 60 },
  { at: 'gc_collect', steps: 20, stride: 400 },
  { at: 'eval', steps: 30, stride: 60 },
  { at: 'switch_context', steps: 40, stride: 1 },
  { at: 'trap_handler', steps: 30, stride: 6 },
  { at: 'uart_write', steps: 10, stride: 60 },
];

describe.each<DemoVariant>(['fp', 'cfi', 'eh'])('the demo guest, built as %s', (variant) => {
  let stops: readonly GdbStop[];
  let elf: ElfFile;
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-unwind-'));
  beforeAll(async () => {
    const socket = join(folder, 'gdb.sock');
    const guest = await startDemoGuest({ variant, qemuArgs: ['-gdb', `unix:${socket},server=on,wait=off`] });
    try {
      await guest.waitForConsole(/unikernel up/);
      stops = await collectGuestStops({ folder, elf: guest.elf, socket, stops: STOPS });
      elf = openElf(guest.elf);
    } finally {
      await guest.stop();
    }
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
    elf.close();
  });

  it('has at every stop exactly the frames that gdb finds, all by CFI', () => {
    for (const stop of stops) {
      const { frames, end } = unwind(elf, stop, { withCfi: true });
      const ours = frames.map(({ pc, registers }) => `${pc.toString(16)} sp ${(registers.values.rsp ?? 0n).toString(16)}`);
      expect(ours).toEqual(stop.frames.map(({ pc, sp }) => `${pc.toString(16)} sp ${sp.toString(16)}`));
      expect(frames.slice(1).filter(({ trust }) => trust !== 'cfi')).toEqual([]);
      expect(end).toBe('outermost');
    }
    expect(stops.length).toBeGreaterThanOrEqual(190);
  });

  it('is walked through its interrupts, which leave an exact pc', () => {
    const interrupted = stops.filter(({ frames }) => frames.some(({ isSignalFrame }) => isSignalFrame));
    for (const stop of interrupted) {
      const expected = stop.frames.map((_, index) => index === 0 || stop.frames[index - 1]!.isSignalFrame);
      expect(unwind(elf, stop, { withCfi: true }).frames.map(({ exactPc }) => exactPc)).toEqual(expected);
    }
    expect(interrupted.length).toBeGreaterThan(10);
  });

  it('without its CFI never shows a frame by frame pointer that is not there, up to the first trap', () => {
    const lost: string[] = [];
    for (const stop of stops) {
      const trap = stop.frames.findIndex(({ isSignalFrame }) => isSignalFrame);
      const real = new Set(stop.frames.map(({ pc }) => pc));
      const { frames } = unwind(elf, stop, { withCfi: false });
      const believed = frames.filter(({ trust }) => trust === 'registers' || trust === 'frame-pointer');
      expect(believed.filter(({ pc }) => !real.has(pc))).toEqual([]);
      const reach = trap < 0 ? stop.frames.length : trap;
      // Half-way through switch_context, rsp is already the next thread's and rbp still the last one's: nothing but CFI tells.
      // How many stops fall there is the timer's choice.
      if (believed.length < reach && stop.frames[0]!.name !== 'switch_context') lost.push(stop.frames[0]!.name ?? '?');
    }
    expect(lost.length, lost.join(' ')).toBeLessThan(stops.length / 10);
  });
});

function unwind(elf: ElfFile, stop: GdbStop, options: { withCfi: boolean }): RawStack {
  const module = openUnwindModule(elf, 0n);
  const modules = [options.withCfi ? module : { ...module, cfi: null }];
  return createUnwinder({ modules, rules: [], symbolizer: symtabSymbolizer(elf) }).unwind(
    stop.registers,
    memoryOf(elf, stop.pieces),
    // As many as the gdb script records: the demo's interpreter recurses deep.
    { limit: 1000 },
  );
}
