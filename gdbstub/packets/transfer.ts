// `qXfer:OBJECT:read:ANNEX:OFFSET,LENGTH`: documents in parts, `m` more to come, `l` the last. GDB manual, E.4.

import { RspError } from '../error.ts';
import { encodeNumber, quote } from '../framing/bytes.ts';
import { expectText } from './reply.ts';

export function encodeReadTransfer(object: string, annex: string, offset: number, length: number): string {
  return `qXfer:${object}:read:${annex}:${encodeNumber(offset)},${encodeNumber(length)}`;
}

export function decodeTransfer(reply: Uint8Array, request: string): { readonly data: Uint8Array; readonly last: boolean } {
  if (reply[0] === 0x6d || reply[0] === 0x6c) return { data: reply.subarray(1), last: reply[0] === 0x6c };
  const text = expectText(reply, request);
  throw new RspError('RSP_MALFORMED', `the stub answered ${quote(request)} with ${quote(text)}`);
}
