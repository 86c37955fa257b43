// `m` `x` read memory, `M` `X` write it. GDB manual, E.2 "Packets". `x` is gdb 16's (feature `binary-upload+`): `b` then the bytes.

import { RspError } from '../error.ts';
import { decodeHex, encodeHex, encodeLatin1, encodeNumber, quote } from '../framing/bytes.ts';
import { expectText } from './reply.ts';

export function encodeReadMemory(address: bigint, length: number): string {
  return `m${encodeNumber(address)},${encodeNumber(length)}`;
}

/** At most `length` bytes: a stub may send fewer than asked for, never more. */
export function decodeMemory(reply: Uint8Array, request: string, length: number): Uint8Array {
  return bounded(decodeHex(expectText(reply, request)), request, length);
}

export function encodeReadBinary(address: bigint, length: number): string {
  return `x${encodeNumber(address)},${encodeNumber(length)}`;
}

export function decodeBinary(reply: Uint8Array, request: string, length: number): Uint8Array {
  if (reply[0] === 0x62) return bounded(reply.subarray(1), request, length);
  const text = expectText(reply, request);
  throw new RspError('RSP_MALFORMED', `the stub answered ${quote(request)} with ${quote(text)}`);
}

export function encodeWriteMemory(address: bigint, bytes: Uint8Array): string {
  return `M${encodeNumber(address)},${encodeNumber(bytes.length)}:${encodeHex(bytes)}`;
}

export function encodeWriteBinary(address: bigint, bytes: Uint8Array): Uint8Array {
  const head = encodeLatin1(`X${encodeNumber(address)},${encodeNumber(bytes.length)}:`);
  const packet = new Uint8Array(head.length + bytes.length);
  packet.set(head);
  packet.set(bytes, head.length);
  return packet;
}

function bounded(bytes: Uint8Array, request: string, length: number): Uint8Array {
  if (bytes.length > length) {
    throw new RspError('RSP_MALFORMED', `the stub sent ${bytes.length} bytes for ${quote(request)}, more than asked for`);
  }
  return bytes;
}
