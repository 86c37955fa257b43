// The in-guest probe against its decoder: the C file is compiled here and speaks; we listen.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProbeDecoder } from '../../probes/guest/decoder.ts';
import { ProbeMetrics } from '../../probes/guest/metrics.ts';
import { decodeRecord, type ProbeMetricKind, type ProbeRecord } from '../../probes/guest/records.ts';
import { readRing } from '../../probes/guest/ring.ts';
import { cuts } from '../support/cuts.ts';
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

const memoryOf = (bytes: Uint8Array) => ({
  read: (address: bigint, length: number) => {
    const at = Number(address - 0x1000n);
    return at < 0 || at + length > bytes.length ? null : bytes.subarray(at, at + length);
  },
});

function values(records: readonly ProbeRecord[]): Record<string, number | null> {
  const metrics = new ProbeMetrics('test');
  metrics.push(records);
  return Object.fromEntries(metrics.take().map((sample) => [sample.name, sample.value]));
}

const SAID = { 'app.requests': -5, 'app.load': 0.25, 'app.gc.pause': 123456 };

describe('the probe over a byte stream', () => {
  it('says the same wherever the stream is cut', () => {
    const whole = new ProbeDecoder().push(framed);
    expect(values(whole)).toEqual(SAID);
    for (const pieces of cuts(framed)) {
      const decoder = new ProbeDecoder();
      expect(pieces.flatMap((piece) => decoder.push(piece))).toEqual(whole);
      expect(decoder.damaged).toBe(0);
    }
  });

  it('goes on after any damaged byte, and counts exactly what was lost', () => {
    const whole = new ProbeDecoder().push(framed);
    for (let at = 0; at < framed.length - 1; at += 1) {
      const damaged = framed.slice();
      damaged[at] = damaged[at]! ^ 0x55;
      const decoder = new ProbeDecoder();
      const records = decoder.push(damaged);
      expect(decoder.damaged).toBeGreaterThan(0);
      expect(whole).toEqual(expect.arrayContaining(records));
      const metrics = new ProbeMetrics('test');
      metrics.push([...whole.slice(0, 1), ...records.filter((record) => record.sequence > 0)]);
      const lastSeen = records.at(-1)?.sequence ?? 0;
      expect(metrics.lost).toBe(lastSeen - new Set([0, ...records.map((record) => record.sequence)]).size + 1);
    }
  });

  it('never throws, hangs or grows on garbage', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (garbage) => {
        const decoder = new ProbeDecoder();
        decoder.push(garbage);
        decodeRecord(garbage);
        expect(decoder.push(Uint8Array.of(0, ...framed)).length).toBeGreaterThanOrEqual(6);
      }),
    );
  });
});

describe('the probe over a ring in RAM', () => {
  it('is read where it was left', () => {
    const first = readRing(memoryOf(ring), 0x1000n, 0n);
    expect(values(first?.records ?? [])).toEqual(SAID);
    expect(first).toMatchObject({ next: 6n, lost: 0, damaged: 0 });
    expect(readRing(memoryOf(ring), 0x1000n, 6n)?.records).toEqual([]);
  });

  it('that nobody read yet has lost nothing', () => {
    const reading = readRing(memoryOf(turned), 0x1000n, null)!;
    expect(reading).toMatchObject({ lost: 0, damaged: 0 });
    expect(reading.records).toHaveLength(64);
  });

  it('that turned while nobody looked says how many records are lost, and still knows the names', () => {
    const reading = readRing(memoryOf(turned), 0x1000n, 6n)!;
    expect(reading.records).toHaveLength(64);
    expect(reading.lost).toBe(Number(reading.next) - 6 - 64);
    expect(values(reading.records)).toEqual({ 'app.requests': 199 });
  });

  it('is refused when it lies: no magic, absurd sizes', () => {
    expect(readRing(memoryOf(new Uint8Array(4096)), 0x1000n, 0n)).toBeNull();
    const lying = ring.slice();
    new DataView(lying.buffer).setUint32(12, 0x8000_0000, true);
    expect(readRing(memoryOf(lying), 0x1000n, 0n)).toBeNull();
    const written = ring.slice();
    new DataView(written.buffer).setBigUint64(16, 1n << 60n, true);
    expect(readRing(memoryOf(written), 0x1000n, 0n)?.records).toEqual([]);
  });
});

describe('probe metrics', () => {
  const value = (sequence: number, id: number, number: number): ProbeRecord => ({
    type: 'value',
    sequence,
    time: 0n,
    id,
    value: number,
  });
  const declare = (sequence: number, id: number, name: string, kind: ProbeMetricKind = 'gauge'): ProbeRecord => ({
    ...{ type: 'declare', sequence, time: 0n, id },
    ...{ kind, name, unit: 'By' },
  });

  it('keep a value back until its name is known', () => {
    const metrics = new ProbeMetrics('test');
    metrics.push([value(0, 1, 3)]);
    expect(metrics.take()).toEqual([]);
    metrics.push([declare(1, 1, 'a.b')]);
    expect(metrics.take()).toMatchObject([{ name: 'a.b', value: 3, unit: 'By' }]);
    expect(metrics.take()).toEqual([]);
  });

  it('give the newest value, and of several spans the longest', () => {
    const metrics = new ProbeMetrics('test');
    metrics.push([declare(0, 1, 'a.gauge'), declare(1, 2, 'a.pause', 'span')]);
    metrics.push([7, 9, 8].flatMap((number, index) => [value(2 * index + 2, 1, number), value(2 * index + 3, 2, number)]));
    expect(metrics.take().map((sample) => [sample.name, sample.value, sample.unit])).toEqual([
      ['a.gauge', 8, 'By'],
      ['a.pause', 9, 'ns'],
    ]);
  });

  it('do not grow with a guest that keeps inventing names', () => {
    const metrics = new ProbeMetrics('test');
    for (let index = 0; index < 3000; index += 1)
      metrics.push([declare(2 * index, 1, `n.${index}`), value(2 * index + 1, 1, index)]);
    expect(metrics.take()).toHaveLength(1000);
  });
});
