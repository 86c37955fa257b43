// Guest-virtual → guest-physical. x86: Intel SDM vol. 3A ch. 5 (paging off, 32-bit, PAE, 4-level, 5-level; 4 KiB, 2 MiB,
// 4 MiB and 1 GiB pages). RISC-V privileged spec §10.3–10.5 (Sv39, Sv48, Sv57). Permissions are not checked: what is mapped is read.

import type { Address, PhysicalAddress } from '../model/address.ts';
import { UnidbgError } from '../model/error.ts';
import type { Registers } from '../model/registers.ts';

/** Reads a page-table entry of 4 or 8 bytes; null where there is no RAM. */
export type ReadEntry = (address: PhysicalAddress, size: 4 | 8) => bigint | null;

/** The physical address behind `address`, or null when it is not mapped. */
export type Translate = (address: Address, readEntry: ReadEntry) => PhysicalAddress | null;

/**
 * The translation that `registers` have switched on. Throws REGISTERS_UNREADABLE when they lack what says so, and on
 * aarch64, whose translation registers QEMU does not show.
 */
export function getTranslation(registers: Registers): Translate {
  switch (registers.machine) {
    case 'x86_64':
    case 'i386':
      return x86Translation(registers);
    case 'riscv64':
      return riscvTranslation(registers);
    case 'aarch64':
      throw new UnidbgError(
        'REGISTERS_UNREADABLE',
        'guest-virtual memory of an aarch64 guest cannot be read: QEMU does not show TTBR0_EL1 and TCR_EL1 in `info registers`',
      );
  }
}

/** The same registers with translation switched off: what is read through them is guest-physical memory. */
export function withoutPaging({ machine, values }: Registers): Registers {
  const off: Record<string, bigint> = machine === 'riscv64' ? { satp: 0n } : { cr0: (values.cr0 ?? 0n) & ~(1n << 31n) };
  return { machine, values: { ...values, ...off } };
}

const PRESENT = 1n;
const LARGE = 1n << 7n;
const ADDRESS_MASK = 0x000f_ffff_ffff_f000n;

function x86Translation({ values }: Registers): Translate {
  const { cr0, cr3, cr4 } = values;
  if (cr0 === undefined || cr3 === undefined || cr4 === undefined) {
    throw new UnidbgError(
      'REGISTERS_UNREADABLE',
      'these registers have no CR0, CR3 and CR4: guest-virtual memory cannot be read',
    );
  }
  const pagingOn = (cr0 & (1n << 31n)) !== 0n;
  if (!pagingOn) return (address) => (address < 1n << 32n ? address : null);
  const longMode = ((values['efer'] ?? 0n) & (1n << 10n)) !== 0n;
  const root = cr3 & ADDRESS_MASK;
  if (longMode) return longTranslation(root, (cr4 & (1n << 12n)) !== 0n ? 5 : 4);
  if ((cr4 & (1n << 5n)) !== 0n) return paeTranslation(cr3 & 0xffff_ffe0n);
  return legacyTranslation(root, (cr4 & (1n << 4n)) !== 0n);
}

function longTranslation(root: PhysicalAddress, levels: 4 | 5): Translate {
  const virtualBits = levels === 5 ? 57 : 48;
  return (address, readEntry) => {
    if (!isCanonical(address, virtualBits)) return null;
    let table = root;
    for (let level: number = levels; level >= 1; level -= 1) {
      const shift = BigInt(12 + 9 * (level - 1));
      const entry = readEntry(table + ((address >> shift) & 511n) * 8n, 8);
      if (entry === null || (entry & PRESENT) === 0n) return null;
      // 1 GiB at level 3, 2 MiB at level 2. At levels 4 and 5 the bit is reserved: such an entry maps nothing.
      const isLeaf = level === 1 || (entry & LARGE) !== 0n;
      if (isLeaf && level > 3) return null;
      if (isLeaf) return leaf(entry & ADDRESS_MASK, address, shift);
      table = entry & ADDRESS_MASK;
    }
    return null;
  };
}

function paeTranslation(root: PhysicalAddress): Translate {
  return (address, readEntry) => {
    if (address >= 1n << 32n) return null;
    const pointer = readEntry(root + (address >> 30n) * 8n, 8);
    if (pointer === null || (pointer & PRESENT) === 0n) return null;
    const directory = readEntry((pointer & ADDRESS_MASK) + ((address >> 21n) & 511n) * 8n, 8);
    if (directory === null || (directory & PRESENT) === 0n) return null;
    if ((directory & LARGE) !== 0n) return leaf(directory & ADDRESS_MASK, address, 21n);
    const entry = readEntry((directory & ADDRESS_MASK) + ((address >> 12n) & 511n) * 8n, 8);
    return entry === null || (entry & PRESENT) === 0n ? null : leaf(entry & ADDRESS_MASK, address, 12n);
  };
}

function legacyTranslation(root: PhysicalAddress, largePages: boolean): Translate {
  return (address, readEntry) => {
    if (address >= 1n << 32n) return null;
    const directory = readEntry(root + (address >> 22n) * 4n, 4);
    if (directory === null || (directory & PRESENT) === 0n) return null;
    // PSE-36: bits 13–20 of a 4 MiB entry are physical address bits 32–39.
    if (largePages && (directory & LARGE) !== 0n) {
      return leaf((directory & 0xffc0_0000n) | (((directory >> 13n) & 0xffn) << 32n), address, 22n);
    }
    const entry = readEntry((directory & 0xffff_f000n) + ((address >> 12n) & 1023n) * 4n, 4);
    return entry === null || (entry & PRESENT) === 0n ? null : leaf(entry & 0xffff_f000n, address, 12n);
  };
}

const SATP_LEVELS: Readonly<Record<string, number>> = { '8': 3, '9': 4, '10': 5 };

function riscvTranslation({ values }: Registers): Translate {
  const { satp } = values;
  if (satp === undefined)
    throw new UnidbgError('REGISTERS_UNREADABLE', 'these registers have no satp: guest-virtual memory cannot be read');
  const mode = satp >> 60n;
  if (mode === 0n) return (address) => address;
  const levels = SATP_LEVELS[mode.toString()];
  if (levels === undefined) throw new UnidbgError('REGISTERS_UNREADABLE', `satp mode ${mode} is not Sv39, Sv48 or Sv57`);
  const root = (satp & ((1n << 44n) - 1n)) << 12n;
  return (address, readEntry) => {
    if (!isCanonical(address, 12 + 9 * levels)) return null;
    let table = root;
    for (let level = levels; level >= 1; level -= 1) {
      const shift = BigInt(12 + 9 * (level - 1));
      const entry = readEntry(table + ((address >> shift) & 511n) * 8n, 8);
      if (entry === null || (entry & PRESENT) === 0n) return null;
      const target = ((entry >> 10n) & ((1n << 44n) - 1n)) << 12n;
      // A leaf has R or X set.
      if ((entry & 0b1010n) !== 0n) return leaf(target, address, shift);
      table = target;
    }
    return null;
  };
}

/** The page's base cut to the page size (PAT and reserved bits lie below it) plus the offset inside it. */
function leaf(base: PhysicalAddress, address: Address, shift: bigint): PhysicalAddress {
  const offsetMask = (1n << shift) - 1n;
  return (base & ~offsetMask) | (address & offsetMask);
}

function isCanonical(address: Address, bits: number): boolean {
  return BigInt.asUintN(64, BigInt.asIntN(bits, address)) === address;
}
