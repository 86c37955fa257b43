// What the sources of the host's metrics share: making samples of a declared table, and asking QMP without a refusal being an
// error.

import { errorCode, errorMessage } from '../model/error.ts';
import type { MetricDeclaration, Sample } from '../model/metric.ts';
import type { Monitor } from './monitor.ts';
import type { Json, JsonObject } from './qmp/exact-json.ts';

/** Attributes of one series. */
export type Attributes = Readonly<Record<string, string>>;

/** Makes samples of the metrics of one table. */
export interface SampleMaker<M extends string> {
  readonly value: (name: M, value: number, attributes?: Attributes) => Sample;
  readonly absent: (name: M, why: string, attributes?: Attributes) => Sample;
  /** Every metric of the table, absent for one reason. */
  readonly allAbsent: (why: string) => Sample[];
}

/** A maker for `table`; its samples say that `qemu` measured them. */
export function createSampleMaker<M extends string>(table: Readonly<Record<M, MetricDeclaration>>): SampleMaker<M> {
  const make = (name: M, value: number | null, absent: string | null, attributes: Attributes): Sample => {
    const { kind, unit } = table[name];
    return { name, attributes, value, unit, kind, absent, probe: 'qemu' };
  };
  const absent = (name: M, why: string, attributes: Attributes = {}): Sample => make(name, null, why, attributes);
  return {
    value: (name, value, attributes = {}) => make(name, value, null, attributes),
    absent,
    allAbsent: (why) => (Object.keys(table) as M[]).map((name) => absent(name, why)),
  };
}

/** QEMU's answer, or the words with which it refused. */
export type Answer = { readonly value: Json } | { readonly refused: string };

/** Asks over QMP. An unknown or forbidden command is an answer too; a lost connection rejects. */
export async function askQmp(monitor: Monitor, command: string, args?: JsonObject): Promise<Answer> {
  if (monitor.qmp === null)
    return { refused: 'a human monitor does not tell; start QEMU with -qmp unix:PATH,server=on,wait=off' };
  try {
    return { value: await monitor.qmp.execute(command, args) };
  } catch (error) {
    if (errorCode(error) === 'QMP_COMMAND') return { refused: errorMessage(error) };
    throw error;
  }
}

/** An answer's elements, `most` at the most; none when it is no list. */
export function listOf(value: Json | undefined, most: number): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]).slice(0, most) : [];
}
