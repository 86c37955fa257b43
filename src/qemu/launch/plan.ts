// `unidbg run|ci -- qemu-system-x86_64 …`: the user's command line plus what attaching and post-mortem need. What the guest
// sees stays as it was, but for a pvpanic device. All flags are those of QEMU 6.0 and later.

import { basename, join } from 'node:path';
import { UnidbgError } from '../../model/error.ts';
import { findLastValue, findProgram, hasOption, parseCommandLine, type QemuOption } from '../discover/command-line.ts';
import { deviceOptions, machineOption } from '../discover/devices.ts';
import { findMemoryBytes } from '../discover/machine-facts.ts';
import { findOption, parseOptions } from '../discover/options.ts';
import type { Endpoint } from '../qmp/endpoint.ts';
import { type Addition, captureConsoles, type PlannedConsole } from './consoles.ts';

const MIB = 1024 ** 2;

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
  /** QEMU waits before the guest's first instruction until we let it go. */
  readonly isHeld: boolean;
  /** The guest can end QEMU at once, with a status of its own. */
  readonly hasDebugExit: boolean;
}

/** What is wanted of a launch beside being able to attach. */
export interface LaunchWishes {
  /** To be held before the guest's first instruction (`-S`), so that nothing of its life is missed. */
  readonly hold?: boolean;
  /** So much memory, in bytes, whatever `-m` says. */
  readonly memoryBytes?: number | null;
  /** More flags, put last. */
  readonly extra?: readonly string[];
  /** Somebody else's program starts QEMU: it may detach it, and let it go itself. */
  readonly byLauncher?: boolean;
}

/**
 * Plans a launch; `folder` is private to us. Throws USAGE when `argv` starts no QEMU system emulator, or one that detaches itself, or
 * waits for somebody else, or whose memory cannot be chosen.
 */
export function planLaunch(argv: readonly string[], folder: string, wishes: LaunchWishes = {}): LaunchPlan {
  if (findProgram(argv) !== 0) {
    throw new UnidbgError('USAGE', `"${argv[0] ?? ''}" is no QEMU system emulator: write unidbg run -- qemu-system-x86_64 …`);
  }
  const given = parseCommandLine(argv.slice(1));
  const { hold = false, extra = [], byLauncher = false } = wishes;
  if (hasOption(given, 'daemonize') && !byLauncher)
    throw new UnidbgError('USAGE', 'leave -daemonize out: unidbg stays beside the QEMU it starts');
  const waits = hasOption(given, 'S', 'preconfig', 'incoming');
  if (waits && hold && !byLauncher)
    throw new UnidbgError('USAGE', 'leave -S (-preconfig, -incoming) out: nobody would let the guest go');
  const isHeld = hold && !waits;
  const options = withMemory(given, wishes.memoryBytes ?? null);
  const socket = join(folder, 'qmp.sock');
  const control: Addition = {
    flags: ['-qmp', `unix:${socket},server=on,wait=off`],
    why: 'a QMP socket in a private folder, to look without stopping',
  };
  const consoles = captureConsoles(options, folder, isX86(argv[0]!));
  const added = [
    ...[control, planMemory(options, argv[0]!), planPanicDevice(options, argv[0]!), planActions(options)],
    isHeld ? { flags: ['-S'], why: 'the guest is let go when it is being looked at' } : null,
  ].filter((addition) => addition !== null);
  return {
    argv: [argv[0]!, ...consoles.argv, ...added.flatMap(({ flags }) => flags), ...extra],
    additions: [...added, ...consoles.additions],
    qmp: { kind: 'unix', path: socket },
    socket,
    consoles: consoles.consoles,
    staysWhenDead: added.some(({ flags }) => flags.includes('-action')) || hasOption(options, 'no-shutdown'),
    isHeld,
    hasDebugExit: hasDebugExit(options),
  };
}

/** Another size of memory, where the command line leaves its place to QEMU. */
function withMemory(options: readonly QemuOption[], bytes: number | null): readonly QemuOption[] {
  if (bytes === null) return options;
  if (isMemoryPlaced(options))
    throw new UnidbgError(
      'USAGE',
      "the command line says where the guest's memory is, so its size cannot be chosen: leave that out",
    );
  return [...options.filter(({ name }) => name !== 'm'), { name: 'm', value: `${bytes / MIB}M` }];
}

function isMemoryPlaced(options: readonly QemuOption[]): boolean {
  return machineOption(options, 'memory-backend') !== null || hasOption(options, 'mem-path', 'numa', 'readconfig');
}

/** RAM as a memfd. Only where QEMU has one RAM whose size we know for sure and the user placed none of it. */
function planMemory(options: readonly QemuOption[], program: string): Addition | null {
  const bytes = findMemoryBytes(options);
  if (isMemoryPlaced(options) || bytes === null || bytes === 0 || bytes % 4096 !== 0 || !hasStandardMachine(options, program))
    return null;
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
