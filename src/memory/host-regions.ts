// Where each RAM region lies in the memory of the QEMU process: HMP `gpa2hva`.

import type { AskMonitor } from './monitor-ask.ts';
import type { RamRegion } from './ram-layout.ts';

/** A RAM region with its address in the QEMU process. */
export interface HostRegion extends RamRegion {
  readonly host: bigint;
}

/**
 * Asks where each region lies in QEMU, at both its ends: one memory region is one mapping, so when the ends agree the
 * middle does. Regions of which QEMU says otherwise are left out.
 */
export async function locateRegions(ask: AskMonitor, regions: readonly RamRegion[]): Promise<HostRegion[]> {
  const located = await Promise.all(
    regions.map(async (region): Promise<HostRegion | null> => {
      const last = region.end - 1n;
      const [first, final] = await Promise.all([
        ask(`gpa2hva 0x${region.start.toString(16)}`),
        ask(`gpa2hva 0x${last.toString(16)}`),
      ]);
      const host = parseHostAddress(first);
      if (host === null || parseHostAddress(final) !== host + (last - region.start)) return null;
      return { ...region, host };
    }),
  );
  return located.filter((region) => region !== null);
}

/** `Host virtual address for 0x100000 (pc.ram) is 0x7f25fbf00000` → the address; null for QEMU's refusals. */
export function parseHostAddress(text: string): bigint | null {
  const match = /\bis\s+0x([0-9a-f]{1,16})\s*$/.exec(text.trim());
  return match === null ? null : BigInt(`0x${match[1]!}`);
}
