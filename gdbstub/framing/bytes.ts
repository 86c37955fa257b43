// Bytes as the protocol writes them: Latin-1 text, two lower-case hex digits a byte, big-endian hex numbers without prefix.
// GDB manual, appendix E.1 "Overview".

import { RspError } from '../error.ts';

/** Bytes as text, one character a byte. */
export function decodeLatin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** Text as bytes; characters above U+00FF keep their low eight bits. */
export function encodeLatin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

/** Bytes as hex digits. */
export function encodeHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Hex digits as bytes. Throws RSP_MALFORMED on an odd count or any other character. */
export function decodeHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new RspError('RSP_MALFORMED', `the stub sent ${quote(text)} where hex bytes were due`);
  }
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** A number as the protocol writes it: hex, no prefix. */
export function encodeNumber(value: bigint | number): string {
  return value.toString(16);
}

/** Hex digits (at most 16) as a number. Throws RSP_MALFORMED. */
export function decodeNumber(text: string): bigint {
  if (!/^[0-9a-fA-F]{1,16}$/.test(text))
    throw new RspError('RSP_MALFORMED', `the stub sent ${quote(text)} where a hex number was due`);
  return BigInt(`0x${text}`);
}

/** A stub's text for a message: printable, at most 60 characters. */
export function quote(text: string): string {
  const shown = text.slice(0, 60).replace(/[^\x20-\x7e]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `"${shown}${text.length > 60 ? '…' : ''}"`;
}
