// The in-guest probe as the session takes it.

import type { GuestProbe } from '../../src/model/guest-probe.ts';
import { ProbeDecoder } from './decoder.ts';
import { ProbeMetrics } from './metrics.ts';
import { RING_SYMBOL, readRing } from './ring.ts';

/** unidbg_probe.c, heard. */
export const guestProbe: GuestProbe = {
  ringSymbol: RING_SYMBOL,
  portName: 'org.unidbg.probe',
  openStream: (transport) => {
    const decoder = new ProbeDecoder();
    const metrics = new ProbeMetrics(transport);
    return {
      push: (bytes) => {
        metrics.push(decoder.push(bytes));
      },
      take: () => metrics.take(),
      get records() {
        return metrics.records;
      },
      get loss() {
        return { lost: metrics.lost, dropped: metrics.dropped, damaged: decoder.damaged };
      },
    };
  },
  openRing: () => {
    const metrics = new ProbeMetrics('RAM ring');
    let next: bigint | null = null;
    let overwritten = 0;
    let damaged = 0;
    return {
      read: (memory, address) => {
        const reading = readRing(memory, address, next);
        if (reading === null) return null;
        return () => {
          next = reading.next;
          overwritten += reading.lost;
          damaged += reading.damaged;
          metrics.push(reading.records);
        };
      },
      take: () => metrics.take(),
      get records() {
        return metrics.records;
      },
      get loss() {
        // Sequence gaps are the overwritten records seen from the other side; the stamps' count is the exact one.
        return { lost: overwritten, dropped: metrics.dropped, damaged };
      },
    };
  },
};
