// `g` and `p` read registers, `P` writes one. GDB manual, E.2. A register the stub cannot have is `xx` for each byte.

import { RspError } from '../error.ts';
import { decodeHex, encodeHex, encodeNumber, quote } from '../framing/bytes.ts';
import { expectText } from './reply.ts';

/** A register file as bytes; `known[i]` is 0 where the stub wrote `xx`. */
export interface RegisterBytes {
  readonly bytes: Uint8Array;
  readonly known: Uint8Array;
}

export const READ_REGISTERS = 'g';

export function encodeReadRegister(number: number): string {
  return `p${encodeNumber(number)}`;
}

export function encodeWriteRegister(number: number, bytes: Uint8Array): string {
  return `P${encodeNumber(number)}=${encodeHex(bytes)}`;
}

/** The reply to `g` or `p`. */
export function decodeRegisters(reply: Uint8Array, request: string): RegisterBytes {
  const text = expectText(reply, request);
  if (text.length % 2 !== 0) throw new RspError('RSP_MALFORMED', `half a byte in the reply to ${quote(request)}: ${quote(text)}`);
  const known = new Uint8Array(text.length / 2).fill(1);
  const digits = text.replace(/xx/gi, (_, at: number) => {
    if (at % 2 === 0) known[at / 2] = 0;
    return '00';
  });
  return { bytes: decodeHex(digits), known };
}
