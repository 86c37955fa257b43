// A pcapng file (draft-ietf-opsawg-pcapng §4): Section Header, an Interface Description for each card, Enhanced Packet Blocks
// with their direction, Interface Statistics at the end. Only whole blocks are written.

import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { errorMessage, UnidbgError } from '../model/error.ts';
import type { Side } from './tcp-track.ts';

/** An interface of the file: a card's netdev. */
export interface PcapngInterface {
  readonly name: string;
  readonly description: string;
  readonly snapLength: number;
}

const SECTION_HEADER = 0x0a0d0d0a;
const INTERFACE_DESCRIPTION = 1;
const INTERFACE_STATISTICS = 5;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const ETHERNET = 1;
/** Options by their numbers: of every block, then of each kind. */
const USER_APPLICATION = 4;
const HARDWARE = 2;
const IF_NAME = 2;
const IF_DESCRIPTION = 3;
const IF_TSRESOL = 9;
const EPB_FLAGS = 2;
const ISB_STARTTIME = 2;
const ISB_ENDTIME = 3;
const ISB_IFRECV = 4;
const ISB_IFDROP = 5;
/** 10^-6 s: as exact as QEMU's stamps. */
const TSRESOL = 6;

const scratch = Buffer.alloc(64);

function u16(value: number): Buffer {
  scratch.writeUInt16LE(value);
  return Buffer.from(scratch.subarray(0, 2));
}

function u32(...values: readonly number[]): Buffer {
  for (const [index, value] of values.entries()) scratch.writeUInt32LE(value, 4 * index);
  return Buffer.from(scratch.subarray(0, 4 * values.length));
}

/** A time of the file: µs since the epoch, the high half first. */
function stampOf(atMs: number): readonly [number, number] {
  const micros = Math.max(0, Math.round(atMs * 1000));
  return [Math.floor(micros / 0x1_0000_0000), micros >>> 0];
}

function u64(value: number): Buffer {
  return u32(value >>> 0, Math.floor(value / 0x1_0000_0000));
}

function padded(bytes: Uint8Array): readonly Uint8Array[] {
  return [bytes, Buffer.alloc(-bytes.length & 3)];
}

function option(code: number, value: Uint8Array): readonly Uint8Array[] {
  return [u16(code), u16(value.length), ...padded(value)];
}

/** A block: type, length, body, length. The body's length is a multiple of 4. */
function block(type: number, parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([u32(type, body.length + 12), body, u32(body.length + 12)]);
}

const END_OF_OPTIONS = u32(0);

/** The blocks with which a file begins. */
export function encodeHeader(interfaces: readonly PcapngInterface[], application: string): Buffer {
  const text = (value: string): Buffer => Buffer.from(value, 'utf8');
  const section = block(SECTION_HEADER, [
    u32(BYTE_ORDER_MAGIC),
    ...[u16(1), u16(0)],
    // The section's length: not known.
    u32(0xffffffff, 0xffffffff),
    ...option(HARDWARE, text('QEMU netfilter')),
    ...option(USER_APPLICATION, text(application)),
    END_OF_OPTIONS,
  ]);
  const descriptions = interfaces.map(({ name, description, snapLength }) =>
    block(INTERFACE_DESCRIPTION, [
      ...[u16(ETHERNET), u16(0), u32(snapLength)],
      ...option(IF_NAME, text(name)),
      ...option(IF_DESCRIPTION, text(description)),
      ...option(IF_TSRESOL, Uint8Array.of(TSRESOL)),
      END_OF_OPTIONS,
    ]),
  );
  return Buffer.concat([section, ...descriptions]);
}

/** Bytes around a packet's in its block: header, flags, end of options, length. */
const PACKET_OVERHEAD = 28 + 12 + 4;

/** One packet. `from` tells its direction: what the guest sent is outbound. */
export function encodePacket(packet: {
  readonly interface: number;
  readonly at: number;
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly from: Side | null;
}): Buffer {
  const { bytes } = packet;
  const room = (bytes.length + 3) & ~3;
  const total = PACKET_OVERHEAD + room;
  const out = Buffer.alloc(total);
  const [high, low] = stampOf(packet.at);
  const head = [ENHANCED_PACKET, total, packet.interface, high, low, bytes.length, packet.length];
  for (const [index, value] of head.entries()) out.writeUInt32LE(value, 4 * index);
  out.set(bytes, 28);
  out.writeUInt16LE(EPB_FLAGS, 28 + room);
  out.writeUInt16LE(4, 30 + room);
  out.writeUInt32LE(packet.from === null ? 0 : packet.from === 'guest' ? 2 : 1, 32 + room);
  out.writeUInt32LE(total, total - 4);
  return out;
}

/** An interface's counts at the end. `dropped` are packets that were lost before they came here. */
export function encodeStatistics(statistics: {
  readonly interface: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly received: number;
  readonly dropped: number;
}): Buffer {
  return block(INTERFACE_STATISTICS, [
    u32(statistics.interface, ...stampOf(statistics.endedAt)),
    ...option(ISB_STARTTIME, u32(...stampOf(statistics.startedAt))),
    ...option(ISB_ENDTIME, u32(...stampOf(statistics.endedAt))),
    ...option(ISB_IFRECV, u64(statistics.received)),
    ...option(ISB_IFDROP, u64(statistics.dropped)),
    END_OF_OPTIONS,
  ]);
}

/**
 * Folklore: SIGKILL ends a write(2) between two pages (Linux 6.18, ext4 and tmpfs: 6 of 24 killed writers at full speed), and readers
 * call the file cut short. Cuts such a file to its last whole block; leaves alone what is no pcapng. Test: pcapng.test.ts.
 */
export function trimPcapng(path: string): void {
  const descriptor = openSync(path, 'r+');
  try {
    const { size } = fstatSync(descriptor);
    const head = Buffer.alloc(8);
    let end = 0;
    while (end + 12 <= size) {
      readSync(descriptor, head, 0, 8, end);
      const length = head.readUInt32LE(4);
      if (end === 0 && head.readUInt32LE() !== SECTION_HEADER) return;
      if (length < 12 || length % 4 !== 0 || end + length > size) break;
      end += length;
    }
    if (end > 0 && end < size) ftruncateSync(descriptor, end);
  } finally {
    closeSync(descriptor);
  }
}

/** Blocks are written together up to here. */
const FLUSH_BYTES = 32 * 1024;

/** Writes a file. Throws FILE_UNREADABLE when it cannot; after that it takes no more. */
export class PcapngFile {
  readonly path: string;
  private readonly descriptor: number;
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  private closed = false;

  constructor(path: string, interfaces: readonly PcapngInterface[]) {
    this.path = path;
    try {
      this.descriptor = openSync(path, 'w', 0o600);
    } catch (error) {
      throw new UnidbgError('FILE_UNREADABLE', `${path} cannot be written: ${errorMessage(error)}`, {
        cause: error,
        facts: { path },
      });
    }
    this.write(encodeHeader(interfaces, 'unidbg'));
    this.flush();
  }

  /** Takes a whole block; it is on disk after the next flush. */
  write(whole: Buffer): void {
    if (this.closed) return;
    this.waiting.push(whole);
    this.waitingBytes += whole.length;
    if (this.waitingBytes >= FLUSH_BYTES) this.flush();
  }

  flush(): void {
    if (this.closed || this.waiting.length === 0) return;
    const bytes = Buffer.concat(this.waiting);
    this.waiting = [];
    this.waitingBytes = 0;
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(this.descriptor, bytes, done);
    } catch (error) {
      this.closed = true;
      closeSync(this.descriptor);
      throw new UnidbgError('FILE_UNREADABLE', `${this.path} cannot be written any further: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  }

  close(): void {
    this.flush();
    if (!this.closed) closeSync(this.descriptor);
    this.closed = true;
  }
}
