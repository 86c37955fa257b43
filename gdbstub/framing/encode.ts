// Payload to `$…#cc`. GDB manual, appendix E.1 "Overview".

import { encodeLatin1 } from './bytes.ts';

const ESCAPED = new Set([0x23, 0x24, 0x7d, 0x2a]);
const FRAME = { packet: 0x24, notification: 0x25 } as const;

/** The byte that asks a running stub to stop; it stands outside any packet. */
export const INTERRUPT = Uint8Array.of(0x03);

/** "Received" and "send again". */
export const ACK = Uint8Array.of(0x2b);
export const NAK = Uint8Array.of(0x2d);

/** A framed packet (or notification) around `payload`; `$ # } *` inside are escaped. */
export function encodePacket(payload: Uint8Array | string, kind: keyof typeof FRAME = 'packet'): Uint8Array {
  const bytes = typeof payload === 'string' ? encodeLatin1(payload) : payload;
  const out: number[] = [FRAME[kind]];
  let sum = 0;
  const put = (byte: number): void => {
    out.push(byte);
    sum = (sum + byte) & 0xff;
  };
  for (const byte of bytes) {
    if (!ESCAPED.has(byte)) put(byte);
    else {
      put(0x7d);
      put(byte ^ 0x20);
    }
  }
  return Uint8Array.from([...out, 0x23, ...encodeLatin1(sum.toString(16).padStart(2, '0'))]);
}
