// The probe's ring in guest RAM, read from outside: docs/probe-protocol.md, "Over a ring in guest RAM". The guest overwrites its
// oldest record and never looks at us, so a copy is taken first and judged after: what the guest may have begun to overwrite while
// it was taken is lost, and counted.

import { Cursor } from '../../src/bytes/cursor.ts';
import type { RingProgress } from '../../src/model/guest-probe.ts';
import type { AddressSpace, Memory } from '../../src/model/target.ts';
import type { TakeRecord } from './decoder.ts';
import { MAX_RECORD, MIN_RECORD } from './records.ts';

/** The linker symbol under which the ring is found. */
export const RING_SYMBOL = 'unidbg_ring';

const MAGIC = 'UNIDBGR1';
const HEADER_SIZE = 64;
const SLOT_SIZE = 128;
const SLOT_HEADER = 16;
const MAX_SLOTS = 65_536;
/** Slots copied by one read. */
const BATCH = 512;

/** What the ring's header says; record numbers are exact below 2^53. */
interface Header {
  readonly slots: number;
  readonly written: number;
}

/** Slots as they were copied: consecutive records from number `first`; null bytes where memory could not be read. */
interface Piece {
  readonly first: number;
  readonly count: number;
  readonly bytes: Uint8Array | null;
}

/** Reads on where it left off. */
export class RingReader {
  /** Records that were overwritten before they were read. */
  lost = 0;
  /** Slots that hold no record. */
  damaged = 0;
  private readonly take: TakeRecord;
  /** Number of the next record to read; null = nothing was read yet. */
  private next: number | null = null;

  constructor(take: TakeRecord) {
    this.take = take;
  }

  /**
   * Reads what was written since; null when there is no ring at `address`, or not yet. `openSpace` gives a fresh view of memory: one is
   * copied from, another says how far the guest has come meanwhile. The first time whatever the ring still holds is read, and what
   * it does not hold any more was never to be had.
   */
  async read(openSpace: () => AddressSpace, address: bigint): Promise<RingProgress | null> {
    const copy = await openSpace().walk((memory) => copyRing(memory, address, this.next));
    if (copy === null) return null;
    const after = await openSpace().walk((memory) => readHeader(memory, address));
    // The guest may be writing number `after.written` right now, into the slot of the record one turn before.
    const firstSafe = (after?.written ?? copy.written) - copy.slots + 1;
    let taken = 0;
    for (const piece of copy.pieces) taken += this.takePiece(piece, firstSafe);
    const missed = copy.written - copy.since - taken;
    if (this.next !== null) this.lost += missed;
    this.next = copy.written;
    return { records: copy.written - copy.since, slots: copy.slots };
  }

  /** Takes a piece's records in; gives how many there were, damaged ones among them. */
  private takePiece({ first, count, bytes }: Piece, firstSafe: number): number {
    if (bytes === null) return 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let taken = 0;
    for (let index = Math.max(0, firstSafe - first); index < count; index += 1) {
      const at = index * SLOT_SIZE;
      if (!isStamped(view, at, first + index + 1)) continue;
      taken += 1;
      const length = view.getUint32(at + 8, true);
      if (length >= MIN_RECORD && length <= MAX_RECORD) this.take(view, at + SLOT_HEADER, length);
      else this.damaged += 1;
    }
    return taken;
  }
}

interface RingCopy extends Header {
  /** Number of the first record that was not read yet. */
  readonly since: number;
  readonly pieces: readonly Piece[];
}

/** Pure, as a walk may run it again. */
function copyRing(memory: Memory, address: bigint, next: number | null): RingCopy | null {
  const header = readHeader(memory, address);
  if (header === null) return null;
  const { slots, written } = header;
  const oldest = Math.max(0, written - slots);
  // A guest that was reset starts again at 0; one that lies about `written` is caught by the stamps.
  const since = next === null ? oldest : next > written ? 0 : next;
  const pieces: Piece[] = [];
  for (let first = Math.max(since, oldest); first < written; ) {
    const slot = first % slots;
    const count = Math.min(BATCH, written - first, slots - slot);
    const bytes = memory.read(address + BigInt(HEADER_SIZE + slot * SLOT_SIZE), count * SLOT_SIZE);
    pieces.push({ first, count, bytes });
    first += count;
  }
  return { ...header, since, pieces };
}

function readHeader(memory: Memory, address: bigint): Header | null {
  const header = memory.read(address, HEADER_SIZE);
  if (header === null || Buffer.from(header.subarray(0, 8)).toString('latin1') !== MAGIC) return null;
  const cursor = new Cursor(header, { offset: 8 });
  const [slotSize, slots, written] = [cursor.u32(), cursor.u32(), cursor.u64Number()];
  if (slotSize !== SLOT_SIZE || slots === 0 || slots > MAX_SLOTS || (slots & (slots - 1)) !== 0) return null;
  return Number.isFinite(written) ? { slots, written } : null;
}

function isStamped(view: DataView, at: number, stamp: number): boolean {
  return view.getUint32(at, true) === stamp >>> 0 && view.getUint32(at + 4, true) === Math.floor(stamp / 0x1_0000_0000);
}
