// A QEMU command line that records its run for replay (QEMU docs/system/replay.rst, docs/devel/replay.rst): icount with rr=record, a snapshot
// of the beginning on a disk of its own (which going backwards needs), drives through blkreplay, network through filter-replay.
// What QEMU cannot record is refused before anything starts.

import { UnidbgError } from '../../model/error.ts';
import { findLastValue, findProgram, hasOption, parseCommandLine, type QemuOption } from '../discover/command-line.ts';
import { deviceOptions, machineOption } from '../discover/devices.ts';
import { findOption, parseOptions } from '../discover/options.ts';

/** The files of a record. `log` is QEMU's own; the others lie beside it. */
export interface RecordFiles {
  readonly log: string;
  /** A qcow2 image that holds the snapshot of the beginning. */
  readonly snapshots: string;
  /** How it was run. */
  readonly about: string;
}

/** Where the files of the record `path` are. */
export function recordFiles(path: string): RecordFiles {
  return { log: path, snapshots: `${path}.qcow2`, about: `${path}.json` };
}

const SNAPSHOT = 'unidbg-start';
/** Devices whose back ends answer from outside of what QEMU records. */
const UNRECORDED = /^(?:vfio-|vhost-|virtio-9p|virtio-fs|usb-host|usb-redir|ivshmem|virtio-gpu-gl|virtio-vga-gl|virtio-crypto)/;

/** The command line to record with; `argv[0]` is the program. Throws USAGE with what QEMU cannot record, and what to write instead. */
export function planRecord(argv: readonly string[], files: RecordFiles): readonly string[] {
  const [program] = argv;
  if (program === undefined || findProgram(argv) !== 0)
    throw new UnidbgError(
      'USAGE',
      'a record is made of a QEMU that is started directly: write -- qemu-system-… with --record-rr',
    );
  const options = parseCommandLine(argv.slice(1));
  refuse(options);
  const planned = options.flatMap((option, index) => planOption(option, index));
  const icount = `shift=auto,rr=record,rrfile=${escaped(files.log)},rrsnapshot=${SNAPSHOT}`;
  const disk = `file=${escaped(files.snapshots)},format=qcow2,if=none,id=unidbg-rr`;
  return [program, ...planned, '-icount', icount, '-drive', disk];
}

/** The same run again, from its record: stopped before its first instruction where it is held. */
export function planReplay(recorded: readonly string[]): readonly string[] {
  return recorded.map((word, index) => (recorded[index - 1] === '-icount' ? word.replace(',rr=record,', ',rr=replay,') : word));
}

function refuse(options: readonly QemuOption[]): void {
  const wrong = findObstacle(options);
  if (wrong !== null) throw new UnidbgError('USAGE', `QEMU cannot record this run: ${wrong}`);
}

function findObstacle(options: readonly QemuOption[]): string | null {
  const accelerators = [findLastValue(options, 'accel'), machineOption(options, 'accel')].map(
    (text) => text?.split(/[,:]/)[0] ?? 'tcg',
  );
  if (hasOption(options, 'enable-kvm') || accelerators.some((name) => name !== 'tcg'))
    return 'it records under TCG alone (no KVM, no other accelerator): use -accel tcg';
  if (/thread=multi/.test(findLastValue(options, 'accel') ?? ''))
    return 'it records with one thread of TCG: leave thread=multi out';
  if (vcpuCount(options) > 1) return 'it records one vCPU: use -smp 1';
  if (hasOption(options, 'icount')) return 'leave -icount out: the record sets its own';
  if (hasOption(options, 'net', 'nic')) return 'write the network as -netdev and -device, so that what comes in can be recorded';
  if (hasOption(options, 'incoming', 'loadvm')) return 'it has to begin at the beginning: leave -incoming and -loadvm out';
  const device = deviceOptions(options).find(({ driver }) => UNRECORDED.test(driver));
  if (device !== undefined) return `${device.driver} answers from outside of what is recorded: leave it out`;
  const disk = options.find((option) => isUnnamedDisk(option));
  if (disk === undefined) return null;
  return `write the disk ${disk.value ?? ''} as -drive if=none,id=NAME,… and -device virtio-blk-pci,drive=NAME, so that it can be recorded`;
}

function vcpuCount(options: readonly QemuOption[]): number {
  const pairs = parseOptions(findLastValue(options, 'smp') ?? '1', 'cpus');
  const parts = ['sockets', 'dies', 'cores', 'threads'].map((name) => Number(findOption(pairs, name) ?? 1));
  return Number(findOption(pairs, 'cpus') ?? parts.reduce((product, part) => product * part, 1));
}

function isUnnamedDisk({ name, value }: QemuOption): boolean {
  if (/^(?:disk|hd[a-d]|cdrom|fd[ab]|sd|mtdblock|pflash|blockdev)$/.test(name)) return true;
  const pairs = name === 'drive' ? parseOptions(value ?? '') : null;
  return pairs !== null && (findOption(pairs, 'if') !== 'none' || findOption(pairs, 'id') === null);
}

/** A drive goes on under its name, through blkreplay; what is written to it is lost, so that a replay finds it as it was. */
function planOption({ name, value }: QemuOption, index: number): readonly string[] {
  const flags = value === null ? [`-${name}`] : [`-${name}`, value];
  const pairs = parseOptions(value ?? '', 'type');
  const id = findOption(pairs, 'id');
  if (name === 'netdev' && id !== null) return [...flags, '-object', `filter-replay,id=unidbg-rr-net${index},netdev=${id}`];
  if (name !== 'drive' || id === null) return flags;
  const inner = `unidbg-rr-disk${index}`;
  const kept = parseOptions(value ?? '').filter(([key]) => key !== 'id' && key !== 'snapshot' && key !== 'if');
  const file = [...kept, ['if', 'none'] as const, ['snapshot', 'on'] as const, ['id', inner] as const]
    .map(([key, text]) => `${key}=${escaped(text)}`)
    .join(',');
  return ['-drive', file, '-drive', `driver=blkreplay,if=none,image=${inner},id=${id}`];
}

function escaped(text: string): string {
  return text.replaceAll(',', ',,');
}
