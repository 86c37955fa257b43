// What every agentless probe owes, whatever it measures; and that each reads what a guest of its kind holds.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROBES } from '../../probes/agentless/index.ts';
import type { ElfFile } from '../../src/elf/file.ts';
import type { Probe, ProbeGuest, Readings } from '../../src/model/probe.ts';
import type { Memory } from '../../src/model/target.ts';
import { createSymbolizer, openImage } from '../../src/symbolize/symbolizer.ts';
import { Scratch } from '../elf/scratch.ts';
import { buildDemoGuest } from '../guests/build.ts';
import { CENSUS_GUESTS } from './census-guests.ts';
import { PROBE_GUESTS as FIRST_GUESTS } from './guests.ts';
import { KERNEL_GUESTS } from './kernel-guests.ts';
import { RUNTIME_GUESTS } from './runtime-guests.ts';

interface Subject {
  readonly probe: Probe;
  readonly elf: ElfFile;
  readonly guest: ProbeGuest;
}

const NOTHING: ProbeGuest = {
  memory: { read: () => null },
  types: { findVariable: () => null, findType: () => null },
  symbols: { findSymbol: () => null },
};

const PROBE_GUESTS = [...FIRST_GUESTS, ...KERNEL_GUESTS, ...RUNTIME_GUESTS, ...CENSUS_GUESTS];
/** Subjects whose probe finds words by symbol alone. */
const UNTYPED = new Set(
  PROBE_GUESTS.flatMap(({ probe, variant, untyped }) => (untyped === true ? [`${probe}: ${variant}`] : [])),
);
const scratch = new Scratch();
const subjects = new Map<string, Subject>();

beforeAll(async () => {
  for (const [index, { probe, variant, source, language }] of PROBE_GUESTS.entries()) {
    const file = scratch.write(`guest-${index}.${language === undefined ? 'c' : 'cc'}`, source);
    const flags = ['-g', '-O0', '-w', '-nostdlib', '-static', '-no-pie', '-fno-stack-protector', '-Wl,-e,0'];
    subjects.set(
      `${probe}: ${variant}`,
      open(probe, scratch.compile(`guest-${index}`, [file], flags, language === undefined ? 'gcc' : 'g++')),
    );
  }
  subjects.set('demo: the demo guest', open('demo', await buildDemoGuest('fp')));
}, 60_000);

afterAll(() => {
  scratch.remove();
  for (const { elf } of subjects.values()) elf.close();
});

const SUBJECTS = [...PROBE_GUESTS.map(({ probe, variant }) => `${probe}: ${variant}`), 'demo: the demo guest'];

function probeNamed(name: string): Probe {
  return PROBES.find((probe) => probe.name === name)!;
}

function open(probe: string, path: string): Subject {
  const image = openImage(path);
  const symbolizer = createSymbolizer([{ image, loadBias: 0n, match: 'build-id', placedBy: 'test' }]);
  const inC = (name: string): string => name.replaceAll('.', '_DOT_');
  const guest: ProbeGuest = {
    memory: dataOf(image.elf),
    types: {
      findVariable: (name, unit) => symbolizer.types.findVariable(inC(name), unit),
      findType: (name) => symbolizer.types.findType(name),
    },
    symbols: {
      findSymbol: (name) => symbolizer.findSymbol(inC(name)),
      findObject: (address) => symbolizer.findObject?.(address) ?? null,
    },
  };
  return { probe: probeNamed(probe), elf: image.elf, guest };
}

/** The image as loaded; .bss reads as zeros. */
function dataOf(elf: ElfFile): Memory {
  const loaded = elf.sections
    .filter(({ address, size }) => address !== 0n && size > 0)
    .map((section) => {
      const bytes = new Uint8Array(section.size + 64);
      if (elf.sectionSize(section) === section.size) bytes.set(elf.readSection(section));
      return { start: section.address, bytes };
    });
  return {
    read: (address, length) => {
      const piece = loaded.find(
        ({ start, bytes }) => address >= start && address + BigInt(length) <= start + BigInt(bytes.length),
      );
      const at = piece === undefined ? 0 : Number(address - piece.start);
      return piece?.bytes.subarray(at, at + length) ?? null;
    },
  };
}

/** Every number a probe gave. */
function numbersIn(readings: Readings<string>): (number | bigint)[] {
  return Object.values(readings).flatMap((reading) => {
    if (typeof reading === 'number' || typeof reading === 'bigint') return [reading];
    return reading !== undefined && !('absent' in reading) ? reading.map(({ value }) => value) : [];
  });
}

describe('every agentless probe', () => {
  it.each(PROBES.map((probe) => [probe.name, probe] as const))('%s is tried here, and says what it measures', (name, probe) => {
    expect(SUBJECTS.some((subject) => subject.startsWith(`${name}: `))).toBe(true);
    expect(probe.doc).not.toBe('');
    expect(probe.systems.length).toBeGreaterThan(0);
    for (const [metric, { unit, doc }] of Object.entries(probe.metrics)) {
      expect(metric).toMatch(/^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$/);
      expect(unit).toMatch(/^(By|s|ns|1|%|\{[a-z]+\})$/);
      expect(doc).not.toBe('');
    }
  });

  it.each(PROBES.map((probe) => [probe.name, probe] as const))(
    '%s says what is missing, and then reads nothing',
    (_name, probe) => {
      expect(probe.missing(NOTHING)).toMatch(/\w+ \w+/);
      expect(numbersIn(probe.sample(NOTHING))).toEqual([]);
      expect(probe.threads?.(NOTHING) ?? []).toEqual([]);
      expect(probe.sockets?.(NOTHING) ?? []).toEqual([]);
      expect(probe.census?.(NOTHING) ?? null).toBeNull();
    },
  );

  it.each(SUBJECTS)('%s without types: says so', (name) => {
    const { probe, guest } = subjects.get(name)!;
    expect(probe.missing(guest)).toBeNull();
    if (!UNTYPED.has(name)) expect(probe.missing({ ...guest, types: NOTHING.types })).toMatch(/no type for \w+/);
  });
});

describe.each(SUBJECTS)('%s', (name) => {
  const at = (): Subject => subjects.get(name)!;

  it('gives only what it declared, and finite numbers', () => {
    const { probe, guest } = at();
    const readings = probe.sample(guest);
    expect(Object.keys(probe.metrics)).toEqual(expect.arrayContaining(Object.keys(readings)));
    expect(numbersIn(readings).filter((value) => !Number.isFinite(Number(value)))).toEqual([]);
  });

  it('gives no number when memory is unreadable', () => {
    const { probe, guest } = at();
    const blind = { ...guest, memory: NOTHING.memory };
    expect(numbersIn(probe.sample(blind))).toEqual([]);
    expect(probe.threads?.(blind) ?? []).toEqual([]);
    expect(probe.sockets?.(blind) ?? []).toEqual([]);
    expect(probe.census?.(blind) ?? null).toBeNull();
  });

  it.each([
    ['all zeros', () => 0n],
    ['all ones', () => 0xffff_ffff_ffff_ffffn],
    ['words that point at themselves', (word: bigint) => word],
    ['words that point at the next word', (word: bigint) => word + 8n],
    ['lists that go on for ever', (word: bigint) => BigInt.asUintN(40, word * 0x9e37_79b1n + 8n) & ~7n],
    ...[1n, 2n, 3n, 4n].map(
      (seed) =>
        [
          `random bytes ${seed}`,
          (word: bigint) => BigInt.asUintN(64, (word + seed) * 0x9e37_79b9_7f4a_7c15n) ^ (word << 3n),
        ] as const,
    ),
  ] as const)('ends soon, without an error, on %s', (_what, wordAt) => {
    const { probe, guest } = at();
    let reads = 0;
    const memory: Memory = {
      read: (address, length) => {
        reads += 1;
        return fill(address, length, wordAt);
      },
    };
    const numbers = numbersIn(probe.sample({ ...guest, memory }));
    expect(numbers.filter((value) => !Number.isFinite(Number(value)))).toEqual([]);
    expect(probe.threads?.({ ...guest, memory }).length ?? 0).toBeLessThanOrEqual(4096);
    expect(probe.sockets?.({ ...guest, memory }).length ?? 0).toBeLessThanOrEqual(4096);
    expect(reads).toBeLessThan(200_000);
    reads = 0;
    let left = CENSUS_BYTES;
    const finite: Memory = {
      read: (address, length) => {
        left -= length;
        return left < 0 ? null : memory.read(address, length);
      },
    };
    const census = probe.census?.({ ...guest, memory: finite }) ?? null;
    expect(census?.rows.length ?? 0).toBeLessThanOrEqual(64);
    expect(census?.rows.filter(({ bytes }) => !Number.isFinite(bytes)) ?? []).toEqual([]);
    expect(reads).toBeLessThan(200_000);
  });
});

describe.each(PROBE_GUESTS)('$probe: $variant', ({ probe, variant, expected, threads, sockets, census }) => {
  it('is read as it is', () => {
    const { probe: subject, guest } = subjects.get(`${probe}: ${variant}`)!;
    expect(subject.sample(guest)).toMatchObject(expected);
    expect(subject.threads?.(guest) ?? []).toMatchObject(threads ?? []);
    expect(subject.sockets?.(guest) ?? []).toMatchObject(sockets ?? []);
    if (census !== undefined) expect(subject.census?.(guest)).toMatchObject(census);
  });
});

/** What a census is given of a guest that makes words without end: real ones have an end as well. */
const CENSUS_BYTES = 128 * 1024;

/** Memory of which each word is a function of its address. */
function fill(address: bigint, length: number, wordAt: (word: bigint) => bigint): Uint8Array {
  const skipped = Number(address & 7n);
  const words = new DataView(new ArrayBuffer((skipped + length + 7) & ~7));
  for (let at = 0; at < words.byteLength; at += 8) {
    words.setBigUint64(at, BigInt.asUintN(64, wordAt(BigInt.asUintN(64, (address & ~7n) + BigInt(at)))), true);
  }
  return new Uint8Array(words.buffer, skipped, length);
}
