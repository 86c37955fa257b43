// `unidbg run -- qemu-system-x86_64 …`: the user's command line plus what attaching and post-mortem need. What the guest
// sees stays as it was, but for a pvpanic device. All flags are those of QEMU 6.0 and later.

import { basename, join } from 'node:path';
import { UnidbgError } from '../../model/error.ts';
import { findLastValue, findProgram, hasOption, parseCommandLine, type QemuOption } from '../discover/command-line.ts';
import { deviceOptions, machineOption } from '../discover/devices.ts';
import { findMemoryBytes } from '../discover/machine-facts.ts';
import { findOption, parseOptions } from '../discover/options.ts';
import type { Endpoint } from '../qmp/endpoint.ts';
import { type Addition, captureConsoles, type PlannedConsole } from './consoles.ts';

/** How QEMU will be started. `argv[0]` is the program. */
export interface LaunchPlan {
  readonly argv: readonly string[];
  readonly additions: readonly Addition[];
  readonly qmp: Endpoint;
  /** Its path. */
  readonly socket: string;
  /** Files with the consoles from their first byte, the first serial port's first. */
  readonly consoles: readonly PlannedConsole[];
  /** QEMU stays, stopped, when the guest ends or panics: whoever started it must tell it to quit. */
  readonly staysWhenDead: boolean;
}

/** Plans a launch; `folder` is private to us. Throws USAGE when `argv` starts no QEMU system emulator, or one that detaches itself. */
export function planLaunch(argv: readonly string[], folder: string): LaunchPlan {
  if (findProgram(argv) !== 0) {
    throw new UnidbgError('USAGE', `"${argv[0] ?? ''}" is no QEMU system emulator: write unidbg run -- qemu-system-x86_64 …`);
  }
  const options = parseCommandLine(argv.slice(1));
  if (hasOption(options, 'daemonize'))
    throw new UnidbgError('USAGE', 'leave -daemonize out: unidbg run stays beside the QEMU it starts');
  const socket = join(folder, 'qmp.sock');
  const control: Addition = {
    flags: ['-qmp', `unix:${socket},server=on,wait=off`],
    why: 'a QMP socket in a private folder, to look without stopping',
  };
  const consoles = captureConsoles(options, folder, isX86(argv[0]!));
  const added = [control, planMemory(options, argv[0]!), planPanicDevice(options, argv[0]!), planActions(options)].filter(
    (addition) => addition !== null,
  );
  return {
    argv: [argv[0]!, ...consoles.argv, ...added.flatMap(({ flags }) => flags)],
    additions: [...added, ...consoles.additions],
    qmp: { kind: 'unix', path: socket },
    socket,
    consoles: consoles.consoles,
    staysWhenDead: added.some(({ flags }) => flags.includes('-action')) || hasOption(options, 'no-shutdown'),
  };
}

/** RAM as a memfd. Only where QEMU has one RAM whose size we know for sure and the user placed none of it. */
function planMemory(options: readonly QemuOption[], program: string): Addition | null {
  const placed = machineOption(options, 'memory-backend') !== null || hasOption(options, 'mem-path', 'numa', 'readconfig');
  const bytes = findMemoryBytes(options);
  if (placed || bytes === null || bytes === 0 || bytes % 4096 !== 0 || !hasStandardMachine(options, program)) return null;
  return {
    flags: ['-object', `memory-backend-memfd,id=unidbg-ram,share=on,size=${bytes}`, '-machine', 'memory-backend=unidbg-ram'],
    why: 'guest RAM as a shared memfd of the same size, so that a page is read in about 1 µs without asking QEMU',
  };
}

/** A guest that reports its panic there is paused instead of lost. Not beside isa-debug-exit: see planActions. */
function planPanicDevice(options: readonly QemuOption[], program: string): Addition | null {
  const has = deviceOptions(options).some(({ driver }) => driver.startsWith('pvpanic'));
  if (has || hasDebugExit(options) || !isX86(program) || !hasIsaBus(options) || hasOption(options, 'readconfig')) return null;
  return {
    flags: ['-device', 'pvpanic'],
    why: 'a pvpanic device (the one thing the guest can see of this): its panic becomes an event',
  };
}

/**
 * Keeps a dead guest readable. Never for a user of isa-debug-exit, whose exit status is the result: since QEMU 9 the device
 * asks for a shutdown, which `shutdown=pause` would hold back for ever.
 */
function planActions(options: readonly QemuOption[]): Addition | null {
  if (hasDebugExit(options)) return null;
  const own = parseOptions(findLastValue(options, 'action') ?? '').map(([key]) => key);
  if (hasOption(options, 'no-shutdown')) own.push('shutdown');
  if (hasOption(options, 'no-reboot')) own.push('reboot');
  const wanted = ['panic=pause', 'shutdown=pause', 'reboot=shutdown'].filter((action) => !own.includes(action.split('=')[0]!));
  if (wanted.length === 0) return null;
  return {
    flags: ['-action', wanted.join(',')],
    why: 'a guest that panics, ends or triple-faults stays in memory until it has been looked at',
  };
}

function hasDebugExit(options: readonly QemuOption[]): boolean {
  return deviceOptions(options).some(({ driver }) => driver === 'isa-debug-exit');
}

function isX86(program: string): boolean {
  return /^(qemu-system-(x86_64|i386)|qemu-kvm|kvm)$/.test(basename(program));
}

/** Machine types of which RAM can be a memory backend and defaults to 128 MiB. */
function hasStandardMachine(options: readonly QemuOption[], program: string): boolean {
  const type = machineOption(options, 'type');
  if (isX86(program)) return type === null || /^(pc|q35|microvm)(-|$)/.test(type);
  return (
    type !== null &&
    /^virt(-|$)/.test(type) &&
    findOption(parseOptions(findLastValue(options, 'm') ?? '', 'size'), 'size') !== null
  );
}

function hasIsaBus(options: readonly QemuOption[]): boolean {
  const type = machineOption(options, 'type');
  return type === null || /^(pc|q35)(-|$)/.test(type);
}
