// A running VM in which one agentless probe is asked for its numbers, to be held against what the guest says of itself.

import { setTimeout as sleep } from 'node:timers/promises';
import { SYSTEMS } from '../src/cli/systems.ts';
import { findSource } from '../src/cli/target.ts';
import type { Probe } from '../src/model/probe.ts';
import { openGuest, viewBy } from '../src/session/open-guest.ts';
import { spaceOf } from '../src/session/sampler.ts';

/** The VM, and the probe's readings of now. Close it. */
export interface TruthGuest {
  readonly measure: () => Promise<Readonly<Record<string, unknown>>>;
  readonly addressOf: (symbol: string) => bigint;
  readonly close: () => void;
}

/** Opens the VM of a name, pid or QMP socket, and waits until the guest has what the probe reads. */
export async function openTruthGuest(vm: string, symbols: readonly string[], probe: Probe): Promise<TruthGuest> {
  const { target, codeReader } = await openGuest(findSource(vm), { systems: SYSTEMS, symbols });
  for (;;) {
    const [vcpu] = await target.allRegisters();
    const { probes, symbolizer } = await codeReader.place(viewBy(target, vcpu!.registers));
    if (!probes.includes(probe)) {
      await sleep(250);
      continue;
    }
    return {
      measure: async () => {
        const space = spaceOf(target, await target.allRegisters());
        const { types } = symbolizer;
        return (await space?.walk((memory) => probe.sample({ memory, types, symbols: symbolizer }))) ?? {};
      },
      addressOf: (symbol) => {
        const found = symbolizer.findSymbol(symbol);
        if (found === null) throw new Error(`the guest has no ${symbol}`);
        return found.address;
      },
      close: () => {
        target.close();
        codeReader.close();
      },
    };
  }
}
