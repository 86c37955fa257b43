// Agentless probes run over a guest's memory: their samples, and what its network stack has open.

import type { Sample } from '../model/metric.ts';
import type { Probe, ProbeGuest } from '../model/probe.ts';
import type { GuestSocket } from '../model/socket.ts';
import type { AddressSpace, Memory } from '../model/target.ts';
import type { Code } from './code.ts';
import type { CounterWraps } from './counter-wraps.ts';
import { absentSamples, samplesOf } from './readings.ts';

/** One sample of every probe that this guest has what it needs for; those that lack something say what. */
export async function readProbes(space: AddressSpace, code: Code, wraps: CounterWraps | null): Promise<readonly Sample[]> {
  const read = await Promise.all(code.probes.map((probe) => readProbe(probe, space, code, wraps)));
  const absent = code.missing.flatMap(({ probe, reason }) => absentSamples(probe, reason));
  return [...read.flat(), ...absent];
}

/** What the guest's network stacks have open; null where no probe knows one. */
export async function readSockets(space: AddressSpace, code: Code): Promise<readonly GuestSocket[] | null> {
  const probes = code.probes.filter(({ sockets }) => sockets !== undefined);
  if (probes.length === 0) return null;
  const found = await Promise.all(probes.map((probe) => space.walk((memory) => probe.sockets?.(probeGuest(memory, code)) ?? [])));
  return found.flat();
}

/** What a probe is given. */
export function probeGuest(memory: Memory, code: Code): ProbeGuest {
  return { memory, types: code.symbolizer.types, symbols: code.symbolizer, images: code.images };
}

async function readProbe(probe: Probe, space: AddressSpace, code: Code, wraps: CounterWraps | null): Promise<readonly Sample[]> {
  const readings = await space.walk((memory) => probe.sample(probeGuest(memory, code)));
  return samplesOf(probe, readings, wraps);
}
