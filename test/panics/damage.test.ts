// Golden logs damaged as streams damage them: cut off, bits turned, lines lost, doubled and swapped, two logs shuffled together.
// `FUZZ_RUNS=5000 vitest run --project unit test/panics/damage` looks longer.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ReportedCrash } from '../../src/model/console-text.ts';
import { readAlarms } from './false-alarms.ts';

const LOGS = join(import.meta.dirname, 'logs');
const RUNS = Number(process.env.FUZZ_RUNS ?? 150);
/** A larger log is cut in steps of its length: it has so many cuts at most. */
const MAX_CUTS = 48;
/** Kinds that a later line may make a fault, an assertion or the end of memory. */
const GENERAL: ReadonlySet<string> = new Set(['panic', 'abort', 'exception']);
const LINES_TO_COME = 12;
const names = readdirSync(LOGS);
const logs = new Map(names.map((name) => [name, readFileSync(join(LOGS, name))]));

function read(bytes: Uint8Array): readonly ReportedCrash[] {
  return readAlarms(bytes);
}

/** All the text's hexadecimal words, joined over line ends as little as the guest does. */
function hexWords(text: string): ReadonlySet<bigint> {
  return new Set((text.match(/[0-9a-f]+/gi) ?? []).filter((word) => word.length <= 16).map((word) => BigInt(`0x${word}`)));
}

/** Bytes of a dump of memory, lowest first. */
function asBytes(value: bigint): string {
  const digits = value.toString(16);
  const pairs = digits.padStart(digits.length + (digits.length % 2), '0').match(/../g) ?? [];
  return pairs.toReversed().join(' ');
}

/**
 * Every number that a report claims stands in the text: as it is, inside a longer run of digits that garbled text makes of it, or as
 * the bytes of a dumped stack.
 */
function expectNothingInvented(crashes: readonly ReportedCrash[], text: string): void {
  const words = hexWords(text);
  const lower = text.toLowerCase();
  const isThere = (value: bigint): boolean =>
    words.has(value) || lower.includes(value.toString(16)) || lower.includes(asBytes(value));
  for (const crash of crashes) {
    for (const [name, value] of Object.entries(crash.registers?.values ?? {}))
      expect(isThere(value), `${name} of ${crash.grammar}`).toBe(true);
    for (const { address, functionOffset } of crash.frames) {
      if (address === null) continue;
      // IncludeOS prints a function's start and an offset; an address in a call may be printed as where it returns to.
      const forms = [address, address + 1n, address - BigInt(functionOffset ?? 0)];
      expect(forms.some(isThere), `frame ${address.toString(16)} of ${crash.grammar}`).toBe(true);
    }
    if (crash.faultAddress !== null) expect(isThere(crash.faultAddress), `fault address of ${crash.grammar}`).toBe(true);
    expect(crash.lastLine).toBeGreaterThanOrEqual(crash.firstLine);
    expect(crash.frames.length).toBeLessThanOrEqual(1024);
  }
}

function linesOf(bytes: Buffer, length: number): number {
  return bytes.toString('latin1', 0, length).split('\n').length;
}

describe('a log that is cut off at any place', () => {
  it.each(names)(
    '%s: what is told of its first crash is of a kind that the whole log tells, or a more general one at its very end, or says why not',
    (name) => {
      const log = logs.get(name)!;
      const whole = read(log);
      const kinds = new Set(whole.map(({ kind }) => kind));
      const step = Math.max(64, Math.ceil(log.length / MAX_CUTS / 64) * 64);
      for (let length = 0; length < log.length; length += step) {
        const crashes = read(log.subarray(0, length));
        expectNothingInvented(crashes, log.toString('latin1', 0, length));
        for (const crash of crashes) {
          // The line that says more of it may be what was cut off.
          const isRefined = GENERAL.has(crash.kind) && linesOf(log, length) - crash.lastLine <= LINES_TO_COME;
          const isExplained = kinds.has(crash.kind) || crash.corrupted !== null || isRefined;
          expect(isExplained, `${name} cut at ${length}: ${crash.kind} ${crash.message}`).toBe(true);
        }
      }
    },
  );
});

const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const small = names.filter((name) => logs.get(name)!.length < 16_384);

/** How a stream is damaged. */
const damage = fc.oneof(
  fc.record({ what: fc.constant('flip' as const), at: place, bit: fc.integer({ min: 0, max: 7 }) }),
  fc.record({ what: fc.constantFrom('drop' as const, 'double' as const, 'swap' as const, 'join' as const), at: place }),
  fc.record({ what: fc.constant('splice' as const), at: place, other: fc.constantFrom(...small), from: place }),
);
type Damage = typeof damage extends fc.Arbitrary<infer Value> ? Value : never;

function damaged(bytes: Buffer, how: Damage): Buffer {
  if ('bit' in how) {
    const copy = Buffer.from(bytes);
    const at = Math.floor(how.at * copy.length);
    if (copy.length > 0) copy[at]! ^= 1 << how.bit;
    return copy;
  }
  const lines = bytes.toString('latin1').split('\n');
  const at = Math.floor(how.at * lines.length);
  if ('other' in how) {
    const other = logs.get(how.other)!.toString('latin1').split('\n');
    lines.splice(at, lines.length - at, ...other.slice(Math.floor(how.from * other.length)));
  } else if (how.what === 'drop') lines.splice(at, 1);
  else if (how.what === 'double') lines.splice(at, 0, lines[at]!);
  else if (how.what === 'swap') lines.splice(at, 2, ...lines.slice(at, at + 2).reverse());
  else lines.splice(at, 2, lines.slice(at, at + 2).join(''));
  return Buffer.from(lines.join('\n'), 'latin1');
}

/** Two consoles in one: the first's lines and the second's in turn, or their characters. */
function shuffled(one: Buffer, other: Buffer, unit: 'lines' | 'characters'): Buffer {
  const split = (bytes: Buffer): string[] => bytes.toString('latin1').split(unit === 'lines' ? /(?<=\n)/ : '');
  const [first, second] = [split(one), split(other)];
  const parts = Array.from(
    { length: Math.max(first.length, second.length) },
    (_, index) => (first[index] ?? '') + (second[index] ?? ''),
  );
  return Buffer.from(parts.join(''), 'latin1');
}

describe('a damaged stream', () => {
  it('is read without an error, in time, and nothing is told that does not stand in it', () => {
    const stream = fc.record({ name: fc.constantFrom(...small), how: fc.array(damage, { minLength: 1, maxLength: 12 }) });
    fc.assert(
      fc.property(stream, ({ name, how }) => {
        const bytes = how.reduce(damaged, logs.get(name)!);
        const started = performance.now();
        const crashes = read(bytes);
        expect(performance.now() - started).toBeLessThan(2000);
        expectNothingInvented(crashes, bytes.toString('latin1'));
      }),
      { numRuns: RUNS, seed: Number(process.env.FUZZ_SEED ?? 4) },
    );
  });

  it('of two CPUs that print in turn, by lines or by characters, invents nothing', () => {
    const pair = fc.record({
      one: fc.constantFrom(...small),
      other: fc.constantFrom(...small),
      unit: fc.constantFrom('lines' as const, 'characters' as const),
    });
    fc.assert(
      fc.property(pair, ({ one, other, unit }) => {
        const bytes = shuffled(logs.get(one)!, logs.get(other)!, unit);
        expectNothingInvented(read(bytes), bytes.toString('latin1'));
      }),
      { numRuns: RUNS, seed: Number(process.env.FUZZ_SEED ?? 4) },
    );
  });
});
