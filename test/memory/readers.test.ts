import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { openMappedFile, parseMappings, readMappings } from '../../src/memory/host-mappings.ts';
import { locateRegions, parseHostAddress } from '../../src/memory/host-regions.ts';
import { createPmemsaveReader, createXpReader, parseXp } from '../../src/memory/monitor-readers.ts';
import { createFileReader } from '../../src/memory/physical.ts';
import type { RamRegion } from '../../src/memory/ram-layout.ts';

const folder = mkdtempSync(join(tmpdir(), 'unidbg-readers-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** RAM as the guest has it: 8 KiB below a hole, 8 KiB above it; byte n of the backing file is n mod 251. */
const backing = Uint8Array.from({ length: 16384 }, (_, index) => index % 251);
const regions: readonly RamRegion[] = [
  { start: 0n, end: 0x2000n, name: 'mem', offset: 0n },
  { start: 0x10000n, end: 0x12000n, name: 'mem', offset: 0x2000n },
];

function backingAt(address: bigint, length: number): Uint8Array {
  const offset = Number(address < 0x2000n ? address : address - 0x10000n + 0x2000n);
  return backing.slice(offset, offset + length);
}

/** A QEMU that answers xp and pmemsave from the backing bytes. */
const ask = (line: string): Promise<string> => {
  const xp = /^xp \/(\d+)gx 0x([0-9a-f]+)$/.exec(line);
  if (xp !== null) return Promise.resolve(printXp(BigInt(`0x${xp[2]!}`), Number(xp[1])));
  const save = /^pmemsave 0x([0-9a-f]+) (\d+) "(.*)"$/.exec(line)!;
  writeFileSync(save[3]!, backingAt(BigInt(`0x${save[1]!}`), Number(save[2])));
  return Promise.resolve('');
};

function printXp(address: bigint, words: number): string {
  const bytes = backingAt(address, words * 8);
  const view = new DataView(bytes.buffer);
  const lines: string[] = [];
  for (let word = 0; word < words; word += 2) {
    const pair = [word, word + 1].filter((index) => index < words);
    const text = pair
      .map(
        (index) =>
          `0x${view
            .getBigUint64(index * 8, true)
            .toString(16)
            .padStart(16, '0')}`,
      )
      .join(' ');
    lines.push(`${(address + BigInt(word * 8)).toString(16).padStart(16, '0')}: ${text}`);
  }
  return lines.join('\r\n');
}

function openFileReader(): ReturnType<typeof createFileReader> {
  const path = join(folder, 'ram');
  writeFileSync(path, backing);
  const fd = openSync(path, 'r');
  return createFileReader(
    'ram-file',
    path,
    regions.map(({ start, end, offset }) => ({ start, end, fd, position: offset })),
  );
}

describe.each([
  ['file positions', openFileReader],
  ['HMP xp', () => createXpReader(ask, regions)],
  ['HMP pmemsave', () => createPmemsaveReader(ask, regions, 0)],
])('the contract of a physical reader, over %s', (_title, open) => {
  const reader = open();
  afterAll(() => {
    reader.close();
  });

  it.each([
    [0n, 4096],
    [0x1000n, 4096],
    [0x10000n, 8192],
    [0xffdn, 7],
    [1n, 1],
    [0x11fffn, 1],
  ])('gives the guest’s bytes at 0x%s, %i long', async (address, length) => {
    const into = new Uint8Array(length);
    expect(await reader.read(address, into)).toBe(true);
    expect(into).toEqual(backingAt(address, length));
    if (reader.readSync !== null) expect(reader.readSync(address, new Uint8Array(length))).toBe(true);
  });

  it.each([
    ['in a hole', 0x8000n],
    ['beyond the end', 0x12000n],
    ['far away', 0x000f_ffff_ffff_f000n],
  ])('is false %s', async (_where, address) => {
    expect(await reader.read(address, new Uint8Array(16))).toBe(false);
  });

  it('is false when only a part is RAM', async () => {
    expect(await reader.read(0x1ff8n, new Uint8Array(16))).toBe(false);
  });
});

describe('reading what QEMU and the kernel print', () => {
  it('takes an xp listing only when it is whole', () => {
    const text = '0000000000100000: 0x736978656e6f6e2f 0x6c6f732f746e6574\r\n';
    expect(Buffer.from(parseXp(text, 2)!).toString('latin1')).toBe('/nonexistent/sol');
    expect(parseXp(text, 1)).toBeNull();
    expect(parseXp(text, 3)).toBeNull();
    expect(parseXp('0000000200000000: Cannot access memory\r\n', 1)).toBeNull();
  });

  it('tells a host address from QEMU’s refusals', () => {
    expect(parseHostAddress('Host virtual address for 0x100000 (pc.ram) is 0x7f25fbf00000\r\n')).toBe(0x7f25fbf00000n);
    expect(parseHostAddress('Memory at address 0xfee00000 is not RAM\r\n')).toBeNull();
    expect(parseHostAddress('No memory is mapped at address 0x200000000\r\n')).toBeNull();
  });

  it('leaves out a region whose two ends do not lie in one mapping', async () => {
    const answers: Record<string, string> = { '0x0': '0x1000', '0x1fff': '0x2fff', '0x10000': '0x9000', '0x11fff': '0xffff' };
    const located = await locateRegions((line) => Promise.resolve(`… (mem) is ${answers[line.split(' ')[1]!]!}`), regions);
    expect(located).toEqual([{ ...regions[0], host: 0x1000n }]);
  });

  it('reads mappings, shared and private, with spaces in their paths', () => {
    const text = [
      '7f0543fff000-7f06c3fff000 rw-s 00000000 00:01 2061 /memfd:memory-backend-memfd (deleted)',
      '7f06c4000000-7f06c4021000 rw-p 00000000 00:00 0 ',
      '7f06c5000000-7f06c5001000 r--p 00002000 fe:00 1234 /usr/lib/a b.so',
      'garbage',
    ].join('\n');
    expect(parseMappings(text)).toEqual([
      {
        start: 0x7f0543fff000n,
        end: 0x7f06c3fff000n,
        shared: true,
        fileOffset: 0n,
        inode: 2061,
        path: '/memfd:memory-backend-memfd (deleted)',
      },
      { start: 0x7f06c5000000n, end: 0x7f06c5001000n, shared: false, fileOffset: 0x2000n, inode: 1234, path: '/usr/lib/a b.so' },
    ]);
  });

  it('opens the file behind a mapping of this very process', () => {
    const mapping = readMappings(process.pid).find(({ path }) => path === process.execPath)!;
    const fd = openMappedFile(process.pid, mapping)!;
    expect(readFileSync(fd).subarray(0, 4).toString('latin1')).toBe('\x7fELF');
    closeSync(fd);
  });

  it('does not open another file that has taken the place of the mapped one', () => {
    const path = join(folder, 'replaced');
    writeFileSync(path, 'x');
    const mapping = { start: 0n, end: 0x1000n, shared: true, fileOffset: 0n, inode: 1, path };
    expect(openMappedFile(process.pid, mapping)).toBeNull();
  });

  it('never throws on any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        parseXp(text, 4);
        parseHostAddress(text);
        parseMappings(text);
      }),
    );
  });
});
