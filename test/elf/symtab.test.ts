import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import { readSymbolTable, type SymbolTable } from '../../src/elf/symtab.ts';
import { makeElf, makeSymbols } from './handmade-elf.ts';
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

  it('without a size name nothing behind a function at the same place that has ended, whichever stands first', () => {
    for (const names of ['f, g', 'g, f']) {
      const labels = names.replace(', ', ':\n') + ':';
      const source = `.text\n.globl ${names}\n.type f, @function\n.type g, @function\n${labels} nop\n.size f, 1\n.p2align 5\n`;
      scratch.write('twins.s', source);
      const twins = open(scratch.compile('twins', ['twins.s'], ['-nostdlib', '-static', '-Wl,-e,f']));
      const start = twins.elf.findSection('.text')!.address;
      expect(describeAt(twins.table, start + 8n)).toBe('??');
      twins.elf.close();
    }
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

describe('symbols of other layouts', () => {
  const order = { bits: 64, littleEndian: false } as const;

  it('count from their section in a relocatable file', () => {
    scratch.write(
      'object.s',
      '.text\n.globl first\nfirst: nop\n.section .text.b,"ax"\n nop\n.globl second\n.type second,@function\nsecond: nop\n.size second, 1\n',
    );
    const { elf, table } = open(scratch.compile('object.o', ['object.s'], ['-c']));
    const other = elf.findSection('.text.b')!.address;
    expect(other).toBeGreaterThan(0n);
    expect(table.findByName('second')!.address).toBe(other + 1n);
    expect(describeAt(table, other + 1n)).toBe('second');
    expect(describeAt(table, 0n)).toBe('first');
    elf.close();
  });

  it('may be in sections beyond number 65,280', () => {
    const lines = Array.from({ length: 65_500 }, (_, index) => `.section .t${index},"ax"\n nop\n`);
    scratch.write('far-sections.s', `${lines.join('')}.globl last\nlast: nop\n`);
    const { elf, table } = open(scratch.compile('far-sections.o', ['far-sections.s'], ['-c']));
    expect(elf.sections.some(({ name }) => name === '.symtab_shndx')).toBe(true);
    expect(table.findByName('last')!.address).toBe(elf.findSection('.t65499')!.address + 1n);
    elf.close();
  });

  it.each([32, 64] as const)('of %i bits and the other byte order are read', (bits) => {
    const elfOrder = { ...order, bits };
    const path = scratch.write(
      `big${bits}`,
      makeElf({
        ...elfOrder,
        type: 2,
        machine: bits === 64 ? 183 : 3,
        sections: [
          { name: '.text', type: 1, flags: 6, address: 0x1000n, bytes: new Uint8Array(64) },
          {
            name: '.symtab',
            type: 2,
            link: 3,
            bytes: makeSymbols(elfOrder, [{ name: 1, value: 0x1010n, section: 1, info: 0x12, size: 4 }]),
          },
          { name: '.strtab', type: 3, bytes: Buffer.from('\0code\0') },
        ],
      }),
    );
    const { elf, table } = open(path);
    expect(table.findByName('code')).toMatchObject({ address: 0x1010n, size: 4, kind: 'function', binding: 'global' });
    expect(describeAt(table, 0x1011n)).toBe('code+0x1');
    elf.close();
  });

  it('of objcopy -O elf32-big and elf64-big are where nm says', () => {
    scratch.write('blob', 'some bytes of no format');
    for (const format of ['elf32-big', 'elf64-big']) {
      execFileSync('objcopy', ['-I', 'binary', '-O', format, 'blob', format], { cwd: scratch.path });
      const { elf, table } = open(join(scratch.path, format));
      expect([elf.littleEndian, elf.machine, elf.bits]).toEqual([false, null, format === 'elf32-big' ? 32 : 64]);
      const rows = [...outputOf('nm', [elf.path]).matchAll(/^([0-9a-f]+) \w (\S+)$/gm)];
      expect(rows.length).toBe(3);
      for (const [, value, name] of rows) expect(table.findByName(name!)?.address).toBe(BigInt(`0x${value!}`));
      expect(Buffer.from(elf.readSection(elf.findSection('.data')!)).toString()).toBe('some bytes of no format');
      elf.close();
    }
  });
});

describe('symbol versions', () => {
  beforeAll(() => {
    scratch.write(
      'versions.c',
      `
      int old_call(int x) { return x; }
      int new_call(int x) { return x + 1; }
      int plain(int x) { return x + 2; }
      __asm__(".symver old_call,call@V1");
      __asm__(".symver new_call,call@@V2");
    `,
    );
    scratch.write('versions.map', 'V1 { global: call; };\nV2 { global: call; plain; local: *; } V1;\n');
  });

  it.each([
    ['with .symtab', []],
    ['with .dynsym alone', ['-s']],
  ] as const)('are beside the name, as nm prints them, %s', (kind, flags) => {
    const path = scratch.compile(
      `versioned${flags.length}.so`,
      ['versions.c'],
      ['-shared', '-fPIC', '-Wl,--version-script=versions.map', ...flags],
    );
    const { elf, table } = open(path);
    const nm = outputOf('nm', flags.length === 0 ? [path] : ['-D', path]);
    for (const [, address, spelled] of nm.matchAll(/^([0-9a-f]{16}) T (\S+)$/gm)) {
      const symbol = table.findByName(spelled!);
      expect(symbol?.address, `${spelled!} ${kind}`).toBe(BigInt(`0x${address!}`));
      expect(`${symbol!.name}${symbol!.version ?? ''}`).toBe(spelled);
    }
    expect(nm).toContain('call@@V2');
    expect(table.findByName('call')).toMatchObject({ name: 'call', version: '@@V2' });
    expect(describeAt(table, table.findByName('call@V1')!.address)).toBe('call');
    elf.close();
  });

  it('of what a program took from a library are known', () => {
    scratch.write('copy.c', '#include <stdio.h>\nint main(void) { return stdout != NULL; }\n');
    const { elf, table } = open(scratch.compile('copy', ['copy.c'], ['-no-pie', '-fno-pic', '-s']));
    const [, spelled] = / B (stdout@\S+)$/m.exec(outputOf('nm', ['-D', elf.path]))!;
    const symbol = table.findByName('stdout')!;
    expect(symbol.name + symbol.version!).toBe(spelled);
    elf.close();
  });

  it('are looked up the same way by the first searches and by the index', () => {
    const { elf, table } = open(
      scratch.compile('indexed.so', ['versions.c'], ['-shared', '-fPIC', '-Wl,--version-script=versions.map']),
    );
    const names = ['call', 'call@V1', 'plain', 'lain', 'V1', 'old_call', ''];
    const searched = names.map((name) => table.findByName(name));
    for (let count = 0; count < 60; count += 1) table.findByName('absent');
    expect(names.map((name) => table.findByName(name))).toEqual(searched);
    expect(searched.map((symbol) => symbol?.name ?? null)).toEqual(['call', 'call', 'plain', null, 'V1', 'old_call', null]);
    elf.close();
  });

  it('that are damaged leave the names without versions', () => {
    const path = scratch.compile('damaged.so', ['versions.c'], ['-shared', '-fPIC', '-s', '-Wl,--version-script=versions.map']);
    for (const name of ['.gnu.version', '.gnu.version_d']) {
      const elf = openElf(path);
      const { size } = elf.findSection(name)!;
      elf.close();
      for (let length = 0; length < size; length += 1) {
        const cut = open(scratch.write('cut-versions', withSectionSize(path, name, length)));
        expect(cut.table.findByName('plain')?.name).toBe('plain');
        cut.elf.close();
      }
    }
  });
});
