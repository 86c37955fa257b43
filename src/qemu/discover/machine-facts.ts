// What a QEMU command line says of the machine: architecture, accelerator, RAM, vCPUs, what it boots, its name.

import { basename } from 'node:path';
import type { Machine } from '../../model/machine.ts';
import { findLastValue, findValues, hasOption, type QemuOption } from './command-line.ts';
import { machineOption } from './devices.ts';
import { findOption, parseOptionSize, parseOptions } from './options.ts';

/** QEMU's default RAM on pc, q35, microvm and virt (hw/core/machine.c). */
const DEFAULT_MEMORY_BYTES = 128 * 1024 * 1024;

const BINARIES: Readonly<Record<string, Machine>> = {
  'qemu-system-x86_64': 'x86_64',
  'qemu-system-i386': 'i386',
  'qemu-system-aarch64': 'aarch64',
  'qemu-system-riscv64': 'riscv64',
};

/** The instruction set of a QEMU program by its file name; `kvm` and `qemu-kvm` emulate the host. Null when unknown to unidbg. */
export function findMachineOfBinary(path: string): Machine | null {
  const name = basename(path);
  const known = BINARIES[name];
  if (known !== undefined) return known;
  if (name !== 'kvm' && name !== 'qemu-kvm') return null;
  return process.arch === 'x64' ? 'x86_64' : process.arch === 'arm64' ? 'aarch64' : null;
}

/** The accelerator asked for first; null when none was, and QEMU chooses (TCG, but kvm for a program called so). */
export function findAccelerator(options: readonly QemuOption[], binary: string): string | null {
  const accel = findLastValue(options, 'accel');
  const named = accel === null ? machineOption(options, 'accel') : findOption(parseOptions(accel, 'accel'), 'accel');
  if (named !== null) return named;
  if (hasOption(options, 'enable-kvm') || /(^|-)kvm$/.test(basename(binary))) return 'kvm';
  return null;
}

/** Bytes of RAM by `-m` (or `-machine memory.size=`), or QEMU's default; null when it makes no sense. */
export function findMemoryBytes(options: readonly QemuOption[]): number | null {
  const given = findLastValue(options, 'm');
  const size = given === null ? machineOption(options, 'memory.size') : findOption(parseOptions(given, 'size'), 'size');
  return size === null ? DEFAULT_MEMORY_BYTES : parseOptionSize(size, 'M');
}

/** Number of vCPUs by `-smp`: `cpus`, or the product of the topology, or 1. */
export function getVcpuCount(options: readonly QemuOption[]): number {
  const text = findLastValue(options, 'smp');
  if (text === null) return 1;
  const pairs = parseOptions(text, 'cpus');
  const number = (key: string): number => Math.max(1, Number(findOption(pairs, key) ?? 1) || 1);
  if (findOption(pairs, 'cpus') !== null) return number('cpus');
  return ['sockets', 'dies', 'clusters', 'cores', 'threads'].reduce((product, key) => product * number(key), 1);
}

/** Disk image files: -drive, -hda…, -cdrom, -blockdev, bare words. */
export function findDisks(options: readonly QemuOption[]): string[] {
  const drives = findValues(options, 'drive').map((text) => findOption(parseOptions(text), 'file'));
  const nodes = findValues(options, 'blockdev').map((text) => {
    const pairs = parseOptions(text, 'driver');
    return findOption(pairs, 'filename') ?? findOption(pairs, 'file.filename');
  });
  const plain = findValues(options, 'hda', 'hdb', 'hdc', 'hdd', 'cdrom', 'disk');
  return [...new Set([...drives, ...nodes, ...plain].filter((path) => path !== null && path !== ''))] as string[];
}

/** `-name guest=…`; null without one. */
export function findGuestName(options: readonly QemuOption[]): string | null {
  const text = findLastValue(options, 'name');
  return text === null ? null : findOption(parseOptions(text, 'guest'), 'guest');
}
