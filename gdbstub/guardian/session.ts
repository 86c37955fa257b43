// One debugger's time at the stub, as the guardian sees it: units pass through unchanged in both directions, are tracked,
// and when the debugger goes, however it goes, the guest is released.
//
//   debugger ── unix socket ── guardian ── the stub's own socket ── stub
//
// `D` is answered here and ends the session: what a detach does to a guest that was paused before is not left to the stub.

import type { Socket } from 'node:net';
import { openSocket } from '../client/endpoint.ts';
import { decodeLatin1 } from '../framing/bytes.ts';
import type { Unit } from '../framing/decoder.ts';
import { UnitDecoder } from '../framing/decoder.ts';
import { ACK, encodePacket } from '../framing/encode.ts';
import { findRefusal } from './policy.ts';
import type { ReleaseMeans, ReleaseReport } from './release.ts';
import { releaseGuest } from './release.ts';
import { Tracker } from './tracker.ts';

const CONNECT_MS = 5000;

/** Serves `client` until it goes or `ended` resolves, then releases the guest. Never throws for anything the ends do. */
export async function guardSession(
  client: Socket,
  options: ReleaseMeans & { readonly allowWrite: boolean },
  ended: Promise<unknown>,
): Promise<ReleaseReport> {
  const clientGone = new Promise((resolve) => client.once('close', resolve));
  client.on('error', () => client.destroy()).pause();
  const tracker = new Tracker();
  let stub: Socket;
  try {
    stub = await openSocket(options.gdb, { timeoutMs: CONNECT_MS });
  } catch (error) {
    client.destroy();
    return { guest: 'untouched', by: error instanceof Error ? error.message : String(error) };
  }
  const stubGone = new Promise((resolve) => stub.once('close', resolve));
  stub.on('error', () => stub.destroy());
  const detached = Promise.withResolvers<undefined>();
  const fromStub = passUnits(client, stub, {
    tracker,
    allowWrite: options.allowWrite,
    onDetach: () => {
      detached.resolve(undefined);
    },
  });
  await Promise.race([clientGone, stubGone, ended, detached.promise]);
  // A client that went without reading may have left the stub waiting for it.
  stub.removeAllListeners('data').resume();
  const report = await releaseGuest(options, tracker, { socket: stub, decoder: fromStub });
  // Only now: who waits for the end of its connection may rely on the guest being released.
  client.destroySoon();
  return report;
}

/** Starts the traffic; gives the decoder of the stub's side. */
function passUnits(
  client: Socket,
  stub: Socket,
  { tracker, allowWrite, onDetach }: { tracker: Tracker; allowWrite: boolean; onDetach: () => void },
): UnitDecoder {
  const fromClient = new UnitDecoder({ runLength: false });
  const fromStub = new UnitDecoder();
  let acksToSwallow = 0;
  const answer = (payload: string): void => {
    if (tracker.acks) acksToSwallow += 1;
    client.write(Buffer.concat([tracker.acks ? ACK : new Uint8Array(), encodePacket(payload)]));
  };
  const passToStub = (unit: Unit): void => {
    if (unit.type === 'ack' && acksToSwallow > 0) {
      acksToSwallow -= 1;
      return;
    }
    if (unit.type === 'packet') {
      if (/^D(?:;|$)/.test(decodeLatin1(unit.payload.subarray(0, 8)))) {
        answer('OK');
        onDetach();
        return;
      }
      const refusal = findRefusal(unit.payload, allowWrite);
      if (refusal === 'E01') answer(refusal);
      if (refusal === 'swallow' && tracker.acks) client.write(ACK);
      if (refusal !== null) return;
    }
    tracker.fromClient(unit);
    forward(unit, stub, client);
  };
  client.on('data', (chunk: Uint8Array) => {
    for (const unit of fromClient.push(chunk)) passToStub(unit);
  });
  stub.on('data', (chunk: Uint8Array) => {
    for (const unit of fromStub.push(chunk)) {
      tracker.fromStub(unit);
      forward(unit, client, stub);
    }
  });
  client.resume();
  return fromStub;
}

/** Writes a unit on; a receiver that does not read makes its sender wait. */
function forward(unit: Unit, to: Socket, from: Socket): void {
  if (!to.writable || to.write(unit.raw)) return;
  from.pause();
  to.once('drain', () => from.resume());
}
