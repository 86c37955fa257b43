// A stub made of a table: what each request is answered with. Speaks the protocol byte by byte, acknowledgements included.

import type { Duplex } from 'node:stream';
import { duplexPair } from 'node:stream';
import { decodeLatin1 } from '../../../gdbstub/framing/bytes.ts';
import { UnitDecoder } from '../../../gdbstub/framing/decoder.ts';
import { ACK, encodePacket } from '../../../gdbstub/framing/encode.ts';

/** The payloads sent for a request, in order; undefined = the empty reply ("unknown"), [] = none at all. */
export type Answers = (request: string) => string | readonly string[] | undefined;

/** The other end of a client's socket. */
export interface FakeStub {
  /** For the client. */
  readonly socket: Duplex;
  /** Requests seen, `<03>` for an interrupt. */
  readonly seen: readonly string[];
  /** Sends a packet unasked. */
  readonly send: (payload: string) => void;
  /** Sends bytes as they are. */
  readonly sendRaw: (bytes: Uint8Array | string) => void;
  readonly hangUp: () => void;
}

export function startFakeStub(answers: Answers, options: { readonly acks?: boolean } = {}): FakeStub {
  const [socket, own] = duplexPair();
  const decoder = new UnitDecoder({ runLength: false });
  const seen: string[] = [];
  let acks = options.acks ?? true;
  const send = (payload: string): void => void own.write(encodePacket(payload));
  own.on('error', () => undefined);
  own.on('data', (chunk: Uint8Array) => {
    for (const unit of decoder.push(chunk)) {
      if (unit.type === 'packet') receive(decodeLatin1(unit.payload));
      else if (unit.type === 'interrupt') reply('<03>', []);
    }
  });
  const receive = (request: string): void => {
    if (acks) own.write(ACK);
    reply(request, '');
    if (request === 'QStartNoAckMode') acks = false;
  };
  const reply = (request: string, otherwise: string | readonly string[]): void => {
    seen.push(request);
    const answer = answers(request) ?? otherwise;
    for (const payload of typeof answer === 'string' ? [answer] : answer) send(payload);
  };
  return { socket, seen, send, sendRaw: (bytes) => void own.write(bytes), hangUp: () => void own.end() };
}

/** Answers by exact request; functions get the request. */
export function table(entries: Readonly<Record<string, string | readonly string[]>>): Answers {
  return (request) => (Object.hasOwn(entries, request) ? entries[request] : undefined);
}
