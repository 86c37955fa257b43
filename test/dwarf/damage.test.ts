// Damaged debug info: every section cut at every length, and bytes changed at random, in real files. Look-ups then say less;
// they throw nothing, hang on nothing and say why.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openElf } from '../../src/elf/file.ts';
import { errorCode } from '../../src/model/error.ts';
import { openImage, type SymbolImage } from '../../src/symbolize/image.ts';
import { Scratch, sectionHeaders, withSectionSize } from '../elf/scratch.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

const SOURCE = `
struct pair { struct pair *other; int value : 5; long wide[3]; };
enum state { IDLE, BUSY = 7 };
struct pair first;
static enum state now;
static inline int inner(int x) { return x * 3 + (int)now; }
static inline int nested(int x) { return inner(x) + inner(x + 1); }
int __attribute__((noinline)) work(int x) { if (x > 100) __builtin_trap(); return nested(x) + first.value; }
void _start(void) { for (;;) first.wide[0] = work((int)first.wide[1]); }
`;

const VERSIONS = {
  'DWARF 3': ['-gdwarf-3'],
  'DWARF 4 with .debug_types': ['-gdwarf-4', '-fdebug-types-section'],
  'DWARF 5': ['-gdwarf-5'],
};
const programs = new Map<string, string>();
beforeAll(() => {
  scratch.write('tiny.c', SOURCE);
  for (const [name, flags] of Object.entries(VERSIONS)) {
    const more = ['-O2', '-ffunction-sections', '-nostdlib', '-static', '-Wl,-z,noseparate-code', '-Wl,--build-id=none'];
    programs.set(name, scratch.compile(name.replaceAll(/\W+/g, '-'), ['tiny.c'], [...flags, ...more]));
  }
});

/** Asks an image everything there is to ask. */
function askEverything(image: SymbolImage, addresses: readonly bigint[]): number {
  let answers = 0;
  for (const address of addresses) answers += image.locate(address).length;
  for (const name of ['first', 'now']) if (image.findLinkVariable(name) !== null) answers += 1;
  for (const name of ['pair', 'state']) {
    const layout = image.findType(name);
    if (layout !== null) answers += 1;
    if (layout?.kind === 'struct') for (const member of layout.members) answers += member.layout().kind.length > 0 ? 1 : 0;
  }
  for (const place of ['tiny.c:7', 'work', 'tiny.c:99']) if (image.findLinkCode(place) !== null) answers += 1;
  return answers;
}

function codeOf(path: string): bigint[] {
  const elf = openElf(path);
  const sections = elf.sections.filter(({ name }) => name.startsWith('.text'));
  elf.close();
  return sections.flatMap(({ address, size }) =>
    Array.from({ length: Math.ceil(size / 16) }, (_, index) => address + BigInt(index * 16 + 3)),
  );
}

describe.each(Object.keys(VERSIONS))('in %s', (version) => {
  it('a section cut at any length costs answers, not an error', () => {
    const path = programs.get(version)!;
    const addresses = codeOf(path);
    const whole = openImage(path);
    const all = askEverything(whole, addresses);
    expect(whole.diagnostics).toEqual([]);
    whole.close();
    for (const { name, size } of sectionHeaders(new Uint8Array(readFileSync(path)))) {
      if (!name.startsWith('.debug_') || name.startsWith('.debug_loc')) continue;
      let saidWhy = false;
      for (let length = 0; length < size; length += 1) {
        const image = openImage(scratch.write('cut', withSectionSize(path, name, length)));
        expect(askEverything(image, addresses)).toBeLessThanOrEqual(all);
        saidWhy ||= image.diagnostics.length > 0;
        image.close();
      }
      expect([name, saidWhy]).toEqual([name, true]);
    }
  });

  it('bytes changed at random cost answers, not an error, nor more than a moment', () => {
    const path = programs.get(version)!;
    const addresses = codeOf(path);
    const bytes = new Uint8Array(readFileSync(path));
    const view = new DataView(bytes.buffer);
    const places = sectionHeaders(bytes)
      .filter(({ name }) => name.startsWith('.debug_') || name === '.symtab')
      .flatMap(({ header, size }) => Array.from({ length: size }, (_, at) => Number(view.getBigUint64(header + 24, true)) + at));
    const change = fc.tuple(fc.constantFrom(...places), fc.constantFrom(0, 1, 0x7f, 0x80, 0xfe, 0xff));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const damaged = bytes.slice();
        for (const [at, value] of changes) damaged[at] = value;
        const image = openImage(scratch.write('damaged', damaged));
        const started = performance.now();
        askEverything(image, addresses);
        image.close();
        expect(performance.now() - started).toBeLessThan(2000);
      }),
      { numRuns: 300 },
    );
  });
});

it('whole files with any bytes changed give typed errors or answers', () => {
  const path = programs.get('DWARF 5')!;
  const bytes = new Uint8Array(readFileSync(path));
  const addresses = codeOf(path);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 }), (changes) => {
      const damaged = bytes.slice();
      for (const [at, value] of changes) damaged[at] = value;
      try {
        const image = openImage(scratch.write('any', damaged));
        askEverything(image, addresses);
        image.close();
      } catch (error) {
        if (errorCode(error) === null) throw error;
      }
    }),
    { numRuns: 300 },
  );
});
