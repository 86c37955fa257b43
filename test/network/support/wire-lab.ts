// A network for tests, without root and without the outside world: a QEMU guest (iPXE from Debian's ipxe-qemu, or any) whose card
// is a socket, a relay in this process that may lose, delay and answer frames, and behind it a QEMU without a machine whose
// user network is the gateway 10.0.2.2.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What becomes of a frame: passed on, lost, or answered with another one. */
export type FrameRule = (frame: Buffer, from: 'guest' | 'gateway') => 'pass' | 'drop' | { readonly answer: Buffer };

/** A guest that boots from its network by iPXE, and what belongs to it. */
export interface NetworkGuest {
  readonly process: ChildProcess;
  /** Monitors: each takes one client. */
  readonly qmpPaths: readonly string[];
  readonly stop: () => Promise<void>;
}

/** A running lab. */
export interface WireLab extends NetworkGuest {
  /** Frames lost so far. */
  readonly dropped: () => number;
}

const MONITORS = 3;

/** Starts a guest with one virtio card on `netdev` (whose id is n0). It waits for `cont` (-S), so that a capture sees its first packet. */
export async function startNetworkGuest(netdev: string, qemu = 'qemu-system-x86_64'): Promise<NetworkGuest> {
  const folder = mkdtempSync(join(tmpdir(), 'network-guest-'));
  const qmpPaths = Array.from({ length: MONITORS }, (_, index) => join(folder, `qmp${String(index)}.sock`));
  const child = spawn(
    qemu,
    [
      ...['-M', 'q35', '-m', '512', '-accel', 'tcg', '-display', 'none', '-nodefaults', '-no-reboot', '-S'],
      ...['-netdev', netdev, '-device', 'virtio-net-pci,netdev=n0'],
      ...qmpPaths.flatMap((path) => ['-qmp', `unix:${path},server=on,wait=off`]),
    ],
    { stdio: 'ignore' },
  );
  while (!qmpPaths.every((path) => existsSync(path)) && child.exitCode === null) await sleep(20);
  return {
    ...{ process: child, qmpPaths },
    stop: async () => {
      await kill(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Starts the guest, the relay and the gateway; `bootfile` is what DHCP tells the guest to boot. */
export async function openWireLab(rule: FrameRule, bootfile: string): Promise<WireLab> {
  const relay = await openRelay(rule);
  const netdev = `socket,connect=127.0.0.1:${String(relay.port)}`;
  const gateway = spawn(
    'qemu-system-x86_64',
    [
      ...['-M', 'none', '-display', 'none', '-nodefaults', '-monitor', 'none', '-netdev', `user,id=u,bootfile=${bootfile}`],
      ...['-netdev', `${netdev},id=s`],
      ...['-netdev', 'hubport,id=h0,hubid=0,netdev=u', '-netdev', 'hubport,id=h1,hubid=0,netdev=s'],
    ],
    { stdio: 'ignore' },
  );
  await relay.gatewayIsHere;
  const guest = await startNetworkGuest(`${netdev},id=n0`);
  return {
    ...guest,
    dropped: relay.dropped,
    stop: async () => {
      await Promise.all([guest.stop(), kill(gateway)]);
      relay.server.close();
    },
  };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

interface Relay {
  readonly server: Server;
  readonly port: number;
  readonly gatewayIsHere: Promise<void>;
  readonly dropped: () => number;
}

/** The first to connect is the gateway, the second the guest. */
async function openRelay(rule: FrameRule): Promise<Relay> {
  const ends: Socket[] = [];
  let dropped = 0;
  const { promise: gatewayIsHere, resolve } = Promise.withResolvers<undefined>();
  const server = createServer((socket) => {
    const index = ends.push(socket) - 1;
    resolve(undefined);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on(
      'data',
      eachFrame((frame) => {
        const verdict = rule(frame, index === 0 ? 'gateway' : 'guest');
        if (verdict === 'drop') dropped += 1;
        else if (verdict === 'pass') send(ends[1 - index], frame);
        else send(socket, verdict.answer);
      }),
    );
  });
  await new Promise<void>((listening) => {
    server.listen(0, '127.0.0.1', listening);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { server, port, gatewayIsHere, dropped: () => dropped };
}

/** QEMU's -netdev socket over TCP: each frame with its length before it, four bytes, big-endian. */
function eachFrame(take: (frame: Buffer) => void): (chunk: Buffer) => void {
  let pending = Buffer.alloc(0);
  return (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE()) {
      const end = 4 + pending.readUInt32BE();
      take(Buffer.from(pending.subarray(4, end)));
      pending = pending.subarray(end);
    }
  };
}

function send(socket: Socket | undefined, frame: Buffer): void {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(frame.length);
  socket?.write(Buffer.concat([length, frame]));
}

/** The answer to a DNS query over IPv4 and UDP with a response code and no records; null when the frame is none. */
export function answerDns(frame: Buffer, code: number): Buffer | null {
  const header = 14 + (frame[14]! & 0xf) * 4;
  const isQuery = frame.readUInt16BE(12) === 0x0800 && frame[23] === 17 && frame.readUInt16BE(header + 2) === 53;
  if (!isQuery) return null;
  const answer = Buffer.from(frame);
  // Whoever asked is now whom it goes to: addresses and ports change places, and no checksum of IPv4 minds that.
  swap(answer, 0, 6, 6);
  swap(answer, 26, 30, 4);
  swap(answer, header, header + 2, 2);
  answer.writeUInt16BE(0, header + 6);
  answer.writeUInt16BE(0x8180 | code, header + 8 + 2);
  return answer;
}

function swap(bytes: Buffer, left: number, right: number, length: number): void {
  const kept = Buffer.from(bytes.subarray(left, left + length));
  bytes.copy(bytes, left, right, right + length);
  kept.copy(bytes, right);
}
