// What a dump's format is: one file here, one line in formats.ts.

import type { ByteSource } from '../../bytes/byte-source.ts';
import type { PhysicalReader } from '../../memory/physical.ts';
import type { Address } from '../../model/address.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import type { Machine } from '../../model/machine.ts';
import type { VcpuRegisters } from '../../model/registers.ts';
import type { Memory } from '../../model/target.ts';

/** Guest memory as a dump holds it: guest-physical, translated by the guest's own page tables, or already by virtual address. */
export type DumpMemory =
  | {
      readonly kind: 'physical';
      readonly reader: PhysicalReader;
      /** RAM of the guest, bytes, as far as the dump says. */
      readonly bytes: number;
    }
  | { readonly kind: 'virtual'; readonly memory: Memory; readonly bytes: number };

/** What a file gave. */
export interface DumpContents {
  /** For people: `QEMU ELF dump`, `kdump-compressed (zstd)`. */
  readonly title: string;
  readonly machine: Machine;
  /**
   * All that the dump has of each vCPU, by gdb's names, with `cr0 cr3 cr4 efer` where memory is physical (x86). Empty: it has none, and
   * memory can be read only when page tables are found otherwise.
   */
  readonly vcpus: readonly VcpuRegisters[];
  readonly memory: DumpMemory;
  /** Why it is not whole (cut off, a write that failed, pages left out); null when it is. */
  readonly partial: string | null;
  /** What else is in doubt: what was mended and why. */
  readonly diagnostics: readonly Diagnostic[];
  /** What the dump says is loaded where: the program first, as far as known. Cores of processes only. */
  readonly loaded?: readonly LoadedFile[];
  /** The signal that ended the process; null when it was alive (gcore stops it). Cores of processes only. */
  readonly signal?: DumpSignal | null;
  /** Closes what the format opened beside the dump's own file. */
  readonly close?: () => void;
}

/** An ELF file in the memory of a process. */
export interface LoadedFile {
  /** As the process knew it; a bare name where the dump has no path. */
  readonly path: string;
  /** Where its first byte lies. */
  readonly start: Address;
  /** Run-time minus link addresses; null where its headers are not in the dump: then `entry` tells it. */
  readonly bias: bigint | null;
  /** GNU build-id, lower-case hex; null where it has none or it is not in the dump. */
  readonly buildId: string | null;
  /** Run-time address of the program's entry point (AT_ENTRY): minus `e_entry` it is the bias. Null for all but the program. */
  readonly entry: Address | null;
}

/** A signal that ends a process. */
export interface DumpSignal {
  /** Its number on the machine: 11 = SIGSEGV. */
  readonly number: number;
  /** `si_code`: above 0 = the kernel's own reason. */
  readonly code: number;
  /** Index of the thread among `vcpus`. */
  readonly vcpu: number;
  /** Null where the signal has none, or was sent by somebody. */
  readonly faultAddress: Address | null;
}

/** How to read a dump where the file alone does not say. */
export interface DumpOptions {
  /** `info registers -a` of the guest as text (`--registers FILE`), for dumps without registers. */
  readonly registersText: string | null;
  /**
   * What stands at which guest-virtual address, from the images: page tables of a dump without registers are recognised by it.
   * Empty = not known.
   */
  readonly landmarks: readonly Landmark[];
  /** Where raw memory begins in guest-physical space (`--base-address`); 0 unless told. */
  readonly physicalBase: bigint;
  /** Only this format (`--dump-format`), where the file's beginning does not tell it. */
  readonly format: string | null;
}

/** Bytes of an image at the address that it was linked to. */
export interface Landmark {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

/** One format. */
export interface DumpFormat {
  /** As `--dump-format` takes it: `elf`, `kdump`, `raw`, `xen`. */
  readonly name: string;
  /** What a user would call such files, for `--help` and errors. */
  readonly title: string;
  /** Whether the file is one, by its first bytes (up to 64 KiB) and, where they are not enough, the rest. Never throws. */
  readonly recognise: (head: Uint8Array, source: ByteSource) => boolean;
  /** Reads its tables, not its pages. Throws DUMP_MALFORMED, DUMP_UNSUPPORTED, FILE_UNREADABLE with what, where and what to do. */
  readonly open: (source: ByteSource, options: DumpOptions) => DumpContents;
}
