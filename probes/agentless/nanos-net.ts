// Nanos' virtio cards (src/virtio/virtio_net.c): lwIP's netif points at struct vnet, whose queues count what the device has used, in 16
// bits: whoever samples adds up what wraps (poll before 65536 packets have gone by). Nanos counts no bytes.

import { defineProbe, type ProbeGuest, type Reading, type ReadingSeries } from '../../src/model/probe.ts';
import { nameOfInterface } from './lwip.ts';
import { findGlobal, orAbsent, type TypedValue, walkList } from './typed.ts';
import { between, QUEUE, readIndex, WRAPS_AT } from './virtqueue.ts';

const MAX_INTERFACES = 64;
const MAX_VCPUS = 256;
const NO_CARD = 'there is no virtio card';

export const nanosNet = defineProbe({
  name: 'nanos-net',
  doc: "Nanos' virtio network cards",
  systems: ['nanos'],
  missing: ({ types, symbols }) => {
    if (symbols.findSymbol('netif_list') === null || symbols.findSymbol('page_heap') === null)
      return "no symbols of the kernel: give its kernel.elf with --symbols, beside the program's";
    return types.findVariable('netif_list') === null ? 'no type for netif_list: kernel.elf has no DWARF' : null;
  },
  metrics: {
    'system.network.packets': {
      kind: 'counter',
      unit: '{packet}',
      doc: 'packets by card; a packet bigger than a receive buffer counts once for each buffer it fills',
    },
    'unikernel.network.queue': QUEUE,
  },
  sample: (guest) => {
    const queues = findQueues(guest);
    return {
      'system.network.packets': summed(queues, ({ value }) => {
        const used = readIndex(value, 'used');
        return used === null ? null : { value: used, wrapsAt: WRAPS_AT };
      }),
      'unikernel.network.queue': summed(queues, readWaiting),
    };
  },
});

/** Received and not handled by the driver yet; given to the device and not sent yet. */
function readWaiting({ value, attributes }: Queue): Pick<ReadingSeries, 'value'> | null {
  const used = readIndex(value, 'used');
  const other = attributes.direction === 'receive' ? value.member('last_used_idx')?.number() : readIndex(value, 'avail');
  if (used === null || other == null) return null;
  return { value: attributes.direction === 'receive' ? between(other, used) : between(used, other) };
}

interface Queue {
  readonly value: TypedValue;
  readonly attributes: Readonly<Record<string, string>>;
}

function summed(queues: readonly Queue[], read: (queue: Queue) => Pick<ReadingSeries, 'value' | 'wrapsAt'> | null): Reading {
  const found = queues.flatMap((queue) => {
    const one = read(queue);
    return one === null ? [] : [{ ...one, attributes: queue.attributes }];
  });
  return orAbsent(found, NO_CARD);
}

function findQueues(guest: ProbeGuest): readonly Queue[] {
  const first = findGlobal(guest, 'netif_list')?.dereference() ?? null;
  return [...walkList(first, 'next', MAX_INTERFACES)].flatMap((netif) => {
    const card = findCard(guest, netif);
    return card === null ? [] : queuesOf(guest, card, nameOfInterface(netif));
  });
}

/** netif.state is a `void *`: a struct vnet when the netif is the one in it. */
function findCard({ types }: ProbeGuest, netif: TypedValue): TypedValue | null {
  const layout = types.findType('struct vnet');
  const state = netif.member('state')?.integer() ?? 0n;
  const card = layout === null || state === 0n ? null : netif.moved(state).as(layout);
  return card?.member('ndev.n')?.address === netif.address ? card : null;
}

/** txq_map has a queue for each CPU, some CPUs share one; rx has one of each pair. */
function queuesOf(guest: ProbeGuest, card: TypedValue, device: string): readonly Queue[] {
  const cpus = Math.min(findGlobal(guest, 'total_processors')?.number() ?? 1, MAX_VCPUS);
  const sending = Array.from({ length: cpus }, (_, cpu) => card.member('txq_map')?.at(cpu)?.dereference() ?? null);
  const distinct = [...new Map(sending.flatMap((queue) => (queue === null ? [] : [[queue.address, queue]]))).values()];
  const receiving = distinct.map((_, index) => card.member('rx')?.at(index)?.member('q')?.dereference() ?? null);
  return [...named(receiving, device, 'receive'), ...named(distinct, device, 'transmit')];
}

function named(queues: readonly (TypedValue | null)[], device: string, direction: string): readonly Queue[] {
  return queues.flatMap((value, index) =>
    value === null ? [] : [{ value, attributes: { device, direction, ...(queues.length > 1 ? { queue: String(index) } : {}) } }],
  );
}
