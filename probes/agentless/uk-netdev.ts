// Unikraft's network devices (lib/uknetdev): the list of them, and the counters of each where the build has LIBUKNETDEV_STATS.

import { defineProbe, type Reading } from '../../src/model/probe.ts';
import { findGlobal, orAbsent, series, seriesOf, type TypedValue, walkList } from './typed.ts';

const MAX_DEVICES = 64;
const NO_STATS = 'counters of network devices are not in this build: set CONFIG_LIBUKNETDEV_STATS=y';
const COUNTERS = {
  io: { receive: '_stats.rx_m.bytes', transmit: '_stats.tx_m.bytes' },
  packets: { receive: '_stats.rx_m.packets', transmit: '_stats.tx_m.packets' },
  errors: { receive: '_stats.rx_m.errors', transmit: '_stats.tx_m.errors' },
  dropped: { receive: '_stats.rx_m.fifo', transmit: '_stats.tx_m.fifo' },
};

export const ukNetdev = defineProbe({
  name: 'uk-netdev',
  doc: "Unikraft's network devices",
  systems: ['unikraft'],
  missing: ({ types, symbols }) => {
    if (symbols.findSymbol('uk_netdev_list') === null) return 'the image has no lib/uknetdev';
    return types.findVariable('uk_netdev_list') === null
      ? 'no type for uk_netdev_list: give the .dbg file that lies beside the image'
      : null;
  },
  metrics: {
    'system.network.io': { kind: 'counter', unit: 'By', doc: 'bytes by device, whole frames' },
    'system.network.packets': { kind: 'counter', unit: '{packet}', doc: 'packets by device' },
    'system.network.errors': { kind: 'counter', unit: '{packet}', doc: 'packets that the driver failed to receive or send' },
    'system.network.dropped': { kind: 'counter', unit: '{packet}', doc: 'times that a queue was full, or had no buffer left' },
  },
  sample: (guest) => {
    const devices = [
      ...walkList(findGlobal(guest, 'uk_netdev_list')?.member('tqh_first')?.dereference() ?? null, '_list.tqe_next', MAX_DEVICES),
    ];
    return {
      'system.network.io': counted(devices, 'io'),
      'system.network.packets': counted(devices, 'packets'),
      'system.network.errors': counted(devices, 'errors'),
      'system.network.dropped': counted(devices, 'dropped'),
    };
  },
});

function counted(devices: readonly TypedValue[], what: keyof typeof COUNTERS): Reading {
  if (devices.length === 0) return { absent: 'no network device has come up' };
  const found = devices.flatMap((device, index) =>
    seriesOf(series(device, 'direction', COUNTERS[what], NO_STATS, { shared: { device: nameOf(device, index) } })),
  );
  return orAbsent(found, NO_STATS);
}

/** As its kernel parameters call it: by number. */
function nameOf(device: TypedValue, index: number): string {
  return `netdev${device.member('_data')?.dereference()?.member('id')?.number() ?? index}`;
}
