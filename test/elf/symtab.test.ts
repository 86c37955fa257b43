import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import { readSymbolTable, type SymbolTable } from '../../src/elf/symtab.ts';
import { outputOf, Scratch, withSectionSize } from './scratch.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

// Labels, nested sizes, aliases, padding and mapping symbols as hand-written kernels have them.
const ASSEMBLY = `
  .text
  .globl entry
entry: nop
  nop
middle: nop
  .type sized, @function
  .globl sized
sized: nop
inner: nop
  nop
  .size sized, . - sized
padding_label: nop
  .balign 16
  .type covered, @function
covered: nop
  nop
  .size covered, . - covered
  nop
  nop
  .globl alias_a, alias_b
  .weak weak_alias
  .type weak_alias, @function
  .type alias_a, @function
weak_alias:
alias_a:
alias_b: nop
  .size alias_a, . - alias_a
  .size weak_alias, . - weak_alias
"$x.1": nop
"$d": nop
last: nop
  .data
  .type table, @object
table: .quad 1, 2
  .size table, . - table
  .set absolute, 0x12345
  .globl absolute
`;

function open(path: string): { elf: ElfFile; table: SymbolTable } {
  const elf = openElf(path);
  return { elf, table: readSymbolTable(elf) };
}

function describeAt(table: SymbolTable, address: bigint): string {
  const symbol = table.findByAddress(address);
  if (symbol === null) return '??';
  return symbol.address === address ? symbol.name : `${symbol.name}+0x${(address - symbol.address).toString(16)}`;
}

describe('symbols of hand-written assembly', () => {
  let table: SymbolTable;
  let elf: ElfFile;
  const at = (offset: number): string => describeAt(table, elf.findSection('.text')!.address + BigInt(offset));
  beforeAll(() => {
    scratch.write('labels.s', ASSEMBLY);
    ({ elf, table } = open(scratch.compile('labels', ['labels.s'], ['-nostdlib', '-static', '-Wl,-e,entry'])));
  });
  afterAll(() => {
    elf.close();
  });

  it('name what follows a label without a size, up to the next', () => {
    expect([at(0), at(1), at(2)]).toEqual(['entry', 'entry+0x1', 'middle']);
  });

  it('prefer the function around a label to the label inside it', () => {
    expect([at(3), at(4), at(5)]).toEqual(['sized', 'sized+0x1', 'sized+0x2']);
  });

  it('name nothing behind the end of a sized function but by a later label', () => {
    expect([at(6), at(7), at(16), at(18)]).toEqual(['padding_label', 'padding_label+0x1', 'covered', '??']);
  });

  it('prefer a global function to a weak one and to a label at the same place', () => {
    expect(at(20)).toBe('alias_a');
  });

  it('are never the mapping symbols of ARM and RISC-V', () => {
    expect([at(21), at(22), at(23)]).toEqual(['??', '??', 'last']);
    expect(table.findByName('$d')).toBeNull();
  });

  it('are found by name with address and size, absolute ones too', () => {
    expect(table.findByName('table')).toMatchObject({ size: 16, kind: 'object', binding: 'local' });
    expect(table.findByName('sized')).toMatchObject({ size: 3, kind: 'function', binding: 'global' });
    expect(table.findByName('absolute')).toMatchObject({ address: 0x12345n });
    expect(table.findByName('nowhere')).toBeNull();
  });
});

describe('symbols of compiled programs', () => {
  const sources = {
    'static, at its address': ['-static'],
    'position independent': ['-fPIE', '-pie'],
    'in the high half': [
      '-nostdlib',
      '-static',
      '-mcmodel=kernel',
      '-fno-pic',
      '-no-pie',
      '-DBARE',
      '-Wl,-Ttext=0xffffffff81000000',
      '-Wl,-e,first',
    ],
  };
  beforeAll(() => {
    scratch.write(
      'code.c',
      `
      #ifndef BARE
      #include <stdio.h>
      int main(int argc, char **argv) { return printf("%d %s", argc, argv[0]); }
      #endif
      static int state[10];
      int first(int x) { return state[x % 10]++; }
      static __attribute__((noinline)) int second(int x) { return first(x) * 3; }
      int third(int x) { return second(x) + 1; }
    `,
    );
  });

  it.each(Object.entries(sources))('%s: agree with eu-addr2line on every third byte', (name, flags) => {
    const { elf, table } = open(scratch.compile(`code-${name.length}`, ['code.c'], flags));
    const text = elf.findSection('.text')!;
    const step = text.size > 30_000 ? 7n : 3n;
    const addresses: bigint[] = [];
    for (let address = text.address; address < text.address + BigInt(Math.min(text.size, 60_000)); address += step)
      addresses.push(address);
    const input = addresses.map((address) => `0x${address.toString(16)}\n`).join('');
    const theirs = outputOf('eu-addr2line', ['-S', '-e', elf.path], input)
      .split('\n')
      .filter((_, index) => index % 2 === 0)
      // What elfutils calls an address of its nameless symbol 0.
      .map((line) => (line.startsWith('()') ? '??' : line));
    expect(addresses.map((address) => `${address.toString(16)} ${describeAt(table, address)}`)).toEqual(
      addresses.map((address, index) => `${address.toString(16)} ${theirs[index]!}`),
    );
    elf.close();
  });

  it('hold every function that readelf lists, with its size', () => {
    const { elf, table } = open(scratch.compile('code-nm', ['code.c'], ['-O1']));
    const rows = [
      ...outputOf('readelf', ['-sW', elf.path]).matchAll(/^ +\d+: ([0-9a-f]{16}) +(\d+) FUNC +(GLOBAL|LOCAL) +\S+ +\d+ (\w+)$/gm),
    ];
    expect(rows.length).toBeGreaterThan(5);
    for (const [, address, size, , name] of rows) {
      expect(table.findByName(name!)).toMatchObject({ address: BigInt(`0x${address!}`), size: Number(size) });
    }
    elf.close();
  });

  it('come from .dynsym when .symtab was stripped', () => {
    scratch.write('library.c', 'int exported(int x) { return x + 1; }\n');
    const { elf, table } = open(scratch.compile('library.so', ['library.c'], ['-shared', '-fPIC', '-s']));
    expect(table.findByName('exported')).toMatchObject({ kind: 'function', binding: 'global' });
    elf.close();
  });

  it('far from the code keep their exact address', () => {
    scratch.write('far.s', '.globl far\nfar = 8\n.section .percpu,"aw"\n.globl percpu\npercpu: .quad 1\n');
    const flags = [...sources['in the high half'], '-Wl,--section-start=.percpu=0x1001'];
    const { elf, table } = open(scratch.compile('far', ['code.c', 'far.s'], flags));
    expect(table.findByName('percpu')!.address).toBe(0x1001n);
    expect(table.findByName('third')!.address >> 32n).toBe(0xffff_ffffn);
    elf.close();
  });

  it('cut off at every length are fewer, never an error', () => {
    const path = scratch.compile('cut', ['code.c'], sources['in the high half']);
    const size = openElf(path).findSection('.symtab')!.size;
    for (let length = 0; length <= size; length += 1) {
      const { elf, table } = open(scratch.write('cut-symtab', withSectionSize(path, '.symtab', length)));
      expect(table.count).toBeLessThanOrEqual(length / 24);
      elf.close();
    }
  });
});
