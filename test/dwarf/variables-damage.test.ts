// Damaged debug info under the readers of variables, their types and their locations: sections cut at every length, bytes
// changed at random. Values are then fewer; nothing is thrown, nothing hangs.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FrameState } from '../../src/dwarf/frame-registers.ts';
import { openElf } from '../../src/elf/file.ts';
import type { Memory } from '../../src/model/target.ts';
import { openImage } from '../../src/symbolize/image.ts';
import { createSymbolizer } from '../../src/symbolize/symbolizer.ts';
import { Scratch, sectionHeaders, withSectionSize } from '../elf/scratch.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

const SOURCE = `
struct pair { struct pair *other; int value : 5; long wide[3]; };
enum state { IDLE, BUSY = 7 };
struct pair first;
static inline int inner(int x, enum state s) { int twice = x * 3 + (int)s; return twice; }
int __attribute__((noinline)) leaf(int gone, struct pair *p, const char *name) { if (gone > 100) __builtin_trap(); p->value = gone; return (int)p->wide[0] + name[0]; }
int __attribute__((noinline)) work(int x, double d, struct pair by_value) {
  int local[x + 1]; local[x] = (int)d; static long count; count += x;
  return leaf(x + 1, &first, "name") + inner(x, BUSY) + local[x] + by_value.value + (int)count;
}
void _start(void) { for (;;) first.wide[0] = work((int)first.wide[1], 1.5, first); }
`;

const VERSIONS = {
  'DWARF 3': ['-gdwarf-3', '-O1'],
  'DWARF 4 with .debug_types': ['-gdwarf-4', '-fdebug-types-section', '-O2'],
  'DWARF 5': ['-gdwarf-5', '-O2'],
  'DWARF 5, unoptimised': ['-gdwarf-5', '-O0'],
};
const programs = new Map<string, string>();
beforeAll(() => {
  scratch.write('tiny.c', SOURCE);
  for (const [name, flags] of Object.entries(VERSIONS)) {
    const more = ['-nostdlib', '-static', '-Wl,-z,noseparate-code', '-Wl,--build-id=none', '-w'];
    programs.set(name, scratch.compile(name.replaceAll(/\W+/g, '-'), ['tiny.c'], [...flags, ...more]));
  }
});

/** Any register holds an address; memory holds addresses, all of them readable. */
const VALUES = Object.fromEntries(
  ['rax', 'rdx', 'rcx', 'rbx', 'rsi', 'rdi', 'rbp', 'rsp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'].map(
    (name, index) => [name, 0x7000_0000n + BigInt(index * 0x100)],
  ),
);
const memory: Memory = { read: (_, length) => Uint8Array.from({ length }, (__, at) => [0x40, 0, 0, 0x70, 0, 0, 0, 0][at % 8]!) };

/** Reads the variables of stacks of two frames at each of the addresses; how many values were known. */
function readEverything(path: string, addresses: readonly bigint[]): number {
  const image = openImage(path);
  const { variables } = createSymbolizer([{ image, loadBias: 0n, match: 'unverified', placedBy: 'test' }]);
  let known = 0;
  for (const [index, pc] of addresses.entries()) {
    const registers = { machine: 'x86_64' as const, values: VALUES };
    const caller = addresses[(index + 1) % addresses.length]!;
    const frames: FrameState[] = [
      { pc, exactPc: true, cfa: 0x7000_1000n, trust: 'registers', registers },
      { pc: caller, exactPc: false, cfa: 0x7000_2000n, trust: 'cfi', registers },
    ];
    for (const frame of [0, 1]) {
      for (const activation of variables.read(frames, frame, memory, { locals: true })) {
        known += [...activation.arguments, ...activation.locals].filter((variable) => variable.known).length;
      }
    }
  }
  image.close();
  return known;
}

function codeOf(path: string): bigint[] {
  const elf = openElf(path);
  const text = elf.findSection('.text')!;
  elf.close();
  return Array.from({ length: Math.ceil(text.size / 24) }, (_, index) => text.address + BigInt(index * 24 + 3));
}

describe.each(Object.keys(VERSIONS))('in %s', (version) => {
  it('whole debug info gives values', () => {
    const path = programs.get(version)!;
    expect(readEverything(path, codeOf(path))).toBeGreaterThan(20);
  });

  it('a section cut at any length costs values, not an error', () => {
    const path = programs.get(version)!;
    const addresses = codeOf(path).slice(0, 4);
    for (const { name, size } of sectionHeaders(new Uint8Array(readFileSync(path)))) {
      if (!name.startsWith('.debug_') || name === '.debug_line') continue;
      for (let length = 0; length < size; length += size > 400 ? 7 : 3) {
        readEverything(scratch.write('cut', withSectionSize(path, name, length)), addresses);
      }
    }
  });

  it('bytes changed at random cost values, not an error, nor more than a moment', () => {
    const path = programs.get(version)!;
    const addresses = codeOf(path).slice(0, 6);
    const bytes = new Uint8Array(readFileSync(path));
    const view = new DataView(bytes.buffer);
    const places = sectionHeaders(bytes)
      .filter(({ name }) => /^\.debug_(?:info|types|abbrev|loc|loclists|addr|str)$/.test(name))
      .flatMap(({ header, size }) => Array.from({ length: size }, (_, at) => Number(view.getBigUint64(header + 24, true)) + at));
    const change = fc.tuple(fc.constantFrom(...places), fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff), fc.nat(255)));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const damaged = bytes.slice();
        for (const [at, value] of changes) damaged[at] = value;
        const started = performance.now();
        readEverything(scratch.write('damaged', damaged), addresses);
        expect(performance.now() - started).toBeLessThan(2000);
      }),
      { numRuns: 250 },
    );
  });
});
