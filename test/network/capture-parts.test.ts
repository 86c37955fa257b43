// The parts of a capture that need no QEMU: its cards, its growing file, its clock, what is thrown away, the janitor.

import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorCode, errorMessage } from '../../src/model/error.ts';
import { openCapture } from '../../src/network/capture.ts';
import { CaptureClock } from '../../src/network/capture-clock.ts';
import { CaptureFile } from '../../src/network/capture-file.ts';
import { captureName, isLeftOver, openCaptureFolder, punchHole, removeFolder } from '../../src/network/capture-folder.ts';
import { findDiscard, writeDiscard } from '../../src/network/discards.ts';
import { readRecords } from '../../src/network/dump-reader.ts';
import { parseNetworkSetup } from '../../src/network/network-cards.ts';
import { openJanitor } from '../../src/network/open-janitor.ts';
import { VnetHeader } from '../../src/network/vnet-header.ts';
import { GUEST_MAC, udp } from './support/frames.ts';

// Debian's QEMU 7.2 and 10.0, a VM with a bit of everything.
const INFO_NETWORK = `hub 0
 \\ hub0port1: #net344: index=0,type=user,net=10.0.2.0,restrict=off
 \\ hub0port0: rtl8139.0: index=0,type=nic,model=rtl8139,macaddr=52:54:00:12:34:58
e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56
 \\ #net081: index=0,type=user,net=10.0.2.0,restrict=off
virtio-net-pci.1: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:59
 \\ n0: index=0,type=user,net=10.0.2.0,restrict=off
filters:
  - unidbg-a: type=filter-dump,file=/tmp/a.pcap,maxlen=65536,position=tail,status=on,insert=behind,netdev=n0,queue=all
virtio-net-pci.2: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:5a
 \\ t1: index=0,type=tap,ifname=tap1,script=no,downscript=no
virtio-net-pci.2: index=1,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:5a
 \\ t1: index=1,type=tap,fd=31
lonely: index=0,type=user,net=10.0.2.0,restrict=off
`;

describe('the cards of a VM', () => {
  it('are read from "info network": each backend once, hubs and queues too, and none without a card', () => {
    const { cards, filters } = parseNetworkSetup(INFO_NETWORK.replaceAll('\n', '\r\n'));
    expect(cards.map(({ netdev, type, cards: on }) => [netdev, type, ...on.map(({ mac }) => mac)])).toEqual([
      ['#net344', 'user', '52:54:00:12:34:58'],
      ['#net081', 'user', '52:54:00:12:34:56'],
      ['n0', 'user', '52:54:00:12:34:59'],
      ['t1', 'tap', '52:54:00:12:34:5a'],
    ]);
    expect(filters).toEqual(['unidbg-a']);
  });

  it('are none in any other text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (text) => void parseNetworkSetup(text)),
      { numRuns: 500 },
    );
    expect(parseNetworkSetup('unknown command: info network').cards).toEqual([]);
  });
});

/** A record of filter-dump: a stamp in µs and a frame. */
function record(stamp: number, frame: Buffer): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(Math.floor(stamp / 1e6), 0);
  header.writeUInt32LE(stamp % 1e6, 4);
  header.writeUInt32LE(frame.length, 8);
  header.writeUInt32LE(frame.length, 12);
  return Buffer.concat([header, frame]);
}

const FILE_HEADER = Buffer.from('d4c3b2a1020004000000000000000000000001000100000000'.slice(0, 48), 'hex');
const FRAME = udp(true, 1, 2, Buffer.alloc(100, 'x'));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'unidbg-parts-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function openFile(): CaptureFile {
  return new CaptureFile(join(folder, '0.pcap'), { folder, index: 0, clock: new CaptureClock() });
}

describe('a file that grows', () => {
  it('gives each packet once, however it is cut when it is looked at', () => {
    const bytes = Buffer.concat([FILE_HEADER, ...[1, 2, 3].map((index) => record(5e6 + index, FRAME))]);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      writeFileSync(join(folder, '0.pcap'), bytes.subarray(0, cut));
      const file = openFile();
      const first = file.read().records.map(({ stamp }) => stamp);
      appendFileSync(join(folder, '0.pcap'), bytes.subarray(cut));
      const second = file.read().records.map(({ stamp }) => stamp);
      file.close();
      expect([...first, ...second]).toEqual([5_000_001, 5_000_002, 5_000_003]);
    }
  });

  it('is read no further where it is no capture, and nothing is thrown', () => {
    writeFileSync(join(folder, '0.pcap'), Buffer.concat([FILE_HEADER, record(1e6, FRAME), Buffer.alloc(64, 0xff)]));
    const file = openFile();
    expect(file.read().records).toHaveLength(1);
    expect(file.broken).toBe(true);
    file.close();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readRecords(bytes, 'little')),
      { numRuns: 2000 },
    );
  });

  it('whose beginning was thrown away says how many packets that were', () => {
    const path = join(folder, '0.pcap');
    writeFileSync(path, Buffer.concat([FILE_HEADER, ...Array.from({ length: 100 }, (_, index) => record(5e6 + index, FRAME))]));
    const file = openFile();
    const end = 24 + 90 * (16 + FRAME.length);
    writeDiscard(folder, { file: 0, end, packets: 90 });
    writeDiscard(folder, { file: 1, end: 7, packets: 7 });
    punchHole(path, end);
    expect(file.read()).toMatchObject({ lost: 90, records: [] });
    expect(file.read().records.map(({ stamp }) => stamp - 5e6)).toEqual([90, 91, 92, 93, 94, 95, 96, 97, 98, 99]);
    file.close();
    expect(findDiscard(folder, 1)).toEqual({ file: 1, end: 7, packets: 7 });
  });
});

describe('the clock of a capture', () => {
  it('takes the time from the file and the differences from QEMU', () => {
    const clock = new CaptureClock();
    clock.calibrate(7_000_000, 1_000_000);
    expect(clock.toEpochMs(7_000_250)).toBe(1_000_000.25);
    // A file's time is coarse: what differs by less than a few ticks changes nothing.
    clock.calibrate(8_000_000, 1_001_004);
    expect(clock.toEpochMs(8_000_000)).toBe(1_001_000);
  });

  it('follows a VM that was paused: its clock stood still', () => {
    const clock = new CaptureClock();
    clock.calibrate(7_000_000, 1_000_000);
    clock.calibrate(7_500_000, 1_060_500);
    expect(clock.toEpochMs(7_500_000)).toBe(1_060_500);
  });
});

describe('virtio headers before frames, as QEMU 7.2 dumps them', () => {
  it('are found by where the guest is', () => {
    const vnet = new VnetHeader([GUEST_MAC]);
    const broadcast = Buffer.concat([Buffer.alloc(12), Buffer.alloc(6, 0xff), Buffer.alloc(60, 1)]);
    expect(vnet.lengthIn(FRAME)).toBe(0);
    expect(vnet.lengthIn(Buffer.concat([Buffer.alloc(12), FRAME]))).toBe(12);
    expect(vnet.lengthIn(broadcast)).toBe(12);
    expect(vnet.lengthIn(Buffer.concat([Buffer.alloc(10), udp(false, 1, 2, Buffer.alloc(1))]))).toBe(10);
    expect(vnet.lengthIn(Buffer.alloc(3))).toBe(10);
  });

  it('are known by their zeros while only others speak', () => {
    const multicast = (first: string): Buffer => Buffer.concat([Buffer.from(first, 'hex'), Buffer.alloc(60, 7)]);
    const lengthOf = (frame: Buffer): number => new VnetHeader([GUEST_MAC]).lengthIn(frame);
    expect(lengthOf(Buffer.concat([Buffer.alloc(12), multicast('333300000016')]))).toBe(12);
    expect(lengthOf(Buffer.concat([Buffer.alloc(10), Buffer.from([1, 0]), multicast('333300000016')]))).toBe(12);
    expect(lengthOf(Buffer.concat([Buffer.alloc(10), multicast('01005e0000fb')]))).toBe(10);
    expect(lengthOf(multicast('01005e0000fb'))).toBe(0);
  });
});

describe('a folder for a capture', () => {
  it('is private, and named so that a dead owner is known', () => {
    const made = openCaptureFolder(process.pid);
    expect(made).toMatchObject({ keepBytes: expect.any(Number) as number });
    if (typeof made === 'string') throw new Error(made);
    expect(statSync(made.here).mode & 0o777).toBe(0o700);
    expect(made.here).toBe(made.there);
    removeFolder(made.here);
    expect(isLeftOver(`${captureName()}x`)).toBe(false);
    expect(isLeftOver('unidbg-capture-1-7-abc')).toBe(true);
    expect(isLeftOver('unidbg-other')).toBe(false);
  });

  it('is refused with the reason when QEMU is not here', () => {
    expect(openCaptureFolder(2 ** 30)).toContain('not on this machine');
  });

  it('of a dead unidbg is removed when the next one is made', () => {
    const base = tmpdir();
    const dead = join(process.env['XDG_RUNTIME_DIR'] ?? (existsSync('/dev/shm') ? '/dev/shm' : base), 'unidbg-capture-1-7-left');
    mkdirSync(dead, { mode: 0o700 });
    const made = openCaptureFolder(process.pid);
    if (typeof made === 'string') throw new Error(made);
    removeFolder(made.here);
    expect(existsSync(dead)).toBe(false);
  });
});

describe('the janitor', () => {
  it('frees what was read, throws away what waits beyond the limit and counts it, and cleans up when its master is gone', async () => {
    const path = join(folder, '0.pcap');
    const records = Array.from({ length: 2000 }, (_, index) => record(5e6 + index, udp(true, 1, 2, Buffer.alloc(1000))));
    writeFileSync(path, Buffer.concat([FILE_HEADER, ...records, Buffer.alloc(7, 1)]));
    // A QEMU that has ended: there is nothing to ask, only to clean.
    const gone = spawn('true');
    await new Promise((resolve) => gone.once('exit', resolve));
    const order = { monitor: 'unix:/nowhere', qemuPid: gone.pid!, filters: ['x'], folder, files: [path], keepBytes: 100_000 };
    const janitor = openJanitor(order);
    for (let waited = 0; findDiscard(folder, 0) === null && waited < 100; waited += 1) await sleep(50);
    expect(findDiscard(folder, 0)).toEqual({ file: 0, end: statSync(path).size - 7, packets: 2000 });
    for (let waited = 0; statSync(path).blocks * 512 > 16 * 1024 && waited < 100; waited += 1) await sleep(50);
    expect(statSync(path).blocks * 512).toBeLessThanOrEqual(16 * 1024);
    await janitor.dismiss();
    expect(existsSync(folder)).toBe(false);
  });
});

describe('a capture that cannot be', () => {
  const sink = { onPacket: () => undefined, onLost: () => undefined, onRemark: () => undefined };
  const CARD = 'c: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56\n \\ t0: index=0,type=tap,ifname=tap0\n';
  const refusal = async (answers: (line: string) => string, pid: number | null = process.pid): Promise<string> => {
    const monitor = { where: 'unix:/nowhere', hmp: (line: string) => Promise.resolve(answers(line)) };
    const error: unknown = await openCapture(monitor, { pid }, sink).catch((cause: unknown) => cause);
    expect(errorCode(error)).toBe('CAPTURE_REFUSED');
    return errorMessage(error);
  };
  const qemuSays = (error: string) => (line: string) =>
    line === 'info network' ? CARD : line.startsWith('object_add') ? error : '';

  it('says why: no card, a kernel or queues that QEMU does not see, another machine', async () => {
    expect(await refusal(() => '')).toContain('no network card');
    expect(await refusal(qemuSays('Error: Vhost is not supported\r\n'))).toContain('t0: its packets go past QEMU');
    expect(await refusal(qemuSays('Error: multiqueue is not supported\r\n'))).toContain('start it with queues=1');
    expect(await refusal(qemuSays(''))).toContain('QEMU writes its file where unidbg does not see it');
    expect(await refusal(qemuSays(''), null)).toContain('not on this machine');
  });

  it('takes out what a dead unidbg left, and nothing else', async () => {
    const asked: string[] = [];
    const left = 'filters:\n  - unidbg-capture-1-7-x1-0: type=filter-dump,netdev=t0\n  - mine: type=filter-dump,netdev=t0\n';
    await refusal((line) => {
      asked.push(line);
      return line === 'info network' ? left : '';
    });
    expect(asked).toEqual(['info network', 'object_del unidbg-capture-1-7-x1-0']);
  });
});
