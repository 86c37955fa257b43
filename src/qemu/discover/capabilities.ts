// For `ls` and `doctor`: what can be seen of a VM, and which flag would show the rest.

import { accessSync, closeSync, constants, existsSync, openSync } from 'node:fs';
import type { Endpoint } from '../qmp/endpoint.ts';
import { formatEndpoint } from '../qmp/endpoint.ts';
import type { Capability, CharacterBackend, VmConsole, VmRecord } from './record.ts';

const QMP_FLAG = '-qmp unix:/path/to/qmp.sock,server=on,wait=off';
const MEMORY_FLAGS = '-object memory-backend-memfd,id=mem,share=on,size=… -machine memory-backend=mem';

/** Judges a record as far as that goes without opening a socket. */
export function judgeCapabilities(vm: Omit<VmRecord, 'sees'>): Capability[] {
  const control = judgeControl(vm);
  return [control, judgeMemory(vm, control.available), judgeConsole(vm), judgeSymbols(vm), judgeGdbstub(vm, control.available)];
}

function judgeControl(vm: Omit<VmRecord, 'sees'>): Capability {
  const sockets = vm.monitors.filter((monitor) => monitor.endpoint !== null);
  const usable = sockets.find(({ endpoint }) => endpoint !== null && mayConnect(endpoint));
  if (usable?.endpoint !== undefined && usable.endpoint !== null) {
    const where = formatEndpoint(usable.endpoint);
    if (vm.managedBy === 'libvirt')
      return no('control', `${where} is held by libvirt; a second one helps: ${QMP_FLAG} through <qemu:commandline>`);
    return yes(
      'control',
      usable.kind === 'qmp' ? `QMP at ${where}` : `human monitor at ${where} (no events; better: ${QMP_FLAG})`,
    );
  }
  const refused = sockets[0]?.endpoint;
  if (refused !== undefined && refused !== null) {
    const gone = refused.kind === 'unix' && !existsSync(refused.path);
    const why = gone
      ? 'is not there (deleted, or in a folder closed to you)'
      : `may not be opened by you: it belongs to ${vm.user}`;
    return no('control', `${formatEndpoint(refused)} ${why}`);
  }
  return no('control', `no monitor socket; start it with ${QMP_FLAG}`);
}

function judgeMemory(vm: Omit<VmRecord, 'sees'>, controlled: boolean): Capability {
  if (!controlled) return no('memory', `needs a monitor: ${QMP_FLAG}`);
  const shared = vm.memoryBackend?.share === true;
  if (shared && (mayOpen(`/proc/${vm.pid}/maps`) || mayOpen(vm.memoryBackend.path ?? ''))) {
    return yes('memory', `shared RAM (memory-backend-${vm.memoryBackend.kind}), about 1 µs a page`);
  }
  if (mayOpen(`/proc/${vm.pid}/mem`)) return yes('memory', `/proc/${vm.pid}/mem, about 5 µs a page`);
  return yes('memory', `through the monitor, about 1 ms a page (/proc/${vm.pid}/mem is not permitted; faster: ${MEMORY_FLAGS})`);
}

function judgeConsole(vm: Omit<VmRecord, 'sees'>): Capability {
  for (const console of vm.consoles) {
    const how = describeConsole(console);
    if (how !== null) return yes('console', how);
  }
  const first = vm.consoles[0];
  const why =
    first === undefined
      ? 'no serial console'
      : `${first.name} goes to ${describeBackend(first.backend)}, which only QEMU's user sees`;
  return no('console', `${why}; start it with -serial file:console.log, or -chardev …,logfile=console.log`);
}

/** How a console can be read from outside, or null when it cannot. */
function describeConsole(console: VmConsole): string | null {
  if (console.logfile !== null) return `${console.name}: ${console.logfile} (QEMU's logfile)`;
  const { backend } = console;
  if (backend.kind === 'file') return `${console.name}: ${backend.path}, from its first byte`;
  if (backend.kind === 'stdio' && backend.target === 'file' && backend.path !== null)
    return `${console.name}: ${backend.path} (QEMU's output is redirected there)`;
  if (backend.kind === 'socket' && backend.server)
    return `${console.name}: ${formatEndpoint(backend.endpoint)}, from now on, if nobody else is connected`;
  if (backend.kind === 'pty')
    return `${console.name}: ${backend.path ?? 'a pty (QEMU tells which)'}, from now on, if nobody else reads it`;
  return null;
}

function describeBackend(backend: CharacterBackend): string {
  if (backend.kind === 'stdio') return `QEMU's own output (a ${backend.target})`;
  if (backend.kind === 'socket') return formatEndpoint(backend.endpoint);
  return backend.kind === 'other' ? backend.text : backend.kind;
}

function judgeSymbols(vm: Omit<VmRecord, 'sees'>): Capability {
  if (vm.kernel === null) return no('symbols', 'it boots from a disk, not from an ELF file: give the kernel with --symbols ELF');
  if (!mayOpen(vm.kernel)) return no('symbols', `${vm.kernel} cannot be read: give the kernel with --symbols ELF`);
  return yes('symbols', `${vm.kernel}, as far as it is not stripped (--symbols ELF adds more)`);
}

function judgeGdbstub(vm: Omit<VmRecord, 'sees'>, controlled: boolean): Capability {
  if (vm.gdbstub !== null) return yes('gdbstub', formatEndpoint(vm.gdbstub));
  if (controlled) return yes('gdbstub', 'opened on demand through the monitor (gdbserver)');
  return no('gdbstub', 'start it with -gdb unix:/path/to/gdb.sock,server=on,wait=off');
}

function mayConnect(endpoint: Endpoint): boolean {
  if (endpoint.kind === 'tcp') return true;
  try {
    accessSync(endpoint.path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Opening is the only sure question: /proc/<pid>/mem shows its owner's mode bits, yet the ptrace rules decide. */
function mayOpen(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    return true;
  } catch {
    return false;
  }
}

function yes(name: Capability['name'], how: string): Capability {
  return { name, available: true, how };
}

function no(name: Capability['name'], how: string): Capability {
  return { name, available: false, how };
}
