// Which pages of guest RAM the host has ever given QEMU: /proc/<pid>/pagemap (Documentation/admin-guide/mm/pagemap.rst), eight bytes a page, bit 63
// present, bit 62 swapped out. A page that never was is zero, and need not be read.
//
// Folklore: of memory that is a file (memory-backend-memfd, -file) the bits only tell what QEMU itself has mapped; what somebody else wrote
// there, or what was paged out, is absent too (seen with tmpfs under memory pressure). There the file's allocated blocks must be as many as the
// pages that are present: then all others are holes. Else every page is read.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type HostMapping, openMappedFile, readMappings } from '../../memory/host-mappings.ts';
import type { HostRegion } from '../../memory/host-regions.ts';
import { errorMessage } from '../../model/error.ts';

/** Answers for guest-physical pages of 4 KiB. */
export interface TouchedPages {
  /** Of `count` pages from the one at `address` on: 1 for each that may hold data, 0 for one that is zero for certain. */
  read(address: number, count: number): Uint8Array;
  close(): void;
}

const PAGE = 4096;
const ENTRY_BYTES = 8;
/** Bits 63 and 62 in the entry's last byte. */
const PRESENT_OR_SWAPPED = 0xc0;

/** Opens them. Null, with the reason, when nothing is known: then all pages must be read. */
export function openTouchedPages(pid: number, regions: readonly HostRegion[]): TouchedPages | { readonly unknown: string } {
  let fd: number;
  try {
    fd = openSync(`/proc/${pid}/pagemap`, 'r');
  } catch (error) {
    return { unknown: `which pages QEMU ever touched is not told: ${errorMessage(error)}` };
  }
  const doubt = findDoubt(pid, regions, fd);
  if (doubt === null) return new PageMap(fd, regions);
  closeSync(fd);
  return { unknown: doubt };
}

/** So many pages are asked for at once; who reads them reads on. */
const WINDOW_PAGES = 16_384;

class PageMap implements TouchedPages {
  private readonly fd: number;
  private readonly regions: readonly { readonly start: number; readonly end: number; readonly shift: number }[];
  /** Entries of the pages from host address `from` on. */
  private readonly window = Buffer.allocUnsafe(WINDOW_PAGES * ENTRY_BYTES);
  private from = 0;
  private got = 0;

  constructor(fd: number, regions: readonly HostRegion[]) {
    this.fd = fd;
    this.regions = regions.map(({ start, end, host }) => ({
      start: Number(start),
      end: Number(end),
      shift: Number(host - start),
    }));
  }

  read(address: number, count: number): Uint8Array {
    // What is not known to be zero is taken for data.
    const touched = new Uint8Array(count).fill(1);
    for (const { start, end, shift } of this.regions) {
      const from = Math.max(address, start);
      const pages = (Math.min(address + count * PAGE, end) - from) / PAGE;
      // A border within a page, or a region that lies off a page of the host, is read.
      if (pages < 1 || !Number.isInteger(pages) || (from + shift) % PAGE !== 0 || (from - address) % PAGE !== 0) continue;
      const first = (from - address) / PAGE;
      for (let page = 0; page < pages; page += 1) {
        const index = this.indexOf(from + shift + page * PAGE, end + shift);
        if (index !== null && !isTouched(this.window, index)) touched[first + page] = 0;
      }
    }
    return touched;
  }

  close(): void {
    closeSync(this.fd);
  }

  /** Where in the window the page at a host address is; null when nothing is told of it. */
  private indexOf(host: number, end: number): number | null {
    const index = (host - this.from) / PAGE;
    if (index >= 0 && index < this.got) return index;
    this.from = host;
    const pages = Math.min(WINDOW_PAGES, (end - host) / PAGE);
    this.got = readEntries(this.fd, this.window.subarray(0, pages * ENTRY_BYTES), host);
    return this.got > 0 ? 0 : null;
  }
}

/** Entries of the pages from a host address on; how many were read. */
function readEntries(fd: number, into: Buffer, host: number): number {
  try {
    return Math.floor(readSync(fd, into, 0, into.length, (host / PAGE) * ENTRY_BYTES) / ENTRY_BYTES);
  } catch {
    // QEMU is gone.
    return 0;
  }
}

function isTouched(entries: Buffer, page: number): boolean {
  return (entries[page * ENTRY_BYTES + 7]! & PRESENT_OR_SWAPPED) !== 0;
}

/** Why the bits are not to be believed; null when they are. */
function findDoubt(pid: number, regions: readonly HostRegion[], pagemap: number): string | null {
  let mappings: readonly HostMapping[];
  try {
    mappings = readMappings(pid);
  } catch (error) {
    return `which files are behind guest memory is not told: ${errorMessage(error)}`;
  }
  for (const mapping of mappings) {
    const isRam = regions.some(({ start, end, host }) => mapping.start < host + (end - start) && mapping.end > host);
    const doubt = isRam ? findFileDoubt(pid, mapping, pagemap) : null;
    if (doubt !== null) return doubt;
  }
  return null;
}

function findFileDoubt(pid: number, mapping: HostMapping, pagemap: number): string | null {
  const file = openMappedFile(pid, mapping);
  if (file === null) return `${mapping.path} is behind guest memory and may not be opened`;
  // In blocks of 512 bytes, whatever the file system's own.
  const pages = fstatSync(file).blocks / 8;
  closeSync(file);
  const present = mapping.shared ? countTouched(pagemap, mapping) : 0;
  return pages === present ? null : `${mapping.path} holds ${pages} pages, of which QEMU has mapped ${present}`;
}

const PAGES_AT_ONCE = 65_536;

function countTouched(pagemap: number, { start, end }: HostMapping): number {
  const entries = Buffer.allocUnsafe(PAGES_AT_ONCE * ENTRY_BYTES);
  let count = 0;
  for (let at = Number(start); at < Number(end); at += PAGES_AT_ONCE * PAGE) {
    const pages = Math.min(PAGES_AT_ONCE, (Number(end) - at) / PAGE);
    const got = readEntries(pagemap, entries.subarray(0, pages * ENTRY_BYTES), at);
    for (let page = 0; page < got; page += 1) if (isTouched(entries, page)) count += 1;
  }
  return count;
}
