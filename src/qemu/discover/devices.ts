// From the options of a QEMU: its monitors, consoles, virtio-serial ports, stub and memory backend.

import type { Endpoint } from '../qmp/endpoint.ts';
import { type Chardev, findLegacyEndpoint, type ProcessView, readLegacyChardev } from './chardevs.ts';
import { findLastValue, findValues, hasOption, type QemuOption } from './command-line.ts';
import { findOption, isOn, parseOptions } from './options.ts';
import type { VirtioPort, VmConsole, VmMonitor, VmRecord } from './record.ts';

type Chardevs = ReadonlyMap<string, Chardev>;

/** Monitors, QMP first: `-qmp`, `-qmp-pretty`, `-monitor`, `-mon chardev=…,mode=…`. */
export function readMonitors(options: readonly QemuOption[], chardevs: Chardevs, view: ProcessView): VmMonitor[] {
  const qmp = findValues(options, 'qmp', 'qmp-pretty').map((text) =>
    monitor('qmp', text, findLegacyEndpoint(text, chardevs, view)),
  );
  const hmp = findValues(options, 'monitor')
    .filter((text) => text !== 'none')
    .map((text) => monitor('hmp', text, findLegacyEndpoint(text, chardevs, view)));
  const mons = findValues(options, 'mon').map((text) => {
    const pairs = parseOptions(text, 'chardev');
    const backend = chardevs.get(findOption(pairs, 'chardev') ?? '')?.backend;
    return monitor(
      findOption(pairs, 'mode') === 'control' ? 'qmp' : 'hmp',
      text,
      backend?.kind === 'socket' ? backend.endpoint : null,
    );
  });
  const all = [...qmp, ...hmp, ...mons];
  return [...all.filter(({ kind }) => kind === 'qmp'), ...all.filter(({ kind }) => kind === 'hmp')];
}

function monitor(kind: 'qmp' | 'hmp', text: string, endpoint: Endpoint | null): VmMonitor {
  return { kind, text, endpoint };
}

/** Devices that are a console of the guest by their -device name: what to call them. */
const CONSOLE_DEVICES: Readonly<Record<string, string>> = {
  'isa-serial': 'serial',
  'pci-serial': 'pci serial',
  'usb-serial': 'usb serial',
  'isa-debugcon': 'debugcon',
  virtconsole: 'virtconsole',
  sclpconsole: 'sclpconsole',
};

/** Consoles in the order the guest numbers them: `-serial` (or the one -nographic implies), `-debugcon`, console devices. */
export function readConsoles(options: readonly QemuOption[], chardevs: Chardevs, view: ProcessView): VmConsole[] {
  const serials = findValues(options, 'serial').map((text, index) =>
    toConsole(`serial${index}`, readLegacyChardev(text, chardevs, view)),
  );
  const devices = deviceOptions(options)
    .filter(({ driver }) => CONSOLE_DEVICES[driver] !== undefined)
    .map(({ driver, pairs }, index) => {
      const chardev = chardevs.get(findOption(pairs, 'chardev') ?? '');
      return toConsole(`${CONSOLE_DEVICES[driver]!} ${findOption(pairs, 'id') ?? index}`, chardev ?? NO_CHARDEV);
    });
  const debug = findValues(options, 'debugcon').map((text) => toConsole('debugcon', readLegacyChardev(text, chardevs, view)));
  const implied =
    hasOption(options, 'nographic') && !hasOption(options, 'nodefaults') && serials.length === 0 && devices.length === 0
      ? [toConsole('serial0', { id: null, backend: view.stdout, logfile: null })]
      : [];
  // A null device with QEMU's own `logfile=` is a console after all: that file has every byte.
  return [...serials, ...implied, ...debug, ...devices].filter(
    ({ backend, logfile }) => backend.kind !== 'none' || logfile !== null,
  );
}

const NO_CHARDEV: Chardev = { id: null, backend: { kind: 'none' }, logfile: null };

function toConsole(name: string, { id, backend, logfile }: Chardev): VmConsole {
  // QEMU names the chardev of the n-th -serial `serialN` when the user gave it none.
  return { name, chardev: id ?? (/^serial\d+$/.test(name) ? name : null), backend, logfile };
}

/** Virtio-serial ports by their names in the guest. */
export function readVirtioPorts(options: readonly QemuOption[], chardevs: Chardevs): VirtioPort[] {
  return deviceOptions(options)
    .filter(({ driver }) => driver === 'virtserialport')
    .map(({ pairs }) => {
      const chardev = findOption(pairs, 'chardev');
      const name = findOption(pairs, 'name') ?? findOption(pairs, 'id') ?? '';
      return { name, chardev, backend: chardevs.get(chardev ?? '')?.backend ?? { kind: 'none' } };
    });
}

/** `-s` and `-gdb`. */
export function findGdbstub(options: readonly QemuOption[], chardevs: Chardevs, view: ProcessView): Endpoint | null {
  const text = findLastValue(options, 'gdb');
  if (text !== null) return text === 'none' ? null : findLegacyEndpoint(text, chardevs, view);
  return hasOption(options, 's') ? { kind: 'tcp', host: '127.0.0.1', port: 1234 } : null;
}

/** The backend that is the guest's RAM: by `-machine memory-backend=`, by a NUMA node, or `-mem-path`. */
export function findMemoryBackend(options: readonly QemuOption[], view: ProcessView): VmRecord['memoryBackend'] {
  const named = machineOption(options, 'memory-backend') ?? findNumaBackend(options);
  for (const text of findValues(options, 'object')) {
    const pairs = parseOptions(text, 'qom-type');
    const [type, id] = [findOption(pairs, 'qom-type') ?? '', findOption(pairs, 'id')];
    const kind = /^memory-backend-(\w+)$/.exec(type)?.[1];
    if (kind === undefined || id === null || id !== named) continue;
    const path = findOption(pairs, 'mem-path');
    const share = findOption(pairs, 'share');
    // A memfd is shared unless told otherwise (backends/hostmem-memfd.c), a file is not (backends/hostmem.c).
    const shared = share === null ? kind === 'memfd' || kind === 'shm' : isOn(pairs, 'share');
    return { id, kind, path: path === null ? null : view.resolve(path), share: shared };
  }
  const memPath = findLastValue(options, 'mem-path');
  return memPath === null ? null : { id: 'mem-path', kind: 'file', path: view.resolve(memPath), share: false };
}

function findNumaBackend(options: readonly QemuOption[]): string | null {
  return (
    findValues(options, 'numa')
      .map((text) => findOption(parseOptions(text, 'type'), 'memdev'))
      .find((id) => id !== null) ?? null
  );
}

/** A property of `-machine`/`-M`, which may be given several times. */
export function machineOption(options: readonly QemuOption[], key: string): string | null {
  return (
    findValues(options, 'machine', 'M')
      .map((text) => findOption(parseOptions(text, 'type'), key))
      .findLast((value) => value !== null) ?? null
  );
}

/** Every `-device` with its driver. */
export function deviceOptions(options: readonly QemuOption[]): { driver: string; pairs: ReturnType<typeof parseOptions> }[] {
  return findValues(options, 'device').map((text) => {
    const pairs = parseOptions(text, 'driver');
    return { driver: findOption(pairs, 'driver') ?? '', pairs };
  });
}
