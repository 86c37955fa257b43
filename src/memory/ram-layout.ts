// Where guest-physical RAM lies: HMP `info mtree -f` (QEMU softmmu/memory.c, mtree_print_flatview) prints, per address
// space, what the CPU sees after overlaps are resolved:
//   0000000100000000-00000001ffffffff (prio 0, ram): mem @0000000080000000
// The name is the memory region's (the -object id of a memory backend), `@` the offset inside it.

import type { PhysicalAddress } from '../model/address.ts';

/** A run of guest-physical addresses backed by host memory. `end` is exclusive. */
export interface RamRegion {
  readonly start: PhysicalAddress;
  readonly end: PhysicalAddress;
  /** Name of QEMU's memory region: `pc.ram`, a memory backend's id, `pc.bios`. */
  readonly name: string;
  /** Offset of `start` inside that memory region, in bytes. */
  readonly offset: bigint;
}

/** More than any machine has; a bound for text from outside. */
const MAX_REGIONS = 4096;

/**
 * RAM and ROM as vCPU 0 sees them, ascending. Devices are left out: reading them would act on them. Neighbours of one
 * memory region are joined (the shadow RAM windows below 1 MiB cut one RAM into many).
 */
export function parseRamLayout(text: string): RamRegion[] {
  const regions: RamRegion[] = [];
  for (const line of systemView(text).split('\n')) {
    const match =
      /^\s*([0-9a-f]{1,16})-([0-9a-f]{1,16}) \(prio [^,]*, (?:ram|rom|romd|nv-ram|nv-rom)\): (.*?)(?: @([0-9a-f]+))?(?: KVM)?\s*$/.exec(
        line,
      );
    if (match === null) continue;
    const region = { start: hex(match[1]!), end: hex(match[2]!) + 1n, name: match[3]!, offset: hex(match[4] ?? '0') };
    if (region.end <= region.start) continue;
    regions.push(region);
    if (regions.length >= MAX_REGIONS) break;
  }
  return joinNeighbours(regions.sort((a, b) => (a.start < b.start ? -1 : 1)));
}

/** The region that holds `address`, or null. */
export function findRegion(regions: readonly RamRegion[], address: PhysicalAddress): RamRegion | null {
  let low = 0;
  let high = regions.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const region = regions[middle]!;
    if (address < region.start) high = middle - 1;
    else if (address >= region.end) low = middle + 1;
    else return region;
  }
  return null;
}

/** The part of the text about the address space the CPU uses; all of it when no part is named so. */
function systemView(text: string): string {
  const views = text.split(/^FlatView #\d+/m);
  return (
    views.find((view) => /^\s*AS "cpu-memory-0"/m.test(view)) ??
    views.find((view) => /^\s*AS "memory"/m.test(view)) ??
    views.find((view) => /Root memory region: system\b/.test(view)) ??
    text
  );
}

function joinNeighbours(regions: readonly RamRegion[]): RamRegion[] {
  const joined: RamRegion[] = [];
  for (const region of regions) {
    const last = joined.at(-1);
    const continues =
      last?.end === region.start && last.name === region.name && last.offset + (last.end - last.start) === region.offset;
    if (last !== undefined && continues) joined[joined.length - 1] = { ...last, end: region.end };
    // Overlaps cannot be in a flat view: text that has them is not to be trusted beyond the first.
    else if (last === undefined || region.start >= last.end) joined.push(region);
  }
  return joined;
}

function hex(digits: string): bigint {
  return BigInt(`0x${digits}`);
}
