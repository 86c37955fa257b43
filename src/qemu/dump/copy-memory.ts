// Guest memory into frames of the core, in the order of the file. While this runs the guest stands still: nothing waits here but for
// memory to copy into.

import { findStartTime } from '../process.ts';
import type { CoreLayout } from './core-file.ts';
import { FRAME_BYTES, type FrameWriter } from './frame-writer.ts';
import type { CorePlan } from './plan-core.ts';

/** How far it is, bytes. */
export interface CoreProgress {
  readonly done: number;
  readonly total: number;
  readonly written: number;
}

/** What was copied. Pages of 4 KiB. */
export interface CopyOutcome {
  /** Bytes of guest memory. */
  readonly bytes: number;
  readonly pages: number;
  readonly pagesWithData: number;
  /** Known to be zero without reading. */
  readonly pagesUntouched: number;
  /** Could not be read; they are zero in the core. */
  readonly pagesUnreadable: number;
  /** Why it is not all; null when it is. */
  readonly partial: string | null;
}

/** A part of a frame that is one run of guest memory. */
interface Piece {
  readonly address: number;
  /** In the frame. */
  readonly at: number;
  readonly size: number;
}

const PAGE = 4096;
const ZERO_PAGE = Buffer.alloc(PAGE);
/** Events of a session that goes on beside us wait no longer. */
const TURN_MS = 20;

/** Copies all of it. Throws what the writer threw. */
export async function copyMemory(
  plan: CorePlan,
  writer: FrameWriter,
  onProgress: (progress: CoreProgress) => void,
): Promise<CopyOutcome> {
  const copy = new MemoryCopy(plan, writer);
  const { size } = plan.layout;
  const total = size - FRAME_BYTES;
  let turn = performance.now();
  for (let offset = FRAME_BYTES; offset < size && copy.partial === null; offset += FRAME_BYTES) {
    const length = Math.min(FRAME_BYTES, size - offset);
    await copy.frame(offset, length);
    if (performance.now() - turn < TURN_MS) continue;
    onProgress({ done: offset - FRAME_BYTES + length, total, written: writer.written });
    await new Promise((resolve) => setImmediate(resolve));
    turn = performance.now();
  }
  return copy.outcome();
}

class MemoryCopy {
  partial: string | null = null;
  private readonly plan: CorePlan;
  private readonly writer: FrameWriter;
  private readonly qemuBorn: string | null;
  private bytes = 0;
  private pages = 0;
  private withData = 0;
  private untouched = 0;
  private unreadable = 0;

  constructor(plan: CorePlan, writer: FrameWriter) {
    this.plan = plan;
    this.writer = writer;
    const { pid } = plan.source;
    this.qemuBorn = pid === null ? null : findStartTime(pid);
  }

  async frame(offset: number, length: number): Promise<void> {
    const pieces = piecesOf(this.plan.layout, offset, length).map((piece) => ({ ...piece, touched: this.touchedIn(piece) }));
    const isUntouched = pieces.every(({ touched }) => touched?.every((bit) => bit === 0) ?? false);
    const pages = pieces.reduce((sum, { size }) => sum + Math.ceil(size / PAGE), 0);
    if (isUntouched) {
      this.untouched += pages;
      this.writer.putZeros(length);
    } else {
      const buffer = await this.writer.take();
      for (const { address, at, size, touched } of pieces) {
        await this.read(address, buffer.subarray(at, at + size), touched);
        if (this.partial !== null) break;
      }
      if (this.partial !== null) {
        this.writer.release(buffer);
        return;
      }
      const withData = countData(buffer, length);
      this.withData += withData;
      if (withData > 0) this.writer.put(buffer, length);
      else {
        this.writer.release(buffer);
        this.writer.putZeros(length);
      }
    }
    this.pages += pages;
    this.bytes += length;
  }

  outcome(): CopyOutcome {
    const { bytes, pages, withData, untouched, unreadable, partial } = this;
    const total = this.plan.layout.size - FRAME_BYTES;
    const lost = unreadable === 0 ? null : `${unreadable} pages could not be read, and are zero`;
    return {
      ...{ bytes, pages, pagesWithData: withData, pagesUntouched: untouched, pagesUnreadable: unreadable },
      partial: partial === null ? lost : `${partial}: the first ${bytes} of ${total} bytes of guest memory are there`,
    };
  }

  private touchedIn({ address, size }: Piece): Uint8Array | null {
    return address % PAGE !== 0 ? null : (this.plan.touched?.read(address, Math.ceil(size / PAGE)) ?? null);
  }

  /** Runs of touched pages at once, zeros between them. */
  private async read(address: number, into: Buffer, touched: Uint8Array | null): Promise<void> {
    const count = Math.ceil(into.length / PAGE);
    for (let page = 0; page < count; ) {
      const isData = touched === null || touched[page] !== 0;
      let end = page + 1;
      while (end < count && (touched === null || touched[end] !== 0) === isData) end += 1;
      const part = into.subarray(page * PAGE, Math.min(end * PAGE, into.length));
      if (!isData) {
        part.fill(0);
        this.untouched += end - page;
      } else if (!(await this.readRun(address + page * PAGE, part))) {
        await this.readSingly(address + page * PAGE, part);
        if (this.partial !== null) return;
      }
      page = end;
    }
  }

  private readRun(address: number, into: Buffer): boolean | Promise<boolean> {
    const answer = this.plan.read(address, into);
    return typeof answer === 'boolean' ? answer : answer.catch(() => false);
  }

  /** Something in it cannot be read: QEMU is gone, or only some pages cannot. */
  private async readSingly(address: number, into: Buffer): Promise<void> {
    const { pid } = this.plan.source;
    for (let at = 0; at < into.length; at += PAGE) {
      const page = into.subarray(at, at + PAGE);
      if (await this.readRun(address + at, page)) continue;
      if (pid !== null && findStartTime(pid) !== this.qemuBorn) {
        this.partial = 'QEMU ended while its memory was copied';
        return;
      }
      page.fill(0);
      this.unreadable += 1;
    }
  }
}

function piecesOf({ runs }: CoreLayout, offset: number, length: number): Piece[] {
  const pieces: Piece[] = [];
  for (const run of runs) {
    const from = Math.max(offset, run.offset);
    const size = Math.min(offset + length, run.offset + run.size) - from;
    if (size > 0) pieces.push({ address: run.start + (from - run.offset), at: from - offset, size });
  }
  return pieces;
}

function countData(buffer: Buffer, length: number): number {
  let count = 0;
  for (let at = 0; at < length; at += PAGE) {
    const end = Math.min(at + PAGE, length);
    if (buffer.compare(ZERO_PAGE, 0, end - at, at, end) !== 0) count += 1;
  }
  return count;
}
