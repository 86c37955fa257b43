// Why memory ran out, of a guest that died of it: who asked for what was not there, what the heaps are made of, and how use had grown.
// The dead guest is looked at once more, with arguments; what cannot be had is said in remarks, with why.

import { PageAbsent } from '../memory/page-absent.ts';
import type { Crash } from '../model/crash.ts';
import { errorCode, errorMessage, UnidbgError } from '../model/error.ts';
import type { Stack } from '../model/frame.ts';
import type { HeapCensus, OutOfMemory } from '../model/heap.ts';
import type { Probe } from '../model/probe.ts';
import type { Registers } from '../model/registers.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Memory } from '../model/target.ts';
import type { OpenTarget } from '../targets/target.ts';
import type { Code } from './code.ts';
import { findAllocating } from './out-of-memory-asker.ts';
import { findGrowth } from './out-of-memory-growth.ts';
import { type Look, look, walkFrames } from './sampler.ts';

/** What is asked of the dead. `target` is null where there is none: a log, a recording. */
export interface Starved {
  readonly target: OpenTarget | null;
  readonly code: Code;
  readonly crash: Crash;
  /** Of the time of the crash: metrics for growth, the console for the last words. */
  readonly snapshot: Snapshot;
}

const MAX_LEFT = 64;
/** One heap is walked for so long, and not longer: the guest says how large it is. */
const CENSUS_MS = 15_000;
/** A space of pages keeps what it has read; the heap of a dead guest is read with a new one each so many bytes. */
const SPACE_BYTES = 32 * 1024 * 1024;

/** The post-mortem of a crash of kind `out-of-memory`. Never throws an UnidbgError: what failed is a remark. */
export async function explainOutOfMemory({ target, code, crash, snapshot }: Starved): Promise<OutOfMemory> {
  const remarks: string[] = [];
  const seen = await lookAtTheDead(target, code, remarks);
  const allocating = findAllocating({
    crash,
    stacks: seen?.stacks ?? snapshot.stacks,
    threads: seen?.threads ?? snapshot.threads,
    console: snapshot.console,
    machinery: code.machineryOf(crash.unikernel),
    starvesIn: code.unikernel?.starvesIn ?? [],
  });
  if (allocating === null) remarks.push('who asked for memory is not known: no stack of the death could be had');
  else if (allocating.asker === null) remarks.push('no frame of the stack that asked has a name: give its ELF with --symbols');
  const registers = seen?.vcpus[0]?.registers ?? null;
  const heaps = target === null || registers === null ? [] : await takeCensuses(target, registers, code, remarks);
  const growth = findGrowth(snapshot.metrics);
  if (growth.length === 0) remarks.push(noGrowth(snapshot));
  return { allocating, heaps, growth, remarks };
}

async function lookAtTheDead(target: OpenTarget | null, code: Code, remarks: string[]): Promise<Look | null> {
  if (target === null) {
    remarks.push('there is no memory to look at: heaps cannot be read');
    return null;
  }
  if (['gone', 'connecting'].includes(target.state().status)) {
    remarks.push(
      'the VM was gone before it could be looked at: start it with `unidbg run`, which keeps the dead, to see its heaps',
    );
    return null;
  }
  try {
    const seen = await look(target, code, { withArguments: true });
    return { ...seen, stacks: [...seen.stacks, ...(await walkLeftStacks(target, code, seen))] };
  } catch (error) {
    if (errorCode(error) === null) throw error;
    remarks.push(`stacks and heaps could not be read: ${errorMessage(error)}`);
    return null;
  }
}

/** Stacks of threads that run, where their runtime has left them to run on its own. */
async function walkLeftStacks(target: OpenTarget, code: Code, { threads, vcpus }: Look): Promise<readonly Stack[]> {
  const left = threads.filter(({ state, registers }) => state === 'running' && registers !== null).slice(0, MAX_LEFT);
  const control = vcpus[0]?.registers.values ?? {};
  return Promise.all(
    left.map(async ({ id, name, registers }): Promise<Stack> => {
      const values = { ...only(control, ['cr0', 'cr3', 'cr4', 'efer']), ...registers?.values };
      const walked = await walkFrames(target, code, { machine: target.machine, values }, { withArguments: true });
      return { name, kind: 'thread', id, state: 'running', torn: false, ...walked };
    }),
  );
}

function only(values: Registers['values'], names: readonly string[]): Registers['values'] {
  return Object.fromEntries(Object.entries(values).filter(([name]) => names.includes(name)));
}

async function takeCensuses(
  target: OpenTarget,
  registers: Registers,
  code: Code,
  remarks: string[],
): Promise<readonly HeapCensus[]> {
  const heaps: HeapCensus[] = [];
  const able = code.probes.filter(({ census }) => census !== undefined);
  for (const probe of able) {
    try {
      const heap = await takeCensus(probe, target, registers, code);
      if (heap === null) remarks.push(`the heap that probe ${probe.name} knows could not be read, or nothing is in it yet`);
      else heaps.push(heap);
    } catch (error) {
      if (errorCode(error) === null) throw error;
      remarks.push(`the heap that probe ${probe.name} knows could not be read: ${errorMessage(error)}`);
    }
  }
  const unable = code.missing.filter(({ probe: { census } }) => census !== undefined);
  remarks.push(...unable.map(({ probe, reason }) => `the heap that probe ${probe.name} knows is not read: ${reason}`));
  if (able.length === 0 && unable.length === 0) remarks.push("no probe knows how this guest's heap is laid out");
  return heaps;
}

/** Throws MEMORY_UNREADABLE. */
async function takeCensus(probe: Probe, target: OpenTarget, registers: Registers, code: Code): Promise<HeapCensus | null> {
  const deadline = performance.now() + CENSUS_MS;
  const read = (memory: Memory): HeapCensus | null => {
    const bounded: Memory = {
      read: (address, length) => {
        if (performance.now() > deadline)
          throw new UnidbgError('MEMORY_UNREADABLE', `it takes more than ${CENSUS_MS / 1000} s to walk`);
        return memory.read(address, length);
      },
    };
    const { symbolizer, images } = code;
    return probe.census?.({ memory: bounded, types: symbolizer.types, symbols: symbolizer, images }) ?? null;
  };
  try {
    return read(inManySpaces(target, registers));
  } catch (error) {
    // Behind a monitor pages come one by one, and only a walk waits for them.
    if (!(error instanceof PageAbsent)) throw error;
    return target.memory(registers).walk(read);
  }
}

/** Memory without the bound that one space has on all its pages together: nothing in it moves any more. */
function inManySpaces(target: OpenTarget, registers: Registers): Memory {
  let space = target.memory(registers);
  let bytes = 0;
  return {
    read: (address, length) => {
      if (bytes > SPACE_BYTES) {
        space = target.memory(registers);
        bytes = 0;
      }
      bytes += length;
      return space.read(address, length);
    },
  };
}

function noGrowth({ metrics }: Snapshot): string {
  return metrics.size === 0
    ? 'how memory grew is not known: nothing was measured before the guest died'
    : 'how memory grew is not known: no metric of it rose while the guest was measured';
}
