// What every opened target has, whatever it is read from: the running VM (live.ts) and the dump (dump/).

import type { Diagnostic } from '../model/diagnostic.ts';
import type { Machine } from '../model/machine.ts';
import type { Target } from '../model/target.ts';
import type { VmState } from '../qemu/vm-status.ts';

/** What is known of a guest as soon as it is opened. */
export interface TargetFacts {
  readonly name: string;
  readonly machine: Machine;
  readonly memoryBytes: number | null;
  readonly vcpus: number;
  /** How guest memory is read and why not faster: one sentence. Null = it cannot be. */
  readonly memoryReader: string | null;
}

/** A target that owns what it is read through. */
export interface OpenTarget extends Target {
  readonly facts: TargetFacts;
  /** Its memory is known by virtual address only (a core of a process): there is no physical memory to look into. */
  readonly isVirtual: boolean;
  /** What the VM does as last heard; of a dump, what it did when it was made. */
  state(): VmState;
  /** How memory is read, why not faster, what else is in doubt. */
  describe(): readonly Diagnostic[];
  /** Lets go of everything. A running guest goes on as it was. */
  close(): void;
}
