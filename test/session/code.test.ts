// Where files are found in a guest: a kernel of our own making that lists what it has loaded, and memory made of the files themselves.

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PT_LOAD } from '../../src/elf/constants.ts';
import { openElf } from '../../src/elf/file.ts';
import type { GuestModule } from '../../src/model/image.ts';
import { defineProbe } from '../../src/model/probe.ts';
import type { AddressSpace } from '../../src/model/target.ts';
import type { Unikernel } from '../../src/model/unikernel.ts';
import { RUNTIMES } from '../../src/runtimes/index.ts';
import { type Code, CodeReader } from '../../src/session/code.ts';
import type { Systems } from '../../src/session/systems.ts';
import { UNIKERNELS } from '../../src/unikernels/index.ts';
import { Scratch } from '../elf/scratch.ts';

const BASE = 0x1000_0000_0000n;
const LIBRARY = 0x2000_0000_0000n;
const scratch = new Scratch();
const paths: Record<string, string> = {};
const readers: CodeReader[] = [];

/** Functions enough to compare; another `seed` makes another build. */
function sourceOf(prefix: string, seed: number): string {
  const functions = Array.from({ length: 60 }, (_, index) => {
    const key = (index * 7919 + seed * 104_729) % 65_521;
    return `int ${prefix}${index}(int x) { int s = ${key}; for (int i = 0; i < x; i++) s = s * ${(key % 97) + 3} + i ${seed % 2 === 0 ? '+' : '^'} ${key}; return s; }`;
  });
  return `${functions.join('\n')}\nvoid ${prefix}_start(void) { for (;;) ${prefix}${seed}(3); }\n`;
}

beforeAll(() => {
  const build = (name: string, prefix: string, seed: number, ...flags: string[]): void => {
    scratch.write(`${name}.c`, sourceOf(prefix, seed));
    paths[name] = scratch.compile(name, [`${name}.c`], ['-O1', '-nostdlib', `-Wl,-e,${prefix}_start`, ...flags]);
  };
  const fixed = ['-static', '-no-pie', '-Wl,--build-id=none'];
  build('kernel', 'kernel', 1, ...fixed, '-Wl,-Ttext-segment=0x200000');
  build('program', 'app', 1, '-pie', '-fPIE', '-Wl,--build-id=sha1');
  build('bare', 'bare', 1, '-pie', '-fPIE', '-Wl,--build-id=none');
  build('other', 'app', 2, '-pie', '-fPIE', '-Wl,--build-id=sha1');
  build('fixed', 'fixed', 1, ...fixed, '-Wl,-Ttext-segment=0x600000');
  build('rebuilt', 'fixed', 2, ...fixed, '-Wl,-Ttext-segment=0x600000');
  build('libthing.so', 'thing', 1, '-shared', '-fPIC', '-Wl,--build-id=sha1', '-Wl,-soname,libthing.so.2');
});
afterAll(() => {
  for (const reader of readers) reader.close();
  scratch.remove();
});

type Loaded = readonly (readonly [name: string, bias: bigint])[];

/** Whole pages of what is loaded. */
function spaceOf(loaded: Loaded, patch: (address: bigint, bytes: Uint8Array) => void = () => undefined): AddressSpace {
  const parts = loaded.map(([name, bias]) => {
    const elf = openElf(paths[name]!);
    const start = elf.imageBase & ~0xfffn;
    const bytes = new Uint8Array(Math.ceil(Number(elf.imageEnd - start) / 4096) * 4096);
    for (const { type, virtualAddress, fileSize } of elf.segments) {
      if (type === PT_LOAD && fileSize > 0) bytes.set(elf.readVirtual(virtualAddress, fileSize)!, Number(virtualAddress - start));
    }
    elf.close();
    return { start: start + bias, bytes };
  });
  const read: AddressSpace['read'] = (address, length) => {
    const part = parts.find(({ start, bytes }) => start <= address && address + BigInt(length) <= start + BigInt(bytes.length));
    const bytes = part?.bytes.slice(Number(address - part.start), Number(address - part.start) + length) ?? null;
    if (bytes !== null) patch(address, bytes);
    return bytes;
  };
  return { read, walk: (body) => Promise.resolve(body({ read })) };
}

function moduleAt(start: bigint, name: string | null): GuestModule {
  return { name, start, end: null, header: start, by: 'a list' };
}

const probe = defineProbe({
  name: 'camel',
  doc: 'for the test',
  systems: ['camel-runtime'],
  missing: () => 'no camel',
  metrics: {},
  sample: () => ({}),
});

function systemsOf(modules: readonly GuestModule[], more: Partial<Unikernel> = {}): Systems {
  const kernel: Unikernel = {
    ...UNIKERNELS.find(({ name }) => name === 'xen')!,
    ...{ name: 'ours', recognise: { symbols: ['kernel_start'], sections: [], banner: null }, findModules: () => modules },
    ...more,
  };
  const camel = { ...RUNTIMES[0]!, name: 'camel-runtime', recognise: { symbols: ['app7'], sections: [] } };
  const guestProbe = { ringSymbol: 'none', portName: 'none', openStream: refuse, openRing: refuse };
  return { unikernels: [kernel], runtimes: [camel], probes: [probe], guestProbe, openGcLog: refuse, checks: [], derivations: [] };
}

function refuse(): never {
  throw new Error('not asked for');
}

const registers = { machine: 'x86_64', values: {} } as const;

function openReader(names: readonly string[], systems: Systems, folders: readonly string[] = []): CodeReader {
  const reader = CodeReader.open(
    names.map((name) => paths[name]!),
    systems,
    folders,
  );
  readers.push(reader);
  return reader;
}

async function place(
  files: readonly string[],
  loaded: Loaded,
  modules: readonly GuestModule[],
  { folders = [] as string[], physical = null as AddressSpace | null, space = spaceOf(loaded) } = {},
): Promise<Code> {
  const reader = openReader(files, systemsOf(modules), folders);
  return reader.place({ space, physical, registers });
}

function matches({ images }: Code): string[] {
  return images.map(({ path, match, base }) => `${path.slice(path.lastIndexOf('/') + 1)} ${match} ${base.toString(16)}`);
}

function nameAt(code: Code, address: bigint): string {
  const [location] = code.symbolizer.symbolize(address);
  return `${location?.function ?? '?'} in ${location?.module ?? '?'}`;
}

describe('a program that a guest has loaded', () => {
  it('is found by its build-id, whatever the guest calls it', async () => {
    const code = await place(
      ['kernel', 'program'],
      [
        ['kernel', 0n],
        ['program', BASE],
      ],
      [moduleAt(BASE, '/bin/started')],
    );
    expect(matches(code)).toEqual(['kernel text 200000', 'program build-id 100000000000']);
    expect(code.settled).toBe(true);
    const { address } = code.symbolizer.findSymbol('app12')!;
    expect(nameAt(code, address)).toBe('app12 in program');
    expect([code.isText(address), code.isText(BASE)]).toEqual([true, false]);
  });

  it('without a build-id is found by its name and its code', async () => {
    const modules = [moduleAt(LIBRARY, '/lib/x.so'), moduleAt(BASE, '/usr/bare')];
    const code = await place(
      ['kernel', 'bare'],
      [
        ['kernel', 0n],
        ['libthing.so', LIBRARY],
        ['bare', BASE],
      ],
      modules,
    );
    expect(matches(code)).toContain('bare text 100000000000');
  });

  it('names nothing by a file of another build, and says which build runs', async () => {
    const code = await place(
      ['kernel', 'other'],
      [
        ['kernel', 0n],
        ['program', BASE],
      ],
      [moduleAt(BASE, '/other')],
    );
    expect(matches(code)).toEqual(['kernel text 200000', 'other no-file 100000000000', 'other mismatch 0']);
    expect(code.diagnostics.find(({ code: kind }) => kind === 'image-mismatch')!.message).toMatch(
      /other is not what the guest runs as \/other: its build-id is [0-9a-f]{40}, the guest's is [0-9a-f]{40}/,
    );
    expect(nameAt(code, BASE + 0x1010n)).toBe('? in other');
  });

  it('without a file is listed with its build-id, and frames say whose they are', async () => {
    const modules = [moduleAt(BASE, '/program'), moduleAt(LIBRARY, null), moduleAt(0x7000n, '[vdso]')];
    const code = await place(
      ['kernel'],
      [
        ['kernel', 0n],
        ['program', BASE],
        ['libthing.so', LIBRARY],
      ],
      modules,
    );
    expect(matches(code)).toEqual([
      'kernel text 200000',
      '[vdso] no-file 7000',
      'program no-file 100000000000',
      'libthing.so.2 no-file 200000000000',
    ]);
    expect(code.diagnostics).toHaveLength(1);
    expect(code.diagnostics[0]!.message).toMatch(
      /^the guest has also loaded \/program \(build-id [0-9a-f]{40}\), libthing\.so\.2 \(build-id [0-9a-f]{40}\): no symbols, give --symbols FILE$/,
    );
    expect(nameAt(code, LIBRARY + 0x1010n)).toBe('? in libthing.so.2');
    expect(code.settled).toBe(true);
  });

  it('is taken from the folders given when its file there is the very same, and from nowhere else', async () => {
    const loaded: Loaded = [
      ['kernel', 0n],
      ['program', BASE],
    ];
    const beside = await place(['kernel'], loaded, [moduleAt(BASE, '/program')], { folders: [scratch.path] });
    expect(matches(beside)).toEqual(['kernel text 200000', 'program build-id 100000000000']);
    const wrong = await place(['kernel'], loaded, [moduleAt(BASE, '/other')], { folders: [scratch.path] });
    expect(matches(wrong)).toEqual(['kernel text 200000', 'other no-file 100000000000']);
    const folders = [join(scratch.path, 'empty')];
    const outside = await place(['kernel'], loaded, [moduleAt(BASE, `../${scratch.path}/program`)], { folders });
    expect(matches(outside)[1]).toBe('program no-file 100000000000');
  });
});

describe('placing again', () => {
  it('gives the same code until the guest loads something', async () => {
    const modules = [moduleAt(BASE, '/program')];
    const reader = openReader(['kernel', 'program'], systemsOf(modules));
    const space = spaceOf([
      ['kernel', 0n],
      ['program', BASE],
      ['libthing.so', LIBRARY],
    ]);
    const first = await reader.place({ space, physical: null, registers });
    expect(await reader.place({ space, physical: null, registers })).toBe(first);
    modules.push(moduleAt(LIBRARY, null));
    const second = await reader.place({ space, physical: null, registers });
    expect(matches(second)).toContain('libthing.so.2 no-file 200000000000');
  });

  it('follows a kernel that moves itself while it boots', async () => {
    let bias = 0n;
    const systems = systemsOf([], { findLoadBias: () => (bias === 0n ? null : { bias, by: 'its tables' }) });
    const reader = openReader(['kernel'], systems);
    const early = await reader.place({ space: spaceOf([['kernel', 0n]]), physical: null, registers });
    bias = 0x7000_0000n;
    const both = spaceOf([
      ['kernel', 0n],
      ['kernel', bias],
    ]);
    const late = await reader.place({ space: both, physical: null, registers });
    expect([matches(early), matches(late)]).toEqual([['kernel text 200000'], ['kernel text 70200000']]);
  });
});

describe('a guest that ended before all was compared', () => {
  const words = { loadOffset: null, addresses: [] };
  const nothing = {
    read: () => null,
    walk: <T>(body: (memory: AddressSpace) => T) => Promise.resolve(body(nothing)),
  } as AddressSpace;

  it('had what cannot move at its link address: named unverified', async () => {
    const reader = openReader(['kernel', 'fixed'], systemsOf([]));
    const seen = await reader.place({ space: spaceOf([['kernel', 0n]]), physical: null, registers });
    expect(matches(seen)).toEqual(['kernel text 200000', 'fixed mismatch 600000']);
    const presumed = reader.presume(words);
    expect(matches(presumed)).toEqual(['kernel text 200000', 'fixed unverified 600000']);
    expect(presumed.diagnostics[0]!.message).toMatch(/could not be compared: the guest ended before/);
    expect(nameAt(presumed, presumed.symbolizer.findSymbol('fixed9')!.address)).toBe('fixed9 in fixed');
  });

  it('had its program where its list said, though its pages were not to be read', async () => {
    const reader = openReader(['kernel', 'bare'], systemsOf([moduleAt(BASE, '/bare')]));
    await reader.place({ space: spaceOf([['kernel', 0n]]), physical: null, registers });
    expect(matches(reader.presume(words))).toContain('bare unverified 100000000000');
  });

  it('refuses all the same what its bytes disproved', async () => {
    const reader = openReader(['fixed'], systemsOf([]));
    const space = spaceOf([['rebuilt', 0n]]);
    await reader.place({ space, physical: null, registers });
    expect(matches(reader.presume(words))).toEqual(['fixed mismatch 600000']);
  });

  it('had a kernel that moves itself where it said, or where the addresses it printed are; else nobody knows', () => {
    const reader = openReader(['kernel'], systemsOf([], { findLoadBias: () => null }));
    expect(matches(reader.presume(words))).toEqual(['kernel mismatch 200000']);
    expect(matches(reader.presume({ loadOffset: 0x7000_0000n, addresses: [] }))).toEqual(['kernel unverified 70200000']);
    expect(matches(reader.presume({ loadOffset: null, addresses: [0x201000n] }))).toEqual(['kernel unverified 200000']);
  });

  it('whose page tables are ruined has its kernel in physical memory', async () => {
    const physical = spaceOf([['kernel', 0n]]);
    const code = await place(['kernel'], [], [], { physical, space: nothing });
    expect(matches(code)).toEqual(['kernel unverified 200000']);
    expect(code.diagnostics.map(({ code: kind }) => kind)).toEqual(['page-tables-damaged']);
  });
});

describe('what a probe lacks', () => {
  it('is said where the runtime it measures is recognised, and nowhere else', async () => {
    const without = await place(['kernel'], [['kernel', 0n]], []);
    expect(without.missing).toEqual([]);
    const code = await place(
      ['kernel', 'program'],
      [
        ['kernel', 0n],
        ['program', BASE],
      ],
      [moduleAt(BASE, null)],
    );
    expect(code.missing.map(({ probe: { name }, reason }) => `${name}: ${reason}`)).toEqual(['camel: no camel']);
  });
});
