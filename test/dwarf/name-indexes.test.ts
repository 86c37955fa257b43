// Debuggers' indexes in a file (.gdb_index and .debug_names as gdb and clang write them): with them, without them and with damaged ones the
// answers are the same.

import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DwarfLocations } from '../../src/dwarf/locations.ts';
import { openElf } from '../../src/elf/file.ts';
import { Scratch } from '../elf/scratch.ts';

const SHAPES = `
struct point { int x, y; };
struct hidden;
enum colour { RED, GREEN };
typedef unsigned long ticks_t;
`;
const SOURCES: Readonly<Record<string, string>> = {
  'shapes.h': SHAPES,
  'main.cpp': `#include "shapes.h"
namespace outer { namespace inner { struct deep { point at; }; deep here; int counter = 3; } }
namespace { struct nameless { ticks_t t; }; nameless secret; }
namespace outer { namespace { int buried = 1; } }
template <typename T> struct Box { T value; };
Box<int> box;
point origin;
colour paint = GREEN;
extern int other_unit(void);
int main() { return other_unit() + (int)secret.t + outer::buried; }
`,
  'other.cpp': `#include "shapes.h"
struct hidden { long depth; };
hidden treasure;
static point origin_of_other;
static int counter = 5;
union both { int i; float f; };
both mixed;
int other_unit(void) { return counter + origin_of_other.x; }
`,
};
const VARIABLES = [
  ...['outer::inner::here', 'outer::inner::counter', 'outer::buried', 'secret', 'box', 'origin', 'paint', 'treasure'],
  ...['origin_of_other', 'counter', 'mixed', 'here', 'nothing', 'outer::inner', 'point', ''],
];
const TYPES = [
  ...['struct point', 'point', 'hidden', 'struct hidden', 'enum colour', 'ticks_t', 'outer::inner::deep', 'deep', 'nameless'],
  ...['Box<int>', 'Box', 'union both', 'both', 'int', 'unsigned long', 'nothing', 'origin'],
];
const LINES = [...Array(12).keys()].flatMap((line) => [`main.cpp:${line}`, `other.cpp:${line}`]);

const FILES = ['main.cpp', 'other.cpp'];
const FLAGS = ['-g', '-O0', '-no-pie'];

const scratch = new Scratch();
const pathOf = (name: string): string => join(scratch.path, name);
const run = (tool: string, ...args: string[]): void => {
  execFileSync(tool, args, { cwd: scratch.path, stdio: ['ignore', 'ignore', 'pipe'] });
};
let plain: unknown;
beforeAll(() => {
  for (const [name, text] of Object.entries(SOURCES)) scratch.write(name, text);
  scratch.compile('plain', FILES, FLAGS, 'g++');
  plain = answers('plain').all;
});
afterAll(() => {
  scratch.remove();
});

/** What a file says of all names, lines and a grid of addresses, and what it complains of. */
function answers(name: string): {
  readonly all: unknown;
  readonly damage: readonly string[];
  readonly sections: readonly string[];
} {
  const elf = openElf(pathOf(name));
  try {
    const dwarf = new DwarfLocations(elf);
    const text = elf.findSection('.text')!;
    const start = Number(text.address - elf.origin);
    const all = {
      variables: VARIABLES.map((variable) => dwarf.types.findVariable(variable)?.address ?? null),
      types: TYPES.map((type) => dwarf.types.findType(type)?.size ?? null),
      lines: LINES.map((line) => dwarf.findLine(line.split(':')[0]!, Number(line.split(':')[1]))),
      places: [...Array(text.size).keys()].map((at) => dwarf.find(start + at)),
    };
    return { all, damage: dwarf.damage.map(({ message }) => message), sections: elf.sections.map((section) => section.name) };
  } finally {
    elf.close();
  }
}

function addIndex(name: string, ...options: string[]): void {
  copyFileSync(pathOf('plain'), pathOf(name));
  run('gdb-add-index', ...options, name);
}

describe('indexes of debuggers', () => {
  it('the names are found without any', () => {
    expect(plain).toMatchObject({ variables: expect.arrayContaining([expect.anything()]) as unknown });
    const { variables, types } = plain as { variables: unknown[]; types: unknown[] };
    expect(variables.filter((found) => found !== null)).toHaveLength(11);
    expect(types.slice(0, 7)).toEqual([8, 8, 8, 8, 4, 8, 8]);
  });

  it.each([
    ['.gdb_index', []],
    ['.debug_names', ['-dwarf-5']],
  ])('%s of gdb gives the same answers', (section, options) => {
    addIndex('indexed', ...options);
    const { all, damage, sections } = answers('indexed');
    expect(sections).toContain(section);
    expect(damage).toEqual([]);
    expect(all).toEqual(plain);
  });

  it('an index of which any byte is wrong costs no answer that is there without it: it is refused, or names units that do not matter', () => {
    addIndex('whole');
    const elf = openElf(pathOf('whole'));
    const section = elf.findSection('.gdb_index')!;
    elf.close();
    const bytes = readFileSync(pathOf('whole'));
    for (const at of [0, 4, 8, 12, 16, 20]) {
      const damaged = Buffer.from(bytes);
      damaged[section.offset + at + 2]! ^= 0x55;
      scratch.write('damaged', damaged);
      expect(answers('damaged').all, `byte ${at + 2}`).toEqual(plain);
    }
  });

  it('an index of another file is refused with a word', () => {
    scratch.compile('stranger', FILES, [...FLAGS, '-include', 'vector'], 'g++');
    copyFileSync(pathOf('stranger'), pathOf('stranger-indexed'));
    run('gdb-add-index', 'stranger-indexed');
    run('objcopy', '--dump-section', '.gdb_index=index.bin', 'stranger-indexed', 'unused');
    run('objcopy', '--add-section', '.gdb_index=index.bin', 'plain', 'wrong');
    const { all, damage } = answers('wrong');
    expect(all).toEqual(plain);
    expect(damage.join()).toMatch(/\.gdb_index.*another file/);
  });
});
