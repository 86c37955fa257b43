// Guest-virtual memory under one set of paging registers: page walk + page cache over a physical reader. Each physical page
// is read once per space, so one walk sees it at one moment only; several pages may still be of several moments.

import { type Address, toUnsigned64 } from '../model/address.ts';
import type { Registers } from '../model/registers.ts';
import type { AddressSpace, Memory } from '../model/target.ts';
import { PageAbsent } from './page-absent.ts';
import { getTranslation, type ReadEntry, type Translate } from './page-walk.ts';
import type { PhysicalReader } from './physical.ts';

const PAGE_BYTES = 4096;
const PAGE_BITS = 12n;

/** Bounds of one space; the guest's data decides how much a walk asks for, and the guest is hostile. */
export interface SpaceLimits {
  /** Physical pages held, page tables included. Beyond it reads answer null. */
  readonly pages: number;
  /** Bytes of one read. Beyond it a read answers null. */
  readonly readBytes: number;
}

/** 64 MiB through a file, 4 MiB through the monitor (about 1 s). */
const SYNC_LIMITS: SpaceLimits = { pages: 16_384, readBytes: 16 * 1024 * 1024 };
const ASYNC_LIMITS: SpaceLimits = { pages: 1024, readBytes: 1024 * 1024 };

/** A fresh view of guest-virtual memory. Throws REGISTERS_UNREADABLE when `registers` do not say how addresses translate. */
export function createAddressSpace(
  reader: PhysicalReader,
  registers: Registers,
  limits: SpaceLimits = reader.readSync === null ? ASYNC_LIMITS : SYNC_LIMITS,
): AddressSpace {
  return new CachedSpace(reader, getTranslation(registers), limits);
}

class CachedSpace implements AddressSpace {
  private readonly reader: PhysicalReader;
  private readonly translate: Translate;
  private readonly limits: SpaceLimits;
  /** Physical page number → its bytes; null = not readable. Page numbers have at most 40 bits. */
  private readonly pages = new Map<number, Uint8Array | null>();
  /** Virtual page number → physical page number; null = not mapped. */
  private readonly translations = new Map<number, number | null>();
  /** The page that the running body missed, kept aside in case the body swallows PageAbsent. */
  private missed: PageAbsent | null = null;

  constructor(reader: PhysicalReader, translate: Translate, limits: SpaceLimits) {
    this.reader = reader;
    this.translate = translate;
    this.limits = limits;
  }

  read(address: Address, length: number): Uint8Array | null {
    if (!(length >= 0 && length <= this.limits.readBytes) || address < 0n || address !== toUnsigned64(address)) return null;
    const offset = Number(address & BigInt(PAGE_BYTES - 1));
    if (offset + length <= PAGE_BYTES) return this.findPage(address)?.subarray(offset, offset + length) ?? null;
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const at = address + BigInt(done);
      const page = this.findPage(at);
      if (page === null) return null;
      const from = Number(at & BigInt(PAGE_BYTES - 1));
      const part = page.subarray(from, Math.min(PAGE_BYTES, from + length - done));
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }

  async walk<T>(body: (memory: Memory) => T): Promise<T> {
    while (true) {
      this.missed = null;
      const outcome = attempt(() => body(this));
      const missed = this.takeMissed();
      if (missed === null) {
        if ('error' in outcome) throw outcome.error;
        return outcome.value;
      }
      const bytes = new Uint8Array(PAGE_BYTES);
      const readable = await this.reader.read(missed.page, bytes);
      this.pages.set(Number(missed.page >> PAGE_BITS), readable ? bytes : null);
    }
  }

  private takeMissed(): PageAbsent | null {
    const missed = this.missed;
    this.missed = null;
    return missed;
  }

  /** The page that holds the virtual `address`, or null. */
  private findPage(address: Address): Uint8Array | null {
    const virtualPage = Number(address >> PAGE_BITS);
    let physicalPage = this.translations.get(virtualPage);
    if (physicalPage === undefined) {
      const physical = this.translate(address, this.readEntry);
      physicalPage = physical === null ? null : Number(physical >> PAGE_BITS);
      if (this.translations.size < 4 * this.limits.pages) this.translations.set(virtualPage, physicalPage);
    }
    return physicalPage === null ? null : this.findPhysicalPage(physicalPage);
  }

  private readonly readEntry: ReadEntry = (address, size) => {
    const page = this.findPhysicalPage(Number(address >> PAGE_BITS));
    if (page === null) return null;
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    const offset = Number(address & BigInt(PAGE_BYTES - 1));
    return size === 8 ? view.getBigUint64(offset, true) : BigInt(view.getUint32(offset, true));
  };

  private findPhysicalPage(number: number): Uint8Array | null {
    const known = this.pages.get(number);
    if (known !== undefined) return known;
    if (this.pages.size >= this.limits.pages) return null;
    const address = BigInt(number) << PAGE_BITS;
    if (this.reader.readSync === null) {
      this.missed ??= new PageAbsent(address);
      throw this.missed;
    }
    const bytes = new Uint8Array(PAGE_BYTES);
    const page = this.reader.readSync(address, bytes) ? bytes : null;
    this.pages.set(number, page);
    return page;
  }
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown };

function attempt<T>(body: () => T): Outcome<T> {
  try {
    return { value: body() };
  } catch (error) {
    return { error };
  }
}
