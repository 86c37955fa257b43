// The core of a process: a unikernel that ran hosted, or a program in Nanos. It lists what was loaded, and says which signal ended it.

import { existsSync } from 'node:fs';
import type { Crash, CrashKind } from '../model/crash.ts';
import type { Frame } from '../model/frame.ts';
import type { GuestModule } from '../model/image.ts';
import type { DumpSignal } from '../targets/dump/format.ts';
import type { DumpTarget } from '../targets/dump/open-dump.ts';
import type { Code } from './code.ts';
import { explainSilent } from './explain-crash.ts';
import type { StackWalker } from './stack-walker.ts';

/** Files whose names are taken, at most. */
const MAX_FILES = 64;

/** What the core lists, as modules to look for files of. */
export function modulesOf({ loaded }: DumpTarget): readonly GuestModule[] {
  return loaded.map(({ path, start }) => ({ name: path, start, end: null, header: start, by: "the core's own list of files" }));
}

/** The files that it lists and that are on this machine: each is compared with the core before it names anything. */
export function filesOf({ loaded }: DumpTarget): readonly string[] {
  return loaded.flatMap(({ path }) => (path.startsWith('/') && existsSync(path) ? [path] : [])).slice(0, MAX_FILES);
}

/** Linux's numbers on x86-64 and AArch64 (signal(7)); Nanos has the same. Others end a process without a fault of its own. */
const SIGNALS: Readonly<Record<number, { readonly name: string; readonly kind: CrashKind; readonly what: string }>> = {
  3: { name: 'SIGQUIT', kind: 'abort', what: 'quit' },
  4: { name: 'SIGILL', kind: 'fault', what: 'illegal instruction' },
  5: { name: 'SIGTRAP', kind: 'fault', what: 'trap' },
  6: { name: 'SIGABRT', kind: 'abort', what: 'abort' },
  7: { name: 'SIGBUS', kind: 'fault', what: 'bus error' },
  8: { name: 'SIGFPE', kind: 'fault', what: 'divide error' },
  11: { name: 'SIGSEGV', kind: 'fault', what: 'page fault' },
  31: { name: 'SIGSYS', kind: 'fault', what: 'bad system call' },
};

/** The crash that the signal is; null where it is none (SIGTERM, SIGKILL, and what gcore stops a process with). */
export async function explainSignal(
  target: DumpTarget,
  signal: DumpSignal,
  code: Code,
  walker: StackWalker,
): Promise<Crash | null> {
  const known = SIGNALS[signal.number];
  // Above 0 the kernel sent it, for what the program did; else somebody did, which only an abort does to itself.
  if (known === undefined || (signal.code <= 0 && known.kind !== 'abort')) return null;
  const file = (await target.allRegisters())[signal.vcpu];
  if (file === undefined) return null;
  const frames: readonly Frame[] = await walker.walk(file.registers);
  const message = `${known.what}\nsignal ${signal.number} (${known.name}) ended the process`;
  const told = { kind: known.kind, message, witness: 'memory', vcpu: file.vcpu, registers: file.registers, frames } as const;
  return explainSilent({ ...told, faultAddress: signal.faultAddress }, code, walker);
}
