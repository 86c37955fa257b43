// One look at a running VM from beginning to end: opened, its code found, its stacks read, closed.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Diagnostic } from '../model/diagnostic.ts';
import { UnidbgError } from '../model/error.ts';
import type { Stack } from '../model/frame.ts';
import type { Image } from '../model/image.ts';
import type { GuestThread } from '../model/thread.ts';
import type { LiveSource, LiveTarget } from '../targets/live.ts';
import type { Code, CodeReader } from './code.ts';
import { type GuestOptions, openGuest, viewBy } from './open-guest.ts';
import { look } from './sampler.ts';

/** What was seen. `stoppedMs`: how long the guest stood still for it; null when it was not stopped. */
export interface LookedOnce {
  readonly name: string;
  readonly images: readonly Image[];
  readonly stacks: readonly Stack[];
  /** All guest threads: one that runs has no stack of its own, a vCPU has it. */
  readonly threads: readonly GuestThread[];
  readonly stoppedMs: number | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** A guest that boots may not have loaded all of its code yet: it is looked for so often, so far apart. */
const ATTEMPTS = 4;
const BETWEEN_MS = 250;

/** Looks at all stacks once, with arguments. `exact` stops a running guest meanwhile. Throws QMP_*, ELF_*, MEMORY_UNREADABLE, REGISTERS_UNREADABLE. */
export async function lookOnce(source: LiveSource, options: GuestOptions & { readonly exact: boolean }): Promise<LookedOnce> {
  const { target, codeReader } = await openGuest(source, options);
  try {
    const code = await findCode(target, codeReader);
    const wasRunning = target.state().status === 'running';
    const read = (): ReturnType<typeof look> => look(target, code, { withArguments: true });
    // What a first look reads of files it reads while the guest runs: an exact one then takes some milliseconds, not seconds.
    if (options.exact) await read();
    const { value, stoppedMs } = options.exact ? await target.exactly(read) : { value: await read(), stoppedMs: null };
    return {
      name: target.facts.name,
      images: code.images,
      stacks: wasRunning ? value.stacks.map(asBefore) : value.stacks,
      threads: value.threads,
      stoppedMs,
      diagnostics: [...code.diagnostics, ...target.describe()],
    };
  } finally {
    target.close();
    codeReader.close();
  }
}

/** A vCPU that only we stopped is running. */
function asBefore(stack: Stack): Stack {
  return stack.state === 'stopped' && stack.kind === 'vcpu' ? { ...stack, state: 'running' } : stack;
}

async function findCode(target: LiveTarget, codeReader: CodeReader): Promise<Code> {
  for (let attempt = 1; ; attempt += 1) {
    const registers = (await target.allRegisters())[0]?.registers;
    if (registers === undefined) throw new UnidbgError('REGISTERS_UNREADABLE', 'this VM has no vCPU');
    const code = await codeReader.place(viewBy(target, registers));
    if (code.settled || attempt >= ATTEMPTS) return code;
    await sleep(BETWEEN_MS);
  }
}
