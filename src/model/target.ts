// The seam: analysis sees a guest only through a Target, be it a live VM, a stub, a dump or a recording.

import type { Address } from './address.ts';
import type { Machine } from './machine.ts';
import type { Registers, VcpuRegisters } from './registers.ts';

/** Where the bytes come from. `rsp` implies that looking stops the guest. */
export type TargetKind = 'live' | 'rsp' | 'dump' | 'log' | 'replay';

/** A guest that can be looked at. */
export interface Target {
  readonly kind: TargetKind;
  readonly machine: Machine;
  /** vCPU numbers, from 0. */
  vcpus(): readonly number[];
  /** Registers of one vCPU. Throws REGISTERS_UNREADABLE. */
  registers(vcpu: number): Promise<Registers>;
  /** All vCPUs' registers of one moment. Throws REGISTERS_UNREADABLE. */
  allRegisters(): Promise<readonly VcpuRegisters[]>;
  /**
   * A snapshot of guest-virtual memory under one address space: reads through it see each page at one moment only.
   * Make one per walk; it caches pages and must not be kept.
   */
  memory(space: Registers): AddressSpace;
}

/** Reads guest-virtual memory of one address space. */
export interface AddressSpace {
  /**
   * `length` bytes at `address`, synchronously, or null when they are not mapped or not readable. Throws `PageAbsent` where
   * the page must first be fetched; only code run inside `walk` may meet that.
   */
  read(address: Address, length: number): Uint8Array | null;
  /**
   * Runs a synchronous reading function to its end: whenever it needs a page that is not here yet the page is fetched and
   * the function runs again, so it must be pure apart from `read`. Readers that are synchronous themselves run it once.
   */
  walk<T>(body: (memory: Memory) => T): Promise<T>;
}

/** The reading half of an AddressSpace: what unwinders, typed reads and probes are given. */
export type Memory = Pick<AddressSpace, 'read'>;
