// Real files of every kind this folder reads, cut off and with bits flipped: typed errors only, in bounded time.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openMiniSymbols, readAlternateLink, readDebugLink } from '../../src/elf/debug-links.ts';
import { openElfInMemory } from '../../src/elf/file.ts';
import { readSymbolTable } from '../../src/elf/symtab.ts';
import { UnidbgError } from '../../src/model/error.ts';
import { Scratch, sectionHeaders } from './scratch.ts';

const scratch = new Scratch();
const SOURCE = `struct s { int a; long b; };
static __attribute__((noinline)) int twice(int x) { return 2 * x; }
int call(int x) { return twice(x) + 1; }
int main(int argc, char **argv) { struct s v = { argc, 2 }; return call(v.a); }
`;
/** Processor time, thousands of times what the files take undamaged; the clock would count what else the machine does. */
const BOUND_MS = 1000;

const kinds = ['object', 'compressed object', '32-bit object', 'versioned library', 'linked away', 'mini symbols'] as const;
const files = new Map<(typeof kinds)[number], Uint8Array>();

beforeAll(() => {
  scratch.write('s.c', SOURCE);
  scratch.write('s.map', 'V1 { global: main; };\nV2 { global: call; local: *; } V1;\n');
  const add = (kind: (typeof kinds)[number], path: string): void => {
    files.set(kind, new Uint8Array(readFileSync(path)));
  };
  add('object', scratch.compile('a.o', ['s.c'], ['-g', '-c']));
  add('compressed object', scratch.compile('b.o', ['s.c'], ['-g', '-c', '-gz']));
  add('32-bit object', scratch.compile('c.o', ['s.c'], ['-g', '-c', '-m32']));
  const library = scratch.compile(
    'l.so',
    ['s.c'],
    ['-shared', '-fPIC', '-nostdlib', '-s', '-Wl,--version-script=s.map', '-Wl,--build-id', '-Wl,-z,noseparate-code'],
  );
  add('versioned library', library);
  scratch.write('other.debug', 'x');
  execFileSync('objcopy', ['--add-gnu-debuglink=other.debug', library, 'linked'], { cwd: scratch.path });
  scratch.write('alt', Buffer.concat([Buffer.from('../dwz/common\0'), Buffer.alloc(20, 7)]));
  execFileSync('objcopy', ['--add-section=.gnu_debugaltlink=alt', 'linked'], { cwd: scratch.path });
  add('linked away', join(scratch.path, 'linked'));
  scratch.write('packed.xz', execFileSync('xz', ['-c'], { input: files.get('object')! }));
  execFileSync('objcopy', ['--add-section=.gnu_debugdata=packed.xz', library, 'mini'], { cwd: scratch.path });
  add('mini symbols', join(scratch.path, 'mini'));
});
afterAll(() => {
  scratch.remove();
});

/** Reads everything there is to read; gives how much of it was read before the first error of each part. */
function readAll(bytes: Uint8Array): number {
  let parts = 0;
  const attempt = (body: () => unknown): void => {
    try {
      body();
      parts += 1;
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
    }
  };
  attempt(() => {
    const elf = openElfInMemory('damaged', bytes);
    for (const section of elf.sections) {
      attempt(() => elf.readSection(section));
      attempt(() => elf.readSectionAt(section, 1, 5));
    }
    attempt(() => elf.buildId);
    attempt(() => elf.readVirtual(elf.imageBase, 64));
    attempt(() => elf.readVirtual(elf.imageEnd - 3n, 3));
    attempt(() => readDebugLink(elf));
    attempt(() => readAlternateLink(elf));
    const look = (file: typeof elf): void => {
      const table = readSymbolTable(file);
      for (const name of ['call', 'call@@V2', 'nobody']) table.findByName(name);
      for (const symbol of table) table.findByAddress(symbol.address + 1n);
    };
    attempt(() => {
      look(elf);
    });
    attempt(() => {
      const mini = openMiniSymbols(elf);
      if (mini !== null) look(mini);
    });
  });
  return parts;
}

function boundedRead(bytes: Uint8Array): number {
  const started = process.cpuUsage();
  const parts = readAll(bytes);
  const { user, system } = process.cpuUsage(started);
  expect((user + system) / 1000).toBeLessThan(BOUND_MS);
  return parts;
}

describe.each(kinds)('a damaged file: %s', (kind) => {
  it('is read whole when it is not damaged', () => {
    const bytes = files.get(kind)!;
    const elf = openElfInMemory(kind, bytes);
    const { length } = elf.sections;
    // Of an empty section the bytes 1 to 5 cannot be had.
    expect(boundedRead(bytes)).toBeGreaterThan(length * 1.4);
    expect(openMiniSymbols(elf) !== null).toBe(kind === 'mini symbols');
    expect(readDebugLink(elf) !== null).toBe(kind === 'linked away');
    expect(readAlternateLink(elf)).toEqual(kind === 'linked away' ? { path: '../dwz/common', buildId: '07'.repeat(20) } : null);
  });

  it('cut at every length gives typed errors only', () => {
    const bytes = files.get(kind)!;
    for (let length = 0; length < bytes.length; length += 1) boundedRead(bytes.subarray(0, length));
  });

  it('with bits flipped all over, and in its headers, gives typed errors only', () => {
    const bytes = files.get(kind)!;
    const tableAt = kind === '32-bit object' ? new DataView(bytes.buffer).getUint32(32, true) : sectionHeaders(bytes)[0]!.header;
    const place = fc.oneof(fc.nat(bytes.length - 1), fc.nat(63), fc.integer({ min: tableAt, max: bytes.length - 1 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(place, fc.nat(7)), { minLength: 1, maxLength: 8 }), (flips) => {
        const changed = bytes.slice();
        for (const [at, bit] of flips) changed[at]! ^= 1 << bit;
        boundedRead(changed);
      }),
      { numRuns: Number(process.env['UNIDBG_FUZZ_RUNS'] ?? 150) },
    );
  });
});
