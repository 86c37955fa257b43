// Finds running QEMUs in the process table, and one of them by name or pid.

import { basename, extname } from 'node:path';
import { UnidbgError } from '../../model/error.ts';
import { judgeCapabilities } from './capabilities.ts';
import { readChardevs } from './chardevs.ts';
import { findLastValue, findProgram, hasOption, parseCommandLine } from './command-line.ts';
import { findGdbstub, findMemoryBackend, machineOption, readConsoles, readMonitors, readVirtioPorts } from './devices.ts';
import { findManager, readOpsInstances } from './instances.ts';
import {
  findAccelerator,
  findDisks,
  findGuestName,
  findMachineOfBinary,
  findMemoryBytes,
  getVcpuCount,
} from './machine-facts.ts';
import { findExecutable, findOwner, findWorkingDirectory, listPids, readArguments, readUsers, viewProcess } from './proc.ts';
import type { VmRecord } from './record.ts';

/** All running QEMUs that may be seen, by pid. Takes some ms; opens no socket; never throws. */
export function findVms(): VmRecord[] {
  const users = readUsers();
  const found = listPids().flatMap((pid) => {
    const argv = readArguments(pid);
    const program = argv === null ? -1 : findProgram(argv);
    return argv === null || program < 0 ? [] : [{ pid, argv: argv.slice(program), uid: findOwner(pid) ?? -1 }];
  });
  const homes = [process.env['OPS_HOME'], process.env['HOME'], ...found.map(({ uid }) => users.get(uid)?.home)];
  const opsNames = readOpsInstances(homes.filter((home) => home !== undefined));
  return found.map(({ pid, argv, uid }) =>
    describeVm(pid, uid, users.get(uid)?.name ?? String(uid), argv, opsNames.get(pid) ?? null),
  );
}

function describeVm(pid: number, uid: number, user: string, argv: readonly string[], opsName: string | null): VmRecord {
  const options = parseCommandLine(argv.slice(1));
  const view = viewProcess(pid, hasOption(options, 'daemonize'));
  const chardevs = readChardevs(options, view);
  const kernel = findLastValue(options, 'kernel');
  const disks = findDisks(options).map((path) => view.resolve(path));
  const manager = findManager(argv);
  const record: Omit<VmRecord, 'sees'> = {
    pid,
    uid,
    user,
    ...nameVm(pid, findGuestName(options), opsName, manager, kernel ?? disks[0] ?? null),
    argv,
    cwd: findWorkingDirectory(pid),
    binary: programFile(pid, argv[0] ?? ''),
    machine: findMachineOfBinary(argv[0] ?? ''),
    machineType: machineOption(options, 'type'),
    accelerator: findAccelerator(options, argv[0] ?? ''),
    memoryBytes: findMemoryBytes(options),
    vcpus: getVcpuCount(options),
    kernel: kernel === null ? null : view.resolve(kernel),
    append: findLastValue(options, 'append'),
    disks,
    monitors: readMonitors(options, chardevs, view),
    gdbstub: findGdbstub(options, chardevs, view),
    consoles: readConsoles(options, chardevs, view),
    virtioPorts: readVirtioPorts(options, chardevs),
    memoryBackend: findMemoryBackend(options, view),
    managedBy: opsName === null ? manager : 'ops',
  };
  return { ...record, sees: judgeCapabilities(record) };
}

/** The program's file, unless it was started through a dynamic loader: then the loader is the program file. */
function programFile(pid: number, word: string): string {
  const file = findExecutable(pid);
  return file === null || findProgram([file]) < 0 ? word : file;
}

function nameVm(
  pid: number,
  option: string | null,
  opsName: string | null,
  manager: 'kraft' | 'libvirt' | null,
  image: string | null,
): Pick<VmRecord, 'name' | 'namedBy'> {
  if (option !== null) return { name: option, namedBy: manager ?? 'option' };
  if (opsName !== null) return { name: opsName, namedBy: 'ops' };
  if (image !== null) return { name: basename(image), namedBy: 'image' };
  return { name: String(pid), namedBy: 'pid' };
}

/**
 * The one VM called `nameOrPid`: its pid, its name, or its image's name without the extension. Throws TARGET_NOT_FOUND or
 * TARGET_AMBIGUOUS, both of which list what there is.
 */
export function findVm(nameOrPid: string, vms: readonly VmRecord[] = findVms()): VmRecord {
  const byPid = vms.filter((vm) => String(vm.pid) === nameOrPid);
  const byName = vms.filter((vm) => vm.name === nameOrPid);
  const byStem = vms.filter((vm) => basename(vm.name, extname(vm.name)) === nameOrPid);
  const found = [byPid, byName, byStem].find((candidates) => candidates.length > 0) ?? [];
  if (found.length === 1) return found[0]!;
  if (found.length > 1) {
    throw new UnidbgError(
      'TARGET_AMBIGUOUS',
      `${found.length} running QEMUs are called "${nameOrPid}"; say which by its pid: ${listVms(found)}`,
    );
  }
  const others = vms.length === 0 ? 'no QEMU that you may see is running' : `running are: ${listVms(vms)}`;
  throw new UnidbgError('TARGET_NOT_FOUND', `no running QEMU is called "${nameOrPid}" or has this pid; ${others}`);
}

function listVms(vms: readonly VmRecord[]): string {
  return vms.map((vm) => `${vm.name} (pid ${vm.pid}, ${vm.user})`).join(', ');
}
