// One look at a running guest: registers, stacks, threads. Never stops it; says where a stack moved while it was read.

import type { Stack } from '../model/frame.ts';
import type { ProbeGuest } from '../model/probe.ts';
import { findSp, type Registers, type VcpuRegisters } from '../model/registers.ts';
import type { AddressSpace, Memory } from '../model/target.ts';
import type { GuestThread } from '../model/thread.ts';
import type { OpenTarget } from '../targets/target.ts';
import { type StackArguments, toFrames } from '../unwind/stack.ts';
import type { RawFrame } from '../unwind/walk.ts';
import type { Code } from './code.ts';

/** What a look saw. */
export interface Look {
  readonly vcpus: readonly VcpuRegisters[];
  readonly stacks: readonly Stack[];
  readonly threads: readonly GuestThread[];
  /** When threads were read, ms since the Unix epoch: walking their stacks takes its time, and CPU time is told against the clock. */
  readonly threadsAt: number;
}

type Walk = Pick<Stack, 'frames' | 'end'>;

/** A stack that moved is read again so often before it is shown as torn. */
const ATTEMPTS = 4;
const MAX_THREADS = 256;
const MAX_ARGUMENT_FRAMES = 64;

/** Looks once. `withArguments`: the arguments of frames too, which sampling does not pay for. Throws REGISTERS_UNREADABLE, MEMORY_UNREADABLE. */
export async function look(
  target: OpenTarget,
  code: Code,
  { withArguments = false }: { readonly withArguments?: boolean } = {},
): Promise<Look> {
  const vcpus = await target.allRegisters();
  const stacks = await lookAtVcpus(target, code, vcpus, withArguments);
  const space = spaceOf(target, vcpus);
  const threads = space === null ? [] : await readThreads(space, code);
  const threadsAt = Date.now();
  const threadStacks = space === null ? [] : await lookAtThreads(target, code, { space, threads, vcpus, withArguments });
  return { vcpus, stacks: [...stacks, ...threadStacks], threads, threadsAt };
}

/** Frames from given registers: of a crash, of a stopped vCPU. `withArguments`: their arguments too. */
export async function walkFrames(
  target: OpenTarget,
  code: Code,
  registers: Registers,
  options: { readonly withArguments?: boolean } = {},
): Promise<Walk> {
  return walkIn(target.memory(registers), code, registers, {
    exactPc: true,
    withArguments: options.withArguments === true,
  });
}

/** The address space of vCPU 0: where probes look. Null when there is no vCPU. */
export function spaceOf(target: OpenTarget, vcpus: readonly VcpuRegisters[]): AddressSpace | null {
  const first = vcpus[0];
  return first === undefined ? null : target.memory(first.registers);
}

async function walkIn(
  space: AddressSpace,
  code: Code,
  registers: Registers,
  { exactPc, withArguments }: { readonly exactPc: boolean; readonly withArguments: boolean },
): Promise<Walk> {
  return space.walk((memory) => {
    const { frames, end } = code.unwinder.unwind(registers, memory, { exactPc });
    return { frames: toFrames(frames, code.symbolizer, withArguments ? readArguments(frames, code, memory) : []), end };
  });
}

/** Of the innermost frames: the middle of a runaway recursion tells nothing more. */
function readArguments(frames: readonly RawFrame[], code: Code, memory: Memory): StackArguments {
  return frames
    .slice(0, MAX_ARGUMENT_FRAMES)
    .map((_, index) => code.symbolizer.variables.read(frames, index, memory).map((activation) => activation.arguments));
}

// Registers come over a socket, memory at once: in between the guest goes on. Registers read after the walk show whether it
// did. A vCPU caught unmoved is taken at once; one that never stands still gives its best walk, marked as torn.
async function lookAtVcpus(
  target: OpenTarget,
  code: Code,
  first: readonly VcpuRegisters[],
  withArguments: boolean,
): Promise<readonly Stack[]> {
  const best = new Map<number, Stack>();
  let before = first;
  for (let attempt = 1; attempt <= ATTEMPTS && first.some(({ vcpu }) => best.get(vcpu)?.torn !== false); attempt += 1) {
    const moving = before.filter(({ vcpu }) => best.get(vcpu)?.torn !== false);
    const walks = await Promise.all(
      moving.map(async (file) => ({ file, walk: await walkFrames(target, code, file.registers, { withArguments }) })),
    );
    const after = await target.allRegisters();
    for (const { file, walk } of walks) {
      const now = after.find(({ vcpu }) => vcpu === file.vcpu)?.registers;
      const torn = now === undefined || findSp(now) !== findSp(file.registers);
      const stack = vcpuStack(file, torn ? cutAtNonsense(walk, code) : walk, torn, target.state().status === 'running');
      const known = best.get(file.vcpu);
      if (known === undefined || !torn || isBetter(stack, known)) best.set(file.vcpu, stack);
    }
    before = after;
  }
  return first.flatMap(({ vcpu }) => best.get(vcpu) ?? []);
}

// Registers of one moment over the stack of the next lead astray sooner or later: to a word that is no code, or to guessing.
function cutAtNonsense(walk: Walk, code: Code): Walk {
  const at = walk.frames.findIndex((frame, index) => index > 0 && (frame.trust === 'scan' || !code.isText(frame.pc)));
  return at < 0 ? walk : { frames: walk.frames.slice(0, at), end: 'no-rule' };
}

function isBetter(stack: Stack, known: Stack): boolean {
  if ((stack.end === 'outermost') !== (known.end === 'outermost')) return stack.end === 'outermost';
  return stack.frames.length > known.frames.length;
}

function vcpuStack({ vcpu, registers }: VcpuRegisters, walk: Walk, torn: boolean, isRunning: boolean): Stack {
  const state = registers.values.halted === 1n ? 'halted' : isRunning ? 'running' : 'stopped';
  return { name: `vcpu ${vcpu}`, kind: 'vcpu', id: String(vcpu), state, torn, ...walk };
}

async function readThreads(space: AddressSpace, code: Code): Promise<readonly GuestThread[]> {
  const probes = code.probes.filter((probe) => probe.threads !== undefined);
  if (probes.length === 0) return [];
  return space.walk((memory) => {
    const guest: ProbeGuest = { memory, types: code.symbolizer.types, symbols: code.symbolizer, images: code.images };
    return probes.flatMap((probe) => probe.threads?.(guest) ?? []).slice(0, MAX_THREADS);
  });
}

// A thread that ran on while its stack was read has left the place of which its registers told: read again, they say so.
async function lookAtThreads(
  target: OpenTarget,
  code: Code,
  {
    space,
    threads,
    vcpus,
    withArguments,
  }: {
    readonly space: AddressSpace;
    readonly threads: readonly GuestThread[];
    readonly vcpus: readonly VcpuRegisters[];
    readonly withArguments: boolean;
  },
): Promise<readonly Stack[]> {
  const standing = threads.filter(stands);
  const walks = await Promise.all(
    standing.map(async (thread) => ({
      thread,
      walk: await walkIn(space, code, thread.registers, { exactPc: false, withArguments }),
    })),
  );
  const again = spaceOf(target, vcpus);
  const now = again === null || walks.length === 0 ? [] : await readThreads(again, code);
  const places = new Map(now.map((thread) => [keyOf(thread), placeOf(thread)]));
  return walks.map(({ thread, walk }) => {
    const torn = target.state().status === 'running' && places.get(keyOf(thread)) !== placeOf(thread);
    const waiting = thread.waitingFor === null ? '' : ` (${thread.waitingFor})`;
    const stack = { name: thread.name, kind: 'thread' as const, id: thread.id, state: `${thread.state}${waiting}` };
    return { ...stack, torn, ...(torn ? cutAtNonsense(walk, code) : walk) };
  });
}

/** A running thread's stack is its vCPU's; an exited one has none. */
function stands(thread: GuestThread): thread is GuestThread & { readonly registers: Registers } {
  return thread.registers !== null && thread.state !== 'running' && thread.state !== 'exited';
}

/** Several probes may know threads, each by its own numbers. */
function keyOf({ id, name }: GuestThread): string {
  return `${id} ${name}`;
}

/** Where a thread stood when it was switched away from. */
function placeOf({ registers }: GuestThread): string | null {
  return registers === null ? null : Object.values(registers.values).join(' ');
}
