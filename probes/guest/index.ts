// The in-guest probe as the session takes it.

import type { GuestProbe } from '../../src/model/guest-probe.ts';
import { ProbeDecoder } from './decoder.ts';
import { ProbeMetrics } from './metrics.ts';
import { RING_SYMBOL, RingReader } from './ring.ts';

/** unidbg_probe.c and the bindings beside it, heard. */
export const guestProbe: GuestProbe = {
  ringSymbol: RING_SYMBOL,
  portName: 'org.unidbg.probe',
  openStream: (transport) => {
    const metrics = new ProbeMetrics(transport);
    const decoder = new ProbeDecoder(metrics.push);
    return {
      push: (bytes) => {
        decoder.push(bytes);
      },
      take: () => metrics.take(),
      takeRemarks: () => metrics.takeRemarks(),
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
    const reader = new RingReader(metrics.push);
    return {
      read: (openSpace, address) => reader.read(openSpace, address),
      take: () => metrics.take(),
      takeRemarks: () => metrics.takeRemarks(),
      get records() {
        return metrics.records;
      },
      get loss() {
        // Sequence gaps are the overwritten records seen from the other side; the stamps' count is the exact one.
        return { lost: reader.lost, dropped: metrics.dropped, damaged: reader.damaged };
      },
    };
  },
};
