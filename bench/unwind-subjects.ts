// What stacks are compared in: guests under QEMU, with the images that lie in them.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readSymbolTable } from '../src/elf/symtab.ts';
import type { Unikernel } from '../src/model/unikernel.ts';
import { parseRegisters } from '../src/qemu/registers.ts';
import { recogniseImage } from '../src/session/systems.ts';
import { createSymbolizer, openImage, type PlacedImage, type SymbolImage } from '../src/symbolize/symbolizer.ts';
import { UNIKERNELS } from '../src/unikernels/index.ts';
import { openUnwindModule } from '../src/unwind/module.ts';
import { createUnwinder, type Unwinder } from '../src/unwind/unwinder.ts';
import { buildDemoGuest, type DemoVariant } from '../test/guests/build.ts';
import { type Approach, type GdbSession, startGdb } from '../test/unwind/gdb-session.ts';

/** A program to stop, over and over. */
export interface Subject {
  readonly name: string;
  /** Starts it anew; its files go to `folder`. */
  readonly start: (folder: string) => Promise<Running>;
  /** False: only a breakpoint stops it, as QEMU's user emulation does not listen while it runs. */
  readonly interruptible: boolean;
  readonly approach: (random: () => number, functions: readonly string[]) => Approach;
}

/** A started program with both unwinders on it. */
export interface Running {
  readonly session: GdbSession;
  readonly unwind: Unwinder['unwind'];
  /** Run-time addresses of functions, as gdb takes them. */
  readonly functions: readonly string[];
  /** Linker name and first address of the real function at a frame's pc. */
  readonly locate: (pc: bigint, exact: boolean) => { readonly name: string | null; readonly entry: bigint | null };
  /** Address of a symbol by its linker name. */
  readonly findSymbol: (name: string) => bigint | null;
  readonly close: () => void;
}

/** A real guest, as a file describes it. */
export interface RealGuest {
  readonly name: string;
  /** What starts QEMU; `-gdb …` is added. */
  readonly command: readonly string[];
  /** Seconds until it has booted. */
  readonly boot: number;
  /** ELF files; `bias` as hexadecimal where the file's own addresses do not hold, `system` where the kernel tells it. */
  readonly images: readonly { readonly path: string; readonly bias?: string }[];
  /** Functions to stop at, by name; random ones where left out. */
  readonly functions?: readonly string[];
}

/** The demo guest in its three builds. */
export function demoSubjects(): Subject[] {
  return (['fp', 'cfi', 'eh'] as const).map((variant: DemoVariant) => ({
    name: `demo-${variant}`,
    interruptible: true,
    approach: guestApproach,
    start: async (folder) => {
      const elf = await buildDemoGuest(variant);
      const machine = ['-machine', 'q35', '-accel', 'tcg', '-m', '128M', '-nodefaults', '-display', 'none', '-no-reboot'];
      return startGuest(folder, {
        ...{ name: variant, command: ['qemu-system-x86_64', ...machine, '-kernel', elf], boot: 1, images: [{ path: elf }] },
      });
    },
  }));
}

/** A real guest. */
export function guestSubject(guest: RealGuest): Subject {
  return { name: guest.name, interruptible: true, approach: guestApproach, start: async (folder) => startGuest(folder, guest) };
}

/** A third at any moment, a third at random functions, a third by steps from where it is. */
function guestApproach(random: () => number, functions: readonly string[]): Approach {
  const kind = random();
  if (kind < 0.3) return { seconds: 0.02 + random() * 0.1, steps: Math.floor(random() * 40) };
  if (kind < 0.65) {
    const at = Array.from({ length: 60 }, () => functions[Math.floor(random() * functions.length)]!);
    return { seconds: 0.4, functions: at, steps: Math.floor(random() * 60) };
  }
  return { steps: 1 + Math.floor(random() * (random() < 0.5 ? 6 : 400)) };
}

async function startGuest(folder: string, guest: RealGuest): Promise<Running> {
  const socket = join(folder, 'gdb.sock');
  const [program, ...args] = guest.command;
  const qemu = spawn('timeout', ['1800', program!, ...args, '-gdb', `unix:${socket},server=on,wait=off`], { stdio: 'ignore' });
  while (!existsSync(socket) && qemu.exitCode === null) await sleep(50);
  await sleep(guest.boot * 1000);
  const [main] = guest.images;
  const session = startGdb({ folder, elf: main!.path, start: [`target remote ${socket}`], end: 'kill' });
  const images = guest.images.map(({ path, bias }) => ({ image: openImage(path), bias }));
  const placed = images.map(({ image, bias }) => placeImage(image, bias, session));
  for (const { image, loadBias } of placed) {
    if (loadBias === 0n && image === placed[0]!.image) continue;
    if (image === placed[0]!.image) session.execute('symbol-file');
    session.execute(`add-symbol-file ${image.elf.path} -o ${loadBias}`);
  }
  // Interrupts come while stepping too, so that single steps end in the first instructions of trap vectors.
  session.execute('maintenance packet Qqemu.sstep=0x1');
  return {
    ...attach(session, placed, guest.functions),
    close: () => {
      closeGuest(session, qemu, placed);
    },
  };
}

function closeGuest(session: GdbSession, qemu: ChildProcess, placed: readonly PlacedImage[]): void {
  try {
    session.close();
  } finally {
    qemu.kill('SIGTERM');
    for (const { image } of placed) image.elf.close();
  }
}

/** Our side of a started program. */
export function attach(
  session: GdbSession,
  placed: readonly PlacedImage[],
  functions?: readonly string[],
): Omit<Running, 'close'> {
  const symbolizer = createSymbolizer(placed);
  const modules = placed.map(({ image, loadBias }) => openUnwindModule(image.elf, loadBias));
  const unikernel = placed.map(({ image }) => recognise(image)).find((found) => found !== null);
  const unwinder = createUnwinder({ modules, rules: unikernel?.unwindRules ?? [], symbolizer });
  return {
    session,
    unwind: (registers, memory, options) => unwinder.unwind(registers, memory, options),
    functions: functions ?? placed.flatMap(functionsOf),
    findSymbol: (name) => symbolizer.findSymbol(name)?.address ?? null,
    locate: (pc, exact) => {
      const { function: name, functionOffset } = symbolizer.symbolize(pc, { isReturnAddress: !exact }).at(-1)!;
      return { name, entry: functionOffset === null ? null : pc - BigInt(functionOffset) };
    },
  };
}

function functionsOf({ image, loadBias }: PlacedImage): string[] {
  return [...readSymbolTable(image.elf)]
    .filter(({ kind, size }) => kind === 'function' && size > 0)
    .map(({ address }) => `0x${(address + loadBias).toString(16)}`);
}

function recognise(image: SymbolImage): Unikernel | null {
  const sections = new Set(image.elf.sections.map(({ name }) => name));
  return recogniseImage(UNIKERNELS, { hasSymbol: (name) => image.findLinkSymbol(name) !== null, sections });
}

function placeImage(image: SymbolImage, bias: string | undefined, session: GdbSession): PlacedImage {
  const placed = (loadBias: bigint): PlacedImage => ({ image, loadBias, match: 'unverified', placedBy: 'told' });
  if (bias !== 'system') return placed(BigInt(bias ?? 0));
  const registers = parseRegisters(session.execute('monitor info registers'), 'x86_64')[0]!.registers;
  const linkSymbol = (name: string): bigint | null => image.findLinkSymbol(name)?.address ?? null;
  const found = recognise(image)?.findLoadBias?.({ registers, memory: session.memory, linkSymbol }) ?? null;
  if (found === null) throw new Error(`${image.elf.path}: where it lies cannot be told`);
  return placed(found.bias);
}
