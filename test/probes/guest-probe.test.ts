// The in-guest probe against its decoder: the C file is compiled here and speaks; we listen.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProbeDecoder } from '../../probes/guest/decoder.ts';
import { ProbeMetrics } from '../../probes/guest/metrics.ts';
import { decodeRecord, type ProbeRecord } from '../../probes/guest/records.ts';
import { RingReader } from '../../probes/guest/ring.ts';
import type { AddressSpace } from '../../src/model/target.ts';
import { cuts } from '../support/cuts.ts';
import { RecordWriter } from './record-writer.ts';
import { speak } from './speaker.ts';

const directory = mkdtempSync(join(tmpdir(), 'unidbg-probe-'));

let framed: Uint8Array;
let ring: Uint8Array;
let turned: Uint8Array;

beforeAll(() => {
  ({ framed, ring, turned } = speak(directory));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

/** Everything a stream says, and how much of it was damaged. */
function decode(...chunks: readonly Uint8Array[]): { records: ProbeRecord[]; damaged: number } {
  const records: ProbeRecord[] = [];
  const decoder = new ProbeDecoder((view, start, length) => {
    records.push(decodeRecord(new Uint8Array(view.buffer.slice(start, start + length)))!);
  });
  for (const chunk of chunks) decoder.push(chunk);
  return { records, damaged: decoder.damaged };
}

/** What metrics make of a stream. */
function metricsOf(...chunks: readonly Uint8Array[]): ProbeMetrics {
  const metrics = new ProbeMetrics('test');
  const decoder = new ProbeDecoder(metrics.push);
  for (const chunk of chunks) decoder.push(chunk);
  return metrics;
}

const values = (metrics: ProbeMetrics): Record<string, number | null> =>
  Object.fromEntries(metrics.take().map((sample) => [sample.name, sample.value]));

const SAID = { 'app.requests': -5, 'app.load': 0.25 };
const SPAN = { 'app.gc.pause': 123456, 'app.gc.pause.count': 1, 'app.gc.pause.time': 123456 };

describe('the probe over a byte stream', () => {
  it('says the same wherever the stream is cut', () => {
    const whole = decode(framed);
    expect(whole.damaged).toBe(0);
    expect(values(metricsOf(framed))).toEqual({ ...SAID, ...SPAN });
    for (const pieces of cuts(framed)) expect(decode(...pieces)).toEqual(whole);
  });

  it('goes on after any damaged byte, and counts exactly what was lost', () => {
    const whole = decode(framed).records;
    for (let at = 0; at < framed.length - 1; at += 1) {
      const damaged = framed.slice();
      damaged[at] = damaged[at]! ^ 0x55;
      const heard = decode(damaged);
      expect(heard.damaged).toBeGreaterThan(0);
      expect(whole).toEqual(expect.arrayContaining(heard.records));
      // A first record from before, so that the loss of the first one here shows.
      const metrics = metricsOf(new RecordWriter().integer(1, 0).frames(), damaged);
      const seen = new Set([0, ...heard.records.map(({ sequence }) => sequence)]);
      expect(metrics.lost).toBe(Math.max(...seen) + 1 - seen.size);
    }
  });

  it('never throws, hangs or grows on garbage', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (garbage) => {
        decodeRecord(garbage);
        expect(decode(garbage, Uint8Array.of(0), framed).records.length).toBeGreaterThanOrEqual(6);
      }),
    );
  });

  it('takes any mutation of a real stream for records that it could say, or for damage', () => {
    const edit = fc.record({ at: fc.nat(framed.length - 1), bytes: fc.uint8Array({ maxLength: 8 }), drop: fc.nat(40) });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), fc.nat(50), (edits, cut) => {
        let stream = Buffer.from(framed);
        for (const { at, bytes, drop } of edits) {
          stream = Buffer.concat([stream.subarray(0, at), bytes, stream.subarray(at + drop)]);
        }
        const metrics = metricsOf(stream.subarray(0, cut), stream.subarray(cut));
        expect(metrics.take().length).toBeLessThanOrEqual(5);
        const whole = decode(framed).records;
        // A CRC of 32 bits: what comes through is what was said.
        expect(whole).toEqual(expect.arrayContaining(decode(stream).records));
      }),
      { numRuns: 300 },
    );
  });
});

const spaceOf = (bytes: () => Uint8Array): AddressSpace => {
  const read: AddressSpace['read'] = (address, length) => {
    const at = Number(address - 0x1000n);
    return at < 0 || at + length > bytes().length ? null : bytes().slice(at, at + length);
  };
  return { read, walk: (body) => Promise.resolve(body({ read })) };
};

interface RingHeard {
  readonly metrics: ProbeMetrics;
  readonly reader: RingReader;
  readonly read: (bytes: Uint8Array, after?: Uint8Array) => ReturnType<RingReader['read']>;
}

/** A reader that is shown a ring: `bytes` at first, `after` when it looks again. */
function openRing(): RingHeard {
  const metrics = new ProbeMetrics('ring');
  const reader = new RingReader(metrics.push);
  return {
    metrics,
    reader,
    read: (bytes, after = bytes) => {
      const shown = [bytes, after];
      return reader.read(() => {
        const now = shown.shift()!;
        return spaceOf(() => now);
      }, 0x1000n);
    },
  };
}

/** The ring with its header's count of written records moved on. */
function movedOn(bytes: Uint8Array, by: number): Uint8Array {
  const moved = bytes.slice();
  const view = new DataView(moved.buffer);
  view.setBigUint64(16, view.getBigUint64(16, true) + BigInt(by), true);
  return moved;
}

describe('the probe over a ring in RAM', () => {
  it('is read where it was left', async () => {
    const { metrics, reader, read } = openRing();
    expect(await read(ring)).toEqual({ records: 6, slots: 64 });
    expect(values(metrics)).toEqual({ ...SAID, ...SPAN });
    expect(await read(ring)).toEqual({ records: 0, slots: 64 });
    expect(metrics).toMatchObject({ records: 6, lost: 0 });
    expect(reader).toMatchObject({ lost: 0, damaged: 0 });
  });

  it('that nobody read yet has lost nothing, but for the slot that may be written to just now', async () => {
    const { metrics, reader, read } = openRing();
    await read(turned);
    expect(reader).toMatchObject({ lost: 0, damaged: 0 });
    expect(metrics.records).toBe(63);
  });

  it('that turned while nobody looked says how many records are lost, and still knows the names', async () => {
    const { metrics, reader, read } = openRing();
    await read(ring);
    const written = Number(new DataView(turned.buffer).getBigUint64(16, true));
    await read(turned);
    expect(metrics.records).toBe(6 + 63);
    expect(reader.lost).toBe(written - 6 - 63);
    expect(values(metrics)).toMatchObject({ 'app.requests': 199 });
  });

  it('does not believe what may have been overwritten while it was copied', async () => {
    const { metrics, reader, read } = openRing();
    await read(ring);
    await read(turned, movedOn(turned, 10));
    expect(metrics.records).toBe(6 + 53);
    expect(reader.lost + metrics.records).toBe(Number(new DataView(turned.buffer).getBigUint64(16, true)));
  });

  it('starts over with a guest that does', async () => {
    const { metrics, reader, read } = openRing();
    await read(turned);
    await read(ring);
    expect(metrics.records).toBe(63 + 6);
    expect(reader.lost).toBe(0);
  });

  it('is refused when it lies: no magic, absurd sizes, more records than there can be', async () => {
    expect(await openRing().read(new Uint8Array(4096))).toBeNull();
    const lying = ring.slice();
    new DataView(lying.buffer).setUint32(12, 0x8000_0000, true);
    expect(await openRing().read(lying)).toBeNull();
    const absurd = ring.slice();
    new DataView(absurd.buffer).setBigUint64(16, 1n << 60n, true);
    expect(await openRing().read(absurd)).toBeNull();
    const { metrics, read } = openRing();
    await read(movedOn(ring, 2 ** 50));
    expect(metrics.records).toBe(0);
  });

  it('never throws on a ring whose slots are garbage, 4 GiB lengths among it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(ring.length - 65), fc.nat(0xffff_ffff)), { maxLength: 60 }), async (pokes) => {
        const bytes = turned.slice();
        const view = new DataView(bytes.buffer);
        for (const [at, word] of pokes) view.setUint32(64 + (at & ~3), word, true);
        for (let slot = 0; slot < 64; slot += 7) view.setUint32(64 + slot * 128 + 8, 0xffff_ffff, true);
        const { metrics, reader, read } = openRing();
        await read(bytes);
        expect(reader.damaged).toBeGreaterThan(0);
        expect(metrics.records + reader.damaged).toBeLessThanOrEqual(64);
      }),
    );
  });
});

describe('probe metrics', () => {
  const heard = (writer: RecordWriter): ProbeMetrics => metricsOf(writer.frames());

  it('keep a value back until its name is known', () => {
    const writer = new RecordWriter().integer(1, 3);
    const metrics = heard(writer);
    expect(metrics.take()).toEqual([]);
    new ProbeDecoder(metrics.push).push(writer.declare(1, 'gauge', 'a.b', 'By').frames());
    expect(metrics.take()).toMatchObject([{ name: 'a.b', value: 3, unit: 'By' }]);
    expect(metrics.take()).toEqual([]);
  });

  it('give the newest value; of several spans the longest, and how many and how long they were together', () => {
    const writer = new RecordWriter().declare(1, 'gauge', 'a.gauge', 'By').declare(2, 'span', 'a.pause', 'ns');
    for (const value of [7, 9, 8]) writer.integer(1, value).span(2, value);
    const metrics = heard(writer);
    const told = (): readonly unknown[][] => metrics.take().map(({ name, value, unit, kind }) => [name, value, unit, kind]);
    expect(told()).toEqual([
      ['a.gauge', 8, 'By', 'gauge'],
      ['a.pause', 9, 'ns', 'gauge'],
      ['a.pause.count', 3, '{span}', 'counter'],
      ['a.pause.time', 24, 'ns', 'counter'],
    ]);
    new ProbeDecoder(metrics.push).push(writer.span(2, 5).frames());
    expect(told().map(([name, value]) => [name, value])).toEqual([
      ['a.pause', 5],
      ['a.pause.count', 4],
      ['a.pause.time', 29],
    ]);
  });

  it('tell the series of a metric apart by their attributes', () => {
    const writer = new RecordWriter();
    writer.declare(1, 'gauge', 'heap', 'By', 'space=old,kind=x').declare(2, 'gauge', 'heap', 'By', 'space=new');
    const samples = heard(writer.integer(1, 5).integer(2, 6)).take();
    expect(samples.map(({ attributes, value }) => [attributes, value])).toEqual([
      [{ space: 'old', kind: 'x' }, 5],
      [{ space: 'new' }, 6],
    ]);
  });

  it.each(['novalue', '=1', 'a=', 'a=1,a=2', 'a=1,b=2,c=3,d=4,e=5', 'a=\u001b[2J', '__proto__=1', '{a}=1'])(
    'do not show a series whose attributes are %j',
    (attributes) => {
      expect(heard(new RecordWriter().declare(1, 'gauge', 'heap', 'By', attributes).integer(1, 5)).take()).toEqual([]);
    },
  );

  it('count a record of an unknown type as heard: a later version has more types', () => {
    const writer = new RecordWriter().declare(1, 'gauge', 'a', '1').raw(77, 1, new Uint8Array(60)).integer(1, 4);
    const metrics = heard(writer);
    expect(metrics).toMatchObject({ records: 3, lost: 0 });
    expect(metrics.take()).toMatchObject([{ value: 4 }]);
  });

  it('say when the guest speaks a newer version, once', () => {
    const metrics = heard(new RecordWriter().hello(7, 'newer').hello(7, 'newer'));
    expect(metrics.takeRemarks().map(({ code }) => code)).toEqual(['probe-version']);
    expect(metrics.takeRemarks()).toEqual([]);
    expect(heard(new RecordWriter().hello(1, 'same')).takeRemarks()).toEqual([]);
  });

  it('take no value that is no number, and lose nothing by it', () => {
    const metrics = heard(new RecordWriter().declare(1, 'gauge', 'a', '1').float(1, Number.NaN).float(1, Infinity));
    expect(metrics.take()).toEqual([]);
    expect(metrics.lost).toBe(0);
  });

  it('do not show a value under the name that its id had before', () => {
    const writer = new RecordWriter();
    for (let index = 0; index <= 1000; index += 1) writer.declare(1, 'gauge', `n.${index}`, '1');
    const metrics = heard(writer.integer(1, 5));
    expect(metrics.take()).toEqual([]);
    expect(metrics.takeRemarks().map(({ code }) => code)).toEqual(['probe-many']);
  });

  it('do not grow with a guest that names a million metrics', () => {
    const metrics = new ProbeMetrics('test');
    const record = Buffer.alloc(112);
    const view = new DataView(record.buffer, record.byteOffset);
    const name = (index: number): void => {
      const text = `name.that.is.long.and.never.comes.again.${index}`;
      record.writeUInt8(2, 0);
      record.writeUInt16LE(index & 0xffff, 2);
      record.writeUInt32LE(index, 4);
      record.write(`\0${String.fromCharCode(text.length)}${text}\u0002By`, 16, 'latin1');
      metrics.push(view, 0, 21 + text.length);
    };
    for (let index = 0; index < 70_000; index += 1) name(index);
    const before = heapAfterCollection();
    for (let index = 70_000; index < 1_000_000; index += 1) name(index);
    // A name kept costs a hundred bytes and more: they would be ninety megabytes.
    expect(heapAfterCollection() - before).toBeLessThan(1024 * 1024);
    expect(metrics).toMatchObject({ records: 1_000_000, lost: 0 });
    expect(metrics.takeRemarks()).toHaveLength(1);
  });
});

function heapAfterCollection(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}
