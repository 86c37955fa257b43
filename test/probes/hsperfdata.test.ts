// HotSpot's performance data as bytes: both byte orders, cut anywhere, hostile; and found in a library's data without a symbol.

import { describe, expect, it } from 'vitest';
import { decodePrologue, indexEntries, type PerfPrologue, readNumber, readText } from '../../probes/agentless/hsperfdata.ts';
import { jvm } from '../../probes/agentless/jvm.ts';
import type { Image } from '../../src/model/image.ts';
import type { ProbeGuest } from '../../src/model/probe.ts';

type Value = number | bigint | string;

/** Entries as perfData.cpp lays them out: name behind the header, the value aligned to 8 bytes behind it. */
function encode(values: Readonly<Record<string, Value>>, littleEndian = true, modified = 1n): Uint8Array {
  const entries = Object.entries(values).map(([name, value]) => {
    const dataOffset = (20 + name.length + 1 + 7) & ~7;
    const size = typeof value === 'string' ? value.length + 1 : 8;
    const bytes = Buffer.alloc((dataOffset + size + 7) & ~7);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    view.setUint32(0, bytes.length, littleEndian);
    view.setUint32(4, 20, littleEndian);
    view.setUint32(8, typeof value === 'string' ? size : 0, littleEndian);
    view.setUint8(12, typeof value === 'string' ? 0x42 : 0x4a);
    view.setUint32(16, dataOffset, littleEndian);
    bytes.write(name, 20, 'latin1');
    if (typeof value === 'string') bytes.write(value, dataOffset, 'latin1');
    else view.setBigInt64(dataOffset, BigInt(value), littleEndian);
    return bytes;
  });
  const prologue = Buffer.alloc(32);
  const view = new DataView(prologue.buffer, prologue.byteOffset, 32);
  const used = 32 + entries.reduce((sum, { length }) => sum + length, 0);
  prologue.set([0xca, 0xfe, 0xc0, 0xc0, littleEndian ? 1 : 0, 2, 0, 1]);
  view.setUint32(8, used, littleEndian);
  view.setBigUint64(16, modified, littleEndian);
  view.setUint32(24, 32, littleEndian);
  view.setUint32(28, entries.length, littleEndian);
  return Buffer.concat([prologue, ...entries]);
}

const VALUES = {
  'java.threads.live': 6,
  'sun.gc.collector.0.invocations': 2n ** 40n,
  'sun.gc.policy.name': 'Copy:MSC',
  'sun.rt.javaCommand': 'Main \u001b[31m secret',
} as const;

function valuesIn(bytes: Uint8Array, prologue: PerfPrologue): Record<string, unknown> {
  const index = indexEntries(bytes, prologue);
  return Object.fromEntries(
    [...index].map(([name, place]) => [name, readNumber(bytes, prologue, place) ?? readText(bytes, place)]),
  );
}

describe('performance data', () => {
  it.each([true, false])('are read in the order of bytes that they name (little-endian: %s)', (littleEndian) => {
    const bytes = encode(VALUES, littleEndian);
    const prologue = decodePrologue(bytes);
    expect(prologue).toMatchObject({ littleEndian, accessible: true, used: bytes.length, entries: 4 });
    expect(valuesIn(bytes, prologue!)).toEqual({
      'java.threads.live': 6,
      'sun.gc.collector.0.invocations': 2 ** 40,
      'sun.gc.policy.name': 'Copy:MSC',
      'sun.rt.javaCommand': 'Main ?[31m secret',
    });
  });

  it('give what is whole when they are cut, at every length', () => {
    const bytes = encode(VALUES);
    const whole = decodePrologue(bytes)!;
    const counts = Array.from(bytes, (_, length) => {
      const cut = bytes.subarray(0, length);
      expect(decodePrologue(cut) === null).toBe(length < 32);
      return Object.values(valuesIn(cut, whole)).filter((value) => value !== null).length;
    });
    expect(counts.every((count, length) => count >= (counts[length - 1] ?? 0))).toBe(true);
    expect(counts.at(-1)).toBe(3);
  });

  it('neither throw nor go on for ever on any bytes', () => {
    const bytes = encode(VALUES);
    const prologue = decodePrologue(bytes)!;
    let seed = 7;
    for (let round = 0; round < 5000; round += 1) {
      const broken = Uint8Array.from(bytes);
      for (let change = 0; change < 4; change += 1) {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
        broken[seed % broken.length] = seed >>> 24;
      }
      const own = decodePrologue(broken);
      for (const head of own === null ? [prologue] : [own, prologue]) valuesIn(broken, head);
    }
    expect(decodePrologue(Uint8Array.from(bytes).fill(0xff, 8, 12))).toBeNull();
  });
});

/** Memory of a library whose data hold, among other pointers, one to performance data. */
function loadedLibrary(data: Uint8Array): {
  readonly memory: ProbeGuest['memory'];
  readonly image: Pick<Image, 'path' | 'base' | 'end' | 'match'>;
} {
  const [base, segment, area] = [0x7000_0000n, 0x7100_04f8n, 0x7200_0000n];
  const header = Buffer.alloc(0x1000);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1]);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(2, 56);
  // A segment of code, and one of data: type, flags, offset, address, …, size in memory.
  header.set([1, 0, 0, 0, 5, 0, 0, 0], 64);
  header.set([1, 0, 0, 0, 6, 0, 0, 0], 64 + 56);
  header.writeBigUInt64LE(segment - base, 64 + 56 + 16);
  header.writeBigUInt64LE(0x3000n, 64 + 56 + 40);
  const words = Buffer.alloc(0x4000);
  words.writeBigUInt64LE(base, 0x500);
  words.writeBigUInt64LE(0x1000n, 0x508);
  words.writeBigUInt64LE(area, 0x2a10);
  const pieces = [
    { start: base, bytes: header },
    { start: segment & ~0xfffn, bytes: words },
    { start: area, bytes: data },
  ];
  const read = (address: bigint, length: number): Uint8Array | null => {
    const piece = pieces.find(({ start, bytes }) => address >= start && address + BigInt(length) <= start + BigInt(bytes.length));
    return piece === undefined
      ? null
      : piece.bytes.subarray(Number(address - piece.start), Number(address - piece.start) + length);
  };
  return { memory: { read }, image: { path: '/jre/lib/server/libjvm.so', base, end: base + 0x200_0000n, match: 'no-file' } };
}

describe('a JVM without symbols', () => {
  const { memory, image } = loadedLibrary(encode(VALUES));
  const guest = (overrides: Partial<ProbeGuest>): ProbeGuest => ({
    memory,
    types: { findVariable: () => null, findType: () => null },
    symbols: { findSymbol: () => null },
    images: [image],
    ...overrides,
  });

  it('is found by a pointer in the data of the library that the guest has loaded', () => {
    expect(jvm.missing(guest({}))).toBeNull();
    expect(jvm.sample(guest({}))).toMatchObject({ 'jvm.gc.minor.cycles': 2 ** 40, 'jvm.info': [{ value: 1 }] });
  });

  it('that began anew at the same place is read by its own names', () => {
    const symbols = guest({}).symbols;
    const first = jvm.sample(
      guest({ symbols, memory: loadedLibrary(encode({ 'java.threads.started': 5, 'sun.rt.safepoints': 7 })).memory }),
    );
    const later = encode({ 'sun.rt.safepoints': 1, 'java.threads.started': 2 }, true, 2n);
    const second = jvm.sample(guest({ symbols, memory: loadedLibrary(later).memory }));
    expect([first['jvm.thread.started'], second['jvm.thread.started']]).toEqual([5, 2]);
  });

  it.each(['ZGC minor collection pauses', 'Shenandoah full'])(
    'does not take the pauses of a concurrent collector for collections: %s',
    (name) => {
      const [count, time] = ['sun.gc.collector.0.invocations', 'sun.gc.collector.0.time'] as const;
      const data = encode({ [count]: 20, [time]: 7, 'sun.gc.collector.0.name': name });
      const readings = jvm.sample(guest({ symbols: { findSymbol: () => null }, memory: loadedLibrary(data).memory }));
      expect(readings['jvm.gc.minor.cycles']).toMatchObject({ absent: expect.stringContaining('pauses') as string });
      expect(readings['jvm.gc.major.cycles']).toMatchObject({ absent: expect.stringContaining('pauses') as string });
      expect(readings['jvm.gc.collections']).toEqual([{ value: 20, attributes: { 'jvm.gc.name': name } }]);
    },
  );

  it('says nothing of the arguments of its command', () => {
    const info = jvm.sample(guest({}))['jvm.info'];
    expect(JSON.stringify(info)).toContain('"jvm.command":"Main"');
    expect(JSON.stringify(info)).not.toContain('secret');
  });

  it('is not looked for in other libraries, nor in a file that is not what the guest runs', () => {
    for (const other of [{ path: '/lib/libc.so.6' }, { match: 'mismatch' as const }]) {
      expect(jvm.missing(guest({ images: [{ ...image, ...other }] }))).toContain('libjvm.so');
    }
  });

  it('that still starts, or has gone, is said to', () => {
    const starting = loadedLibrary(encode(VALUES).fill(0, 7, 8));
    const early = jvm.sample(guest({ memory: starting.memory }));
    expect(early['jvm.gc.minor.cycles']).toEqual({ absent: 'the JVM is still starting' });
    const gone = jvm.sample(guest({ memory: loadedLibrary(new Uint8Array(64)).memory }));
    expect(gone['jvm.gc.minor.cycles']).toMatchObject({ absent: expect.stringContaining('not found') as string });
  });
});
