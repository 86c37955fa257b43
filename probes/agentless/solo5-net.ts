// Solo5's network on virtio (bindings/virtio/virtio_net.c): nd_table has a descriptor for each card, with a virtqueue each way. Solo5
// counts nothing itself; the queues' indices count packets in 16 bits: whoever samples adds up what wraps. A packet to send is one chain.

import { defineProbe, type Reading, type ReadingSeries } from '../../src/model/probe.ts';
import { findGlobal, orAbsent, type TypedValue } from './typed.ts';
import { between, QUEUE, readIndex, WRAPS_AT } from './virtqueue.ts';

/** MFT_MAX_ENTRIES: a manifest names no more devices. */
const MAX_CARDS = 64;
const NO_CARD = 'the program has no network card';

export const solo5Net = defineProbe({
  name: 'solo5-net',
  doc: "Solo5's network cards",
  systems: ['solo5'],
  missing: ({ types, symbols }) => {
    if (symbols.findSymbol('nd_table') === null) return 'this Solo5 is not for virtio: no network card in its memory';
    return types.findVariable('nd_table') === null ? "no type for nd_table: Solo5's bindings were built without -g" : null;
  },
  metrics: {
    'system.network.packets': { kind: 'counter', unit: '{packet}', doc: 'packets that the device took or gave' },
    'unikernel.network.queue': QUEUE,
  },
  sample: (guest) => {
    const table = findGlobal(guest, 'nd_table');
    const count = Math.min(findGlobal(guest, 'nd_num_entries')?.number() ?? 0, MAX_CARDS);
    const cards = Array.from({ length: count }, (_, index) => table?.element(index) ?? []).flat();
    return {
      'system.network.packets': ofQueues(cards, (queue) => {
        const used = readIndex(queue, 'used');
        return used === null ? null : { value: used, wrapsAt: WRAPS_AT };
      }),
      'unikernel.network.queue': ofQueues(cards, readWaiting),
    };
  },
});

function ofQueues(
  cards: readonly TypedValue[],
  read: (queue: TypedValue, direction: string) => Pick<ReadingSeries, 'value' | 'wrapsAt'> | null,
): Reading {
  const found = cards.flatMap((card, index) =>
    Object.entries({ receive: 'recvq', transmit: 'xmitq' }).flatMap(([direction, name]) => {
      const queue = card.member(name);
      const one = queue === null ? null : read(queue, direction);
      return one === null ? [] : [{ ...one, attributes: { device: `net${index}`, direction } }];
    }),
  );
  return orAbsent(found, NO_CARD);
}

/** What the program has not read yet; what the device has not sent yet. */
function readWaiting(queue: TypedValue, direction: string): Pick<ReadingSeries, 'value'> | null {
  const used = readIndex(queue, 'used');
  const other = direction === 'receive' ? (queue.member('last_used')?.number() ?? null) : readIndex(queue, 'avail');
  if (used === null || other === null) return null;
  return { value: direction === 'receive' ? between(other, used) : between(used, other) };
}
