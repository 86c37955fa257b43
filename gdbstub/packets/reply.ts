// What most replies have in common: `OK`, `Exx`, `E.words`, or nothing for "I do not know this packet". GDB manual, E.1.

import { RspError } from '../error.ts';
import { decodeLatin1, quote } from '../framing/bytes.ts';

/** The reply's text. Throws RSP_REFUSED for an error reply and RSP_UNSUPPORTED for the empty one; `request` is for the message. */
export function expectText(reply: Uint8Array, request: string): string {
  const text = decodeLatin1(reply);
  if (text === '') throw new RspError('RSP_UNSUPPORTED', `the stub does not know ${quote(request)}`, { facts: { request } });
  if (isErrorReply(text)) {
    throw new RspError('RSP_REFUSED', `the stub refused ${quote(request)}: ${quote(text)}`, { facts: { request, reply: text } });
  }
  return text;
}

/** Passes when the reply is `OK`; throws as expectText, or RSP_MALFORMED for anything else. */
export function expectOk(reply: Uint8Array, request: string): void {
  const text = expectText(reply, request);
  if (text !== 'OK') throw new RspError('RSP_MALFORMED', `the stub answered ${quote(request)} with ${quote(text)}, not OK`);
}

/** Whether text is `E` and two hex digits, or the newer `E.` and words. */
export function isErrorReply(text: string): boolean {
  return /^E(?:[0-9a-fA-F]{2}$|\.)/.test(text);
}
