// The pcapng we write, as Wireshark's tools read it: whole, and cut off after any block.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { errorCode } from '../../src/model/error.ts';
import { encodeHeader, encodePacket, encodeStatistics, PcapngFile, trimPcapng } from '../../src/network/pcapng.ts';
import { udp } from './support/frames.ts';
import { fieldsOf } from './support/tshark.ts';

const folder = mkdtempSync(join(tmpdir(), 'unidbg-pcapng-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const INTERFACES = ['n0', 'n1'].map((name) => ({ name, description: `virtio-net-pci.0 on -netdev user`, snapLength: 65536 }));
const AT = 1_795_278_552_123.456;

/** What a capture writes: packets of every length modulo 4, on two cards, the last one snapped. */
function blocks(): Buffer[] {
  const frames = [0, 1, 2, 3].map((more) => udp(more % 2 === 0, 1000, 2000, Buffer.alloc(40 + more, 'x')));
  const packets = frames.map((bytes, index) =>
    encodePacket({
      interface: index % 2,
      at: AT + index,
      length: bytes.length,
      bytes,
      from: index % 2 === 0 ? 'guest' : 'remote',
    }),
  );
  const snapped = encodePacket({ interface: 0, at: AT + 9, length: 1500, bytes: frames[0]!.subarray(0, 60), from: null });
  const statistics = [0, 1].map((index) =>
    encodeStatistics({ interface: index, startedAt: AT, endedAt: AT + 10, received: 10, dropped: index === 0 ? 7 : 0 }),
  );
  return [encodeHeader(INTERFACES, 'unidbg'), ...packets, snapped, ...statistics];
}

function write(name: string, parts: readonly Uint8Array[]): string {
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

describe('a pcapng file', () => {
  it('has its packets, times to the µs, cards and directions', () => {
    const rows = fieldsOf(write('whole.pcapng', blocks()), [
      'frame.time_epoch',
      'frame.interface_name',
      'frame.len',
      'frame.cap_len',
      'frame.packet_flags_direction',
    ]);
    expect(rows.map(([time]) => time)).toEqual(
      ['52.123456', '53.123456', '54.123456', '55.123456', '61.123456'].map((_text, index) => {
        const at = AT + [0, 1, 2, 3, 9][index]!;
        return `${String(Math.floor(at / 1000))}.${String(Math.round((at % 1000) * 1000)).padStart(6, '0')}000`;
      }),
    );
    expect(rows.map(([, name]) => name)).toEqual(['n0', 'n1', 'n0', 'n1', 'n0']);
    expect(rows.at(-1)!.slice(2, 4)).toEqual(['1500', '60']);
    expect(rows.map((row) => Number(row[4]))).toEqual([2, 1, 2, 1, 0]);
  });

  it('tells how many packets were lost, to capinfos', () => {
    const text = execFileSync('capinfos', [write('statistics.pcapng', blocks())], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(text).toContain('Capture application: unidbg');
    expect(text).toMatch(/Name = n0[\s\S]*Name = n1/);
    expect(readFileSync(join(folder, 'statistics.pcapng')).subarray(-4).readUInt32LE()).toBeGreaterThan(0);
  });

  it('reads without complaint when it ends after any block', () => {
    const all = blocks();
    // capinfos exits with 1 for a file that is damaged or cut in mid-block; all at once, since starting it takes a while.
    const paths = all.map((_block, index) => write(`cut${String(index)}.pcapng`, all.slice(0, index + 1)));
    const text = execFileSync('capinfos', ['-T', '-c', '-r', ...paths], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    const counts = text
      .trim()
      .split('\n')
      .map((line) => Number(line.split('\t').at(-1)));
    expect(counts).toEqual([0, 1, 2, 3, 4, 5, 5, 5]);
  });

  it('is made of blocks whose two lengths agree, as its readers walk it', () => {
    const bytes = Buffer.concat(blocks());
    let at = 0;
    while (at < bytes.length) {
      const length = bytes.readUInt32LE(at + 4);
      expect(length % 4).toBe(0);
      expect(bytes.readUInt32LE(at + length - 4)).toBe(length);
      at += length;
    }
    expect(at).toBe(bytes.length);
  });

  it('is on disk after a flush, and nobody else may read it', () => {
    const path = join(folder, 'flushed.pcapng');
    const file = new PcapngFile(path, INTERFACES);
    const [, packet] = blocks();
    file.write(packet!);
    file.flush();
    expect(fieldsOf(path, ['frame.number'])).toHaveLength(1);
    file.close();
    expect(execFileSync('stat', ['-c', '%a', path], { encoding: 'utf8' }).trim()).toBe('600');
  });

  it('that was cut anywhere is cut back to its last whole block, and nothing else is touched', () => {
    const all = blocks();
    const whole = Buffer.concat(all);
    const ends = all.map((_block, index) => all.slice(0, index + 1).reduce((sum, one) => sum + one.length, 0));
    for (let cut = all[0]!.length; cut <= whole.length; cut += 1) {
      const path = write('torn.pcapng', [whole.subarray(0, cut)]);
      trimPcapng(path);
      expect(statSync(path).size).toBe(ends.findLast((end) => end <= cut));
    }
    const other = write('other.txt', [Buffer.from('no capture at all, but long enough')]);
    trimPcapng(other);
    expect(statSync(other).size).toBe(34);
  });

  it('that cannot be made is a clear error', () => {
    let code: string | null = null;
    try {
      new PcapngFile(join(folder, 'nowhere', 'x.pcapng'), INTERFACES);
    } catch (error) {
      code = errorCode(error);
    }
    expect(code).toBe('FILE_UNREADABLE');
  });
});
