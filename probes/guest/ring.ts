// The probe's ring in guest RAM, read from outside: docs/probe-protocol.md, "Over a ring in guest RAM". A reading is a pure
// function of memory and of where the last one ended, so that it may be run again when a page was absent.

import { Cursor } from '../../src/bytes/cursor.ts';
import type { Memory } from '../../src/model/target.ts';
import { decodeRecord, MAX_RECORD, type ProbeRecord } from './records.ts';

/** The linker symbol under which the ring is found. */
export const RING_SYMBOL = 'unidbg_ring';

const MAGIC = 'UNIDBGR1';
const HEADER_SIZE = 64;
const SLOT_SIZE = 128;
const SLOT_HEADER = 16;
const MAX_SLOTS = 65_536;
/** Slots copied by one read. */
const BATCH = 256;

/** What a reading gave. `next` is where the following one starts; `lost` records were overwritten before they were read. */
export interface RingReading {
  readonly records: readonly ProbeRecord[];
  readonly next: bigint;
  readonly lost: number;
  readonly damaged: number;
}

/**
 * Reads what was written since record number `from`; null when there is no ring at `address`, or not yet. `from` is null at
 * first: then whatever the ring still holds is read, and what it does not hold any more was never to be had.
 */
export function readRing(memory: Memory, address: bigint, from: bigint | null): RingReading | null {
  const header = memory.read(address, HEADER_SIZE);
  if (header === null || Buffer.from(header.subarray(0, 8)).toString('latin1') !== MAGIC) return null;
  const cursor = new Cursor(header, { offset: 8 });
  const slotSize = cursor.u32();
  const slots = cursor.u32();
  const written = cursor.u64();
  if (slotSize !== SLOT_SIZE || slots === 0 || slots > MAX_SLOTS || (slots & (slots - 1)) !== 0) return null;
  const oldest = written > BigInt(slots) ? written - BigInt(slots) : 0n;
  // A guest that was reset starts again at 0; one that lies about `written` is caught by the stamps.
  const since = from === null ? oldest : from > written ? 0n : from;
  const first = since > oldest ? since : oldest;
  const reading = readSlots(memory, { address: address + BigInt(HEADER_SIZE), slots, first, count: Number(written - first) });
  return { ...reading, next: written, lost: reading.overtaken + Number(first - since) };
}

interface SlotRange {
  readonly address: bigint;
  readonly slots: number;
  readonly first: bigint;
  readonly count: number;
}

function readSlots(memory: Memory, range: SlotRange): { records: ProbeRecord[]; overtaken: number; damaged: number } {
  const records: ProbeRecord[] = [];
  let overtaken = 0;
  let damaged = 0;
  for (let done = 0; done < range.count; ) {
    const number = range.first + BigInt(done);
    const slot = Number(number % BigInt(range.slots));
    const count = Math.min(BATCH, range.count - done, range.slots - slot);
    const bytes = memory.read(range.address + BigInt(slot * SLOT_SIZE), count * SLOT_SIZE);
    for (let index = 0; index < count; index += 1) {
      const record =
        bytes === null
          ? 'overtaken'
          : decodeSlot(bytes.subarray(index * SLOT_SIZE, (index + 1) * SLOT_SIZE), number + BigInt(index));
      if (record === 'overtaken') overtaken += 1;
      else if (record === null) damaged += 1;
      else records.push(record);
    }
    done += count;
  }
  return { records, overtaken, damaged };
}

/** A slot's record if its stamp says that it is number `number`. */
function decodeSlot(slot: Uint8Array, number: bigint): ProbeRecord | 'overtaken' | null {
  const view = new DataView(slot.buffer, slot.byteOffset, slot.length);
  if (view.getBigUint64(0, true) !== number + 1n) return 'overtaken';
  const length = view.getUint32(8, true);
  return length > MAX_RECORD ? null : decodeRecord(slot.subarray(SLOT_HEADER, SLOT_HEADER + length));
}
