// Split virtqueues (virtio 1.2, section 2.7) as kernels keep them: rings whose indices count buffers in 16 bits.

import type { MetricDeclaration } from '../../src/model/metric.ts';
import type { TypedValue } from './typed.ts';

/** An index begins anew at 0. */
export const WRAPS_AT = 65_536;

/** The gauge of probes that know queues of network cards. */
export const QUEUE: MetricDeclaration = {
  kind: 'gauge',
  unit: '{packet}',
  doc: 'packets that wait: received and not taken yet (receive), given to the device and not sent yet (transmit)',
};

/** The index of a queue's `avail` or `used` ring: how many buffers were ever put there, modulo WRAPS_AT. */
export function readIndex(queue: TypedValue, ring: 'avail' | 'used'): number | null {
  return queue.member(ring)?.dereference()?.member('idx')?.number() ?? null;
}

/** How far an index is behind another. */
export function between(behind: number, ahead: number): number {
  return (ahead - behind + WRAPS_AT) % WRAPS_AT;
}
