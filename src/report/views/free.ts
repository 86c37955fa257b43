// `free`: memory, in the three senses that are never mixed: given to the VM, resident on its host, used by the guest; and the heaps of
// its runtimes.

import { COLLECTORS } from '../../model/collectors.ts';
import { formatShare, formatSize } from '../../model/quantity.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { findAbsence, findValue } from '../../vitals/history.ts';
import { tableLines } from '../table.ts';
import type { View } from './view.ts';

/** A row: who counts, and what; bytes, null = not known. */
interface Memory {
  readonly of: string;
  readonly limit: number | null;
  readonly used: number | null;
  readonly free: number | null;
  readonly peak: number | null;
  readonly live: number | null;
}

const FORECAST = 'unikernel.memory.exhaustion.time';

export const free: View = {
  name: 'free',
  doc: 'show memory: given to the VM, resident on the host, used by the guest and by the heaps in it',
  notes: `
LIMIT of the guest is what its allocator manages, of a heap the most it may hold; USED is what is in use by the
guest's own count. "Given" and "resident" are the host's view of the same VM: not one of them follows from another.`,
  settleMs: 0,
  captures: false,
  lines: ({ snapshot }) => {
    const sayBytes = (bytes: number | null): string => (bytes === null ? '–' : formatSize(bytes));
    const columns = ['', 'limit', 'used', 'free', 'peak', 'live'].map((title, index) => ({
      title: title.toUpperCase(),
      align: index === 0 ? ('left' as const) : ('right' as const),
    }));
    const rows = findMemory(snapshot).map(({ of, limit, used, free: left, peak, live }) => [
      of,
      ...[limit, used, left, peak, live].map(sayBytes),
      used !== null && limit !== null && limit > 0 ? formatShare(used / limit) : '',
    ]);
    const host = hostOf(snapshot);
    const why = findAbsence(snapshot, 'unikernel.memory.used');
    const forecast = findValue(snapshot, FORECAST);
    return [
      ...tableLines([...columns, { title: '' }], rows),
      ...(rows.length === 0
        ? [`guest: ${why ?? 'no probe knows its allocator, or its symbols are missing (--symbols ELF)'}`]
        : []),
      '',
      `given to the VM ${sayBytes(host.allocated)} · resident on the host ${sayBytes(host.resident)}${
        host.proportional === null ? '' : ` (${formatSize(host.proportional)} of it its own)`
      }${host.balloon === null ? '' : ` · balloon ${formatSize(host.balloon)}`}`,
      ...(forecast === null ? [] : [`used up in ${Math.round(forecast)} s if it goes on like this`]),
    ];
  },
  document: ({ snapshot }) => ({
    guest: findMemory(snapshot),
    host: hostOf(snapshot),
    exhaustionSeconds: findValue(snapshot, FORECAST),
    absent: findAbsence(snapshot, 'unikernel.memory.used'),
  }),
};

function hostOf(snapshot: Snapshot): Readonly<Record<'allocated' | 'resident' | 'proportional' | 'balloon', number | null>> {
  return {
    allocated: findValue(snapshot, 'unikernel.memory.allocated'),
    resident: findValue(snapshot, 'unikernel.memory.resident'),
    proportional: findValue(snapshot, 'unikernel.memory.proportional'),
    balloon: findValue(snapshot, 'unikernel.memory.balloon'),
  };
}

/** The guest's own memory and its heaps: those of which anything is known. */
function findMemory(snapshot: Snapshot): readonly Memory[] {
  const used = findValue(snapshot, 'unikernel.memory.used');
  const limit = findValue(snapshot, 'unikernel.memory.limit');
  const left = findValue(snapshot, 'unikernel.memory.free') ?? (used === null || limit === null ? null : limit - used);
  const guest: Memory = {
    of: 'guest',
    limit,
    used,
    free: left,
    peak: findValue(snapshot, 'unikernel.memory.used.peak'),
    live: null,
  };
  const heaps = COLLECTORS.map((collector): Memory => {
    const held = findValue(snapshot, collector.heapSize);
    const inUse = findValue(snapshot, collector.heapUsed);
    return {
      of: `${collector.title} heap`,
      limit: findValue(snapshot, collector.limit) ?? held,
      used: inUse,
      free: held === null || inUse === null ? null : Math.max(0, held - inUse),
      peak: null,
      live: findValue(snapshot, collector.heapLive),
    };
  });
  return [guest, ...heaps].filter((memory) => memory.used !== null || memory.limit !== null);
}
