// A TCP segment (RFC 9293 §3.1): header and payload. Options are skipped: nothing here needs them.

import type { Cursor } from '../bytes/cursor.ts';

/** A TCP segment. Sequence numbers are unsigned 32 bits. */
export interface TcpSegment {
  readonly protocol: 'tcp';
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgment: number;
  /** Bits FIN, SYN, RST, PSH, ACK, … */
  readonly flags: number;
  /** As it stands in the header, not scaled. */
  readonly window: number;
  /** What was captured of the payload. */
  readonly payload: Uint8Array;
  /** Bytes of payload that the wire had. */
  readonly length: number;
}

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const ACK = 16;

/** Reads a segment that has `wireLength` bytes; a string says what is wrong. Throws BYTES_OUT_OF_RANGE when the header is cut. */
export function readTcp(cursor: Cursor, wireLength: number): TcpSegment | string {
  const [sourcePort, destinationPort] = [cursor.u16(), cursor.u16()];
  const [sequence, acknowledgment] = [cursor.u32(), cursor.u32()];
  const offset = (cursor.u8() >> 4) * 4;
  const flags = cursor.u8();
  const window = cursor.u16();
  cursor.skip(4);
  if (offset < 20) return 'a TCP header shorter than 20 bytes';
  if (offset > wireLength) return 'a TCP header longer than its packet';
  cursor.skip(offset - 20);
  const length = wireLength - offset;
  return {
    ...{ protocol: 'tcp', sourcePort, destinationPort, sequence, acknowledgment, flags, window, length },
    payload: cursor.take(Math.min(length, cursor.remaining)),
  };
}
