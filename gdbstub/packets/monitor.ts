// `qRcmd`: a command in the stub's own language (QEMU's monitor). Output comes as `O` packets, then `OK`, or as one hex reply.
// GDB manual, E.4. Folklore: QEMU's `OK` may come without any `O`; gdbserver ends with `OK` too, OpenOCD with hex.

import { decodeHex, decodeLatin1, encodeHex } from '../framing/bytes.ts';
import { expectText } from './reply.ts';

export function encodeMonitor(command: string): string {
  return `qRcmd,${encodeHex(Buffer.from(command, 'utf8'))}`;
}

/** What the last reply adds to the output that came before it. */
export function decodeMonitorEnd(reply: Uint8Array, request: string): string {
  const text = expectText(reply, request);
  return text === 'OK' ? '' : decodeLatin1(decodeHex(text));
}
