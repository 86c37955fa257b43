// What is known of a running QEMU from its process alone: no socket is opened, nothing is asked.

import type { Machine } from '../../model/machine.ts';
import type { Endpoint } from '../qmp/endpoint.ts';

/** How a character device ends on the host. `path`s are absolute. */
export type CharacterBackend =
  | { readonly kind: 'file'; readonly path: string; readonly append: boolean }
  /** A terminal QEMU made; `path` is null until asked (`info chardev` says `pty:/dev/pts/N`). */
  | { readonly kind: 'pty'; readonly path: string | null }
  | { readonly kind: 'socket'; readonly endpoint: Endpoint; readonly server: boolean }
  | { readonly kind: 'pipe'; readonly path: string }
  /** QEMU's own stdin/stdout. `target` is what its fd 1 is: a regular file (followed from its first byte), a pipe, a tty. */
  | {
      readonly kind: 'stdio';
      readonly target: 'file' | 'pipe' | 'tty' | 'socket' | 'null' | 'unknown';
      readonly path: string | null;
    }
  | { readonly kind: 'none' }
  | { readonly kind: 'other'; readonly text: string };

/** A guest console: its device in the guest, the host end, and QEMU's own copy of the output where it writes one. */
export interface VmConsole {
  /** `serial0`, `parallel0`, `debugcon`, `virtconsole hvc0`, … */
  readonly name: string;
  /** QEMU's chardev id; what QMP `chardev-change` takes. */
  readonly chardev: string | null;
  readonly backend: CharacterBackend;
  readonly logfile: string | null;
}

/** A virtio-serial port: a channel by name between guest and host. */
export interface VirtioPort {
  readonly name: string;
  readonly chardev: string | null;
  readonly backend: CharacterBackend;
}

/** A monitor of this QEMU. `endpoint` is null where it is no socket (`-monitor stdio`, a pty, a multiplexed console). */
export interface VmMonitor {
  readonly kind: 'qmp' | 'hmp';
  readonly endpoint: Endpoint | null;
  /** As on the command line, for messages. */
  readonly text: string;
}

/** A thing one would like to see of a VM: available how, or which flag would give it. */
export interface Capability {
  readonly name: 'control' | 'memory' | 'console' | 'symbols' | 'gdbstub';
  readonly available: boolean;
  readonly how: string;
}

/** A running QEMU. */
export interface VmRecord {
  readonly pid: number;
  readonly uid: number;
  readonly user: string;
  readonly name: string;
  /** Who named it: `-name`, the instance file of a tool, the image's file name, or nobody (the pid). */
  readonly namedBy: 'option' | 'ops' | 'kraft' | 'libvirt' | 'image' | 'pid';
  readonly argv: readonly string[];
  readonly cwd: string | null;
  readonly binary: string;
  /** Null: an instruction set unidbg does not know. */
  readonly machine: Machine | null;
  readonly machineType: string | null;
  readonly accelerator: string | null;
  readonly memoryBytes: number | null;
  readonly vcpus: number;
  readonly kernel: string | null;
  readonly append: string | null;
  readonly disks: readonly string[];
  readonly monitors: readonly VmMonitor[];
  readonly gdbstub: Endpoint | null;
  readonly consoles: readonly VmConsole[];
  readonly virtioPorts: readonly VirtioPort[];
  /** The memory backend that is the guest's RAM; null = QEMU's own private memory. */
  readonly memoryBackend: {
    readonly id: string;
    readonly kind: string;
    readonly path: string | null;
    readonly share: boolean;
  } | null;
  /** `ops`, `kraft`, `libvirt`: whose instance it is. */
  readonly managedBy: string | null;
  readonly sees: readonly Capability[];
}
