// What a system says of itself without being asked by a probe: where it idles, what memory it has left, how its program ended;
// and how far its console has come. The material of src/session/silent-death*.ts.

import type { ConsoleLine } from '../model/event.ts';
import type { GuestExit } from '../model/guest-exit.ts';
import type { VcpuRegisters } from '../model/registers.ts';
import type { Memory } from '../model/target.ts';
import type { Unikernel } from '../model/unikernel.ts';
import type { OpenTarget } from '../targets/target.ts';
import type { Code } from './code.ts';
import { spaceOf } from './sampler.ts';
import { isFirmwareLine } from './silent-death-boot.ts';
import type { ConsoleProgress, SystemHabits } from './silent-death-types.ts';

/** A console before its first line. */
export const NOTHING_PRINTED: Omit<ConsoleProgress, 'isWhole'> = { lines: 0, firmwareLine: null, lastWords: null };

/** The progress after one more line, whole or not; `halt`: the system's last words. */
export function goneOn(
  before: Omit<ConsoleProgress, 'isWhole'>,
  line: ConsoleLine,
  halt: RegExp | null,
): Omit<ConsoleProgress, 'isWhole'> {
  const text = line.text.trim();
  if (text === '') return before;
  if (isFirmwareLine(text)) return { ...before, firmwareLine: text };
  const lastWords = before.lastWords ?? (halt?.test(line.text) === true ? text : null);
  return { ...before, lines: before.lines + 1, lastWords };
}

/** The habits of the guest's system; null when it is not known. Throws MEMORY_UNREADABLE. */
export async function readHabits(target: OpenTarget, code: Code, vcpus: readonly VcpuRegisters[]): Promise<SystemHabits | null> {
  const { unikernel } = code;
  if (unikernel === null) return null;
  return {
    isIdleIn: code.isIdleIn,
    starvesIn: unikernel.starvesIn ?? [],
    memory: await askMemory(target, code, vcpus, unikernel.readFreeMemory),
  };
}

/** How the program of a guest that is off ended; null when it does not say. Throws MEMORY_UNREADABLE, REGISTERS_UNREADABLE. */
export async function readExitStatus(target: OpenTarget, code: Code): Promise<GuestExit | null> {
  return askMemory(target, code, await target.allRegisters(), code.unikernel?.readExitStatus);
}

async function askMemory<T>(
  target: OpenTarget,
  { symbolizer }: Code,
  vcpus: readonly VcpuRegisters[],
  read: ((guest: Parameters<NonNullable<Unikernel['readFreeMemory']>>[0]) => T | null) | undefined,
): Promise<T | null> {
  const space = read === undefined ? null : spaceOf(target, vcpus);
  if (read === undefined || space === null) return null;
  return space.walk((memory: Memory) => read({ memory, findSymbol: (name) => symbolizer.findSymbol(name) }));
}
