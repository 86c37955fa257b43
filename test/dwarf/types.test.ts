// Layouts against what the compiled program itself prints of them (sizeof, offsetof), in every version of DWARF, and values
// read out of the file's data through them.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DwarfLocations } from '../../src/dwarf/locations.ts';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import type { Layout, LayoutMember } from '../../src/model/layout.ts';
import { outputOf, Scratch } from '../elf/scratch.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

const TYPES = `
#include <stdint.h>
#include <stddef.h>
typedef enum { RED = 1, GREEN = 200, BLUE = -3 } colour_t;
enum big { HUGE_ONE = 0x123456789abcdefL };
struct hidden;
struct list { struct list *next; const volatile struct hidden *secret; };
typedef struct { uint8_t a; uint64_t b; } anonymous_t;
typedef struct heap { int size; } *heap;
union either { float real; uint32_t bits; char text[12]; };
struct __attribute__((packed)) tight { char tag; uint32_t wide; unsigned low : 3; unsigned across : 11; };
struct fields { unsigned first : 1; unsigned second : 7; int third : 10; unsigned long far : 33; signed char last : 4; };
struct all {
  char c; short s; int i; long l; double d; _Bool flag;
  unsigned matrix[3][5]; struct list links; union either either; colour_t colour; anonymous_t anonymous;
  struct { int inner_a; union { int inner_b; char inner_c[4]; }; };
  void (*callback)(int); void *opaque; const char *name; int flexible[];
};
`;
const UNIT = `#include "types.h"
struct hidden { int depth; char label[8]; };
struct hidden treasure = { 7, "gold" };
static volatile int shared_name = 22;
int *use_other(void) { return (int *)&shared_name; }
`;
const MAIN = `#include "types.h"
#include <stdio.h>
extern struct hidden treasure;
struct list head = { &head, &treasure };
struct fields bits = { 1, 100, -200, 0x1abcdef12UL, -5 };
struct tight packed = { 'x', 0xdeadbeef, 5, 1234 };
unsigned long counters[4] = { 1, 2, 3, 0xffffffffffffffffUL };
static int shared_name = 11;
heap arena;
enum big chosen = HUGE_ONE;
struct all everything;
int empty[0];
int *use_other(void);
#define SIZE(type) printf("\\"%s\\": %zu,\\n", #type, sizeof(type))
#define MEMBER(m) printf("\\"%s\\": %zu,\\n", #m, offsetof(struct all, m))
int main(void) {
  printf("{");
  SIZE(struct all); SIZE(struct fields); SIZE(struct tight); SIZE(union either); SIZE(anonymous_t); SIZE(struct list); SIZE(enum big);
  MEMBER(c); MEMBER(s); MEMBER(i); MEMBER(l); MEMBER(d); MEMBER(flag); MEMBER(matrix); MEMBER(links); MEMBER(either);
  MEMBER(colour); MEMBER(anonymous); MEMBER(callback); MEMBER(opaque); MEMBER(name); MEMBER(flexible);
  printf("\\"use\\": %d}", shared_name + *use_other() + (int)(long)arena + (empty == 0));
  return 0;
}
`;

beforeAll(() => {
  scratch.write('types.h', TYPES);
  scratch.write('other.c', UNIT);
  scratch.write('main.c', MAIN);
});

function membersOf(layout: Layout | null): readonly LayoutMember[] {
  if (layout?.kind !== 'struct' && layout?.kind !== 'union') throw new Error(`no members: ${layout?.kind ?? 'null'}`);
  return layout.members;
}

function memberOf(layout: Layout | null, name: string): LayoutMember {
  return membersOf(layout).find((member) => member.name === name)!;
}

/** An integer or bit-field as the file initialises it. */
function initialValue(elf: ElfFile, address: bigint, layout: Layout, bits: LayoutMember['bits']): bigint {
  const bytes = elf.readVirtual(address, layout.size)!;
  const raw = bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  const width = bits === null ? layout.size * 8 : bits.size;
  const value = raw >> BigInt(bits?.offset ?? 0);
  return layout.kind === 'integer' && layout.signed ? BigInt.asIntN(width, value) : BigInt.asUintN(width, value);
}

describe.each([
  ...[2, 3, 4, 5].map((version) => [`DWARF ${version}`, [`-gdwarf-${version}`]] as const),
  ['DWARF 5, 64-bit format', ['-gdwarf-5', '-gdwarf64']],
  ['DWARF 4, types in .debug_types', ['-gdwarf-4', '-fdebug-types-section']],
  ['DWARF 5, types in units of their own', ['-gdwarf-5', '-fdebug-types-section']],
  [
    'DWARF 4, linked in the high half',
    [
      '-gdwarf-4',
      '-mcmodel=kernel',
      '-fno-pic',
      '-static',
      '-nostdlib',
      '-Wl,-Ttext=0xffffffff80100000,-e,main',
      '-Dprintf(...)=',
    ],
  ],
] as const)('in %s', (name, flags) => {
  let elf: ElfFile;
  let types: DwarfLocations['types'];
  let dwarf: DwarfLocations;
  let truth: Record<string, number>;
  beforeAll(() => {
    const path = scratch.compile(
      name.replaceAll(/\W+/g, '-'),
      ['main.c', 'other.c'],
      [...flags, '-O0', '-no-pie', '-fno-pie', '-w'],
    );
    const runnable = scratch.compile('runnable', ['main.c', 'other.c'], ['-O0', '-w']);
    truth = JSON.parse(execFileSync(runnable, { encoding: 'utf8' })) as Record<string, number>;
    elf = openElf(path);
    dwarf = new DwarfLocations(elf);
    types = dwarf.types;
  });
  afterAll(() => {
    expect(dwarf.damage).toEqual([]);
    elf.close();
  });

  it('sizes and offsets are those the program prints', () => {
    const all = types.findType('all');
    const found: Record<string, number> = Object.fromEntries(membersOf(all).map((member) => [member.name, member.offset]));
    for (const type of [
      'struct all',
      'struct fields',
      'struct tight',
      'union either',
      'anonymous_t',
      'struct list',
      'enum big',
    ]) {
      found[type] = types.findType(type)?.size ?? -1;
    }
    const expected = Object.fromEntries(
      Object.keys(truth)
        .filter((key) => key !== 'use')
        .map((key) => [key, truth[key]]),
    );
    expect(found).toMatchObject(expected);
  });

  it("kinds, signs and names are the source's, typedefs and qualifiers seen through", () => {
    const all = types.findType('all');
    const shown = (member: string): Layout => memberOf(all, member).layout();
    expect(shown('c')).toMatchObject({ kind: 'integer', name: 'char', size: 1, signed: true });
    expect(shown('d')).toMatchObject({ kind: 'float', name: 'double', size: 8 });
    expect(shown('flag')).toMatchObject({ kind: 'integer', name: '_Bool', signed: false });
    expect(shown('anonymous')).toMatchObject({ kind: 'struct', name: 'anonymous_t' });
    expect(shown('colour')).toMatchObject({
      kind: 'enum',
      enumerators: [
        { name: 'RED', value: 1n },
        { name: 'GREEN', value: 200n },
        { name: 'BLUE', value: -3n },
      ],
    });
    expect(types.findType('enum big')).toMatchObject({ enumerators: [{ name: 'HUGE_ONE', value: 0x123456789abcdefn }] });
    expect(shown('callback')).toMatchObject({ kind: 'pointer', size: 8 });
    expect(shown('name')).toMatchObject({ kind: 'pointer', name: 'char *' });
    const opaque = shown('opaque');
    expect(opaque.kind === 'pointer' ? opaque.target() : opaque).toBeNull();
    expect(membersOf(all).map((member) => member.name)).toContain('');
  });

  it('arrays nest, and flexible ones have no count', () => {
    const all = types.findType('all');
    const matrix = memberOf(all, 'matrix').layout();
    if (matrix.kind !== 'array') throw new Error('not an array');
    expect([matrix.count, matrix.size]).toEqual([3, 60]);
    expect(matrix.element()).toMatchObject({ kind: 'array', count: 5, size: 20 });
    const flexible = memberOf(all, 'flexible').layout();
    expect(flexible).toMatchObject({ kind: 'array', size: 0, count: null });
    expect(types.findVariable('empty')?.layout).toMatchObject({ kind: 'array', size: 0 });
  });

  it('variables are where the linker put them, with the values the source gives', () => {
    const counters = types.findVariable('counters')!;
    expect(initialValue(elf, counters.address + 24n, { kind: 'integer', name: '', size: 8, signed: false }, null)).toBe(
      0xffff_ffff_ffff_ffffn,
    );
    const chosen = types.findVariable('chosen')!;
    expect(initialValue(elf, chosen.address, chosen.layout, null)).toBe(0x123456789abcdefn);
    expect(types.findVariable('nowhere')).toBeNull();
    expect(types.findVariable('main')).toBeNull();
  });

  it('statics of one name are told apart by their unit', () => {
    const values = ['main.c', 'other.c'].map((unit) => {
      const { address, layout } = types.findVariable('shared_name', unit)!;
      return initialValue(elf, address, layout, null);
    });
    expect(values).toEqual([11n, 22n]);
    expect(types.findVariable('shared_name', 'third.c')).toBeNull();
  });

  it('bit-fields give back the values they were initialised with', () => {
    const { address, layout } = types.findVariable('bits')!;
    const values = membersOf(layout).map((member) =>
      initialValue(elf, address + BigInt(member.offset), member.layout(), member.bits),
    );
    expect(values).toEqual([1n, 100n, -200n, 0x1abcdef12n, -5n]);
    const packed = types.findVariable('packed')!;
    const across = membersOf(packed.layout).map((member) =>
      initialValue(elf, packed.address + BigInt(member.offset), member.layout(), member.bits),
    );
    expect(across).toEqual([0x78n, 0xdeadbeefn, 5n, 1234n]);
  });

  it('a declared struct is completed from the unit that defines it', () => {
    const { layout } = types.findVariable('head')!;
    const secret = memberOf(layout, 'secret').layout();
    const target = secret.kind === 'pointer' ? secret.target() : null;
    expect(target).toMatchObject({ kind: 'struct', name: 'hidden', size: 12 });
    expect(membersOf(target).map(({ name, offset }) => [name, offset])).toEqual([
      ['depth', 0],
      ['label', 4],
    ]);
    const next = memberOf(layout, 'next').layout();
    expect(next.kind === 'pointer' && next.target()).toMatchObject({ kind: 'struct', name: 'list' });
  });

  it('a tag comes before a typedef of the same name', () => {
    expect(types.findType('heap')).toMatchObject({ kind: 'struct', name: 'heap', size: 4 });
    expect(types.findVariable('arena')?.layout).toMatchObject({ kind: 'pointer', name: 'heap *' });
    expect(types.findType('struct anonymous_t')).toBeNull();
  });
});

it('C++ names carry their namespaces, and members of base classes are inside the base', () => {
  scratch.write(
    'shapes.cpp',
    `
    namespace outer { namespace inner { struct Base { int id; static int count; virtual ~Base() {} }; int Base::count = 3; long total = 44; }
      class Derived : public inner::Base { public: bool ready; }; Derived instance; }
    int main() { return outer::instance.ready + static_cast<int>(outer::inner::total) + outer::inner::Base::count; }
  `,
  );
  const elf = openElf(scratch.compile('namespaces', ['shapes.cpp'], ['-g', '-O0'], 'g++'));
  const { types } = new DwarfLocations(elf);
  const total = types.findVariable('outer::inner::total')!;
  expect(initialValue(elf, total.address, total.layout, null)).toBe(44n);
  expect(types.findVariable('total')).toBeNull();
  const { layout } = types.findVariable('outer::instance')!;
  expect(membersOf(layout).map(({ name }) => name)).toEqual(['Base', 'ready']);
  expect(membersOf(types.findType('outer::inner::Base')).map(({ name }) => name)).toEqual(['_vptr.Base', 'id']);
  elf.close();
});

describe('C++ types and statics', () => {
  let elf: ElfFile;
  let types: DwarfLocations['types'];
  beforeAll(() => {
    scratch.write(
      'kinds.cpp',
      `
      #include <cstdint>
      namespace shop {
        enum class Colour : uint8_t { red = 1, green = 200 };
        struct Base { int id; static long made; virtual ~Base() {} };
        long Base::made = 77;
        struct Left : virtual Base { int l; }; struct Right : virtual Base { int r; };
        struct Both : Left, Right { int b; Colour colour; int Base::*field; int (Base::*method)(long); Base &ref; Base &&moved; Both(Base &x) : ref(x), moved(static_cast<Base &&>(x)) {} };
        template <typename T> struct Box { T value; static inline int count = 5; };
        int next() { static int counter = 41; { static int inner = 42; counter += inner; } return ++counter; }
        struct Maker { int make() { static int made_here = 43; return ++made_here; } };
      }
      struct { int bare; } anonymous;
      char wide[2][3]; const volatile char *const text = "x"; int (*table[4])(const char *, ...); __int128 huge = 1; double _Complex pair;
      shop::Box<unsigned long> box;
      char32_t letter = U'x'; bool yes = true; void (*signal_like(int, void (*)(int)))(int);
      int main() { shop::Base base; shop::Both both(base); shop::Maker maker; return shop::next() + both.b + maker.make() + (int)shop::Base::made + shop::Box<unsigned long>::count; }
    `,
    );
    elf = openElf(scratch.compile('kinds', ['kinds.cpp'], ['-std=c++17', '-g', '-O0', '-no-pie', '-w'], 'g++'));
    ({ types } = new DwarfLocations(elf));
  });
  afterAll(() => {
    elf.close();
  });
  const valueOf = (name: string): bigint | null => {
    const found = types.findVariable(name);
    return found === null ? null : initialValue(elf, found.address, found.layout, null);
  };

  it('static members and statics of functions are found by their qualified names', () => {
    expect(valueOf('shop::Base::made')).toBe(77n);
    expect(valueOf('shop::next::counter')).toBe(41n);
    expect(valueOf('shop::next::inner')).toBe(42n);
    expect(valueOf('shop::Maker::make::made_here')).toBe(43n);
    expect(valueOf('shop::Box<long unsigned int>::count')).toBe(5n);
    expect(types.findVariable('shop::next::nothing')).toBeNull();
  });

  it('a virtual base says so, and its place is computed', () => {
    const [left, right, b] = membersOf(types.findType('shop::Both'));
    expect([left?.base, left?.offset, right?.base, right?.offset]).toEqual(['direct', 0, 'direct', 16]);
    expect(b?.base).toBeUndefined();
    const base = membersOf(types.findType('shop::Left')).find(({ name }) => name === 'Base')!;
    expect(base.base).toBe('virtual');
    // vptr at 0x1000 → table at 0x2000, whose entry at −24 is the distance to the base.
    const memory = {
      read: (address: bigint, size: number) => {
        const word = { '4096': 0x2000n, [String(0x2000 - 24)]: 40n }[String(address)];
        return word === undefined ? null : Uint8Array.from({ length: size }, (_, at) => Number((word >> BigInt(at * 8)) & 0xffn));
      },
    };
    expect(base.locate?.(0x1000n, memory)).toBe(0x1000n + 40n);
  });

  it('enumerations are scoped and unsigned, references and pointers to members are what they are', () => {
    const both = types.findType('shop::Both');
    expect(memberOf(both, 'colour').layout()).toMatchObject({ kind: 'enum', size: 1, scoped: true });
    expect(memberOf(both, 'colour').layout()).not.toHaveProperty('signed');
    expect(memberOf(both, 'field').layout()).toMatchObject({ kind: 'member-pointer', size: 8, ofFunction: false });
    expect(memberOf(both, 'method').layout()).toMatchObject({ kind: 'member-pointer', size: 16, ofFunction: true });
    expect(memberOf(both, 'ref').layout()).toMatchObject({ kind: 'pointer', is: 'reference' });
    expect(memberOf(both, 'moved').layout()).toMatchObject({ kind: 'pointer', is: 'rvalue-reference' });
    expect(types.findVariable('pair')?.layout).toMatchObject({ kind: 'complex', size: 16 });
    expect(types.findVariable('huge')?.layout).toMatchObject({ kind: 'integer', size: 16, signed: true });
    expect(types.findVariable('letter')?.layout).toMatchObject({ kind: 'integer', size: 4, is: 'character' });
    expect(types.findVariable('yes')?.layout).toMatchObject({ kind: 'integer', size: 1, is: 'boolean' });
  });

  it('members and bases are where gdb has them', () => {
    const script = ['Base', 'Both', 'Left', 'Box<unsigned long>'].map((name) => `print sizeof(shop::${name})`);
    const printed = outputOf('gdb', ['-nx', '-batch', ...script.flatMap((line) => ['-ex', line]), elf.path]);
    const sizes = [...printed.matchAll(/= (\d+)/g)].map((match) => Number(match[1]));
    expect(['Base', 'Both', 'Left', 'Box<long unsigned int>'].map((name) => types.findType(`shop::${name}`)?.size)).toEqual(
      sizes,
    );
  });
});
