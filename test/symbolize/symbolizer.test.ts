import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatLocation } from '../../src/model/frame.ts';
import { createSymbolizer, openImage, type SymbolImage } from '../../src/symbolize/symbolizer.ts';
import { outputOf, Scratch } from '../elf/scratch.ts';

const SERVER = `
int requests;
static inline int checksum(const char *p) { int sum = 0; while (*p) sum += *p++; return sum; }
static int __attribute__((noinline)) parse(const char *text) {
  requests++;
  return checksum(text);
}
int handle(const char *text) { return parse(text) * 2; }
int __attribute__((noinline, cold)) refuse(void) { return -1; }
void _start(void) { for (;;) if (handle("x") < 0) refuse(); }
`;
const BIAS = 0x7f00_0000_0000n;

const scratch = new Scratch();
let image: SymbolImage;
let stripped: SymbolImage;
beforeAll(() => {
  scratch.write('server.c', SERVER);
  scratch.write('quiet.s', '.globl silent\n.type silent, @function\nsilent: nop\n nop\n.size silent, .-silent\n nop\n nop\n');
  const flags = ['-O1', '-g', '-nostdlib', '-static', '-fno-asynchronous-unwind-tables'];
  scratch.compile('quiet.o', ['quiet.s'], ['-c']);
  image = openImage(scratch.compile('server.elf', ['server.c', 'quiet.o'], flags));
  stripped = openImage(scratch.compile('stripped.elf', ['server.c'], [...flags, '-s']));
});
afterAll(() => {
  image.close();
  stripped.close();
  scratch.remove();
});

const placed = (loadBias = 0n) => createSymbolizer([{ image, loadBias, match: 'text', placedBy: 'link address' }]);

/** Address of the instruction behind the first call in `name`, as objdump shows it. */
function returnAddressIn(name: string): bigint {
  const listing = outputOf('objdump', ['-d', `--disassemble=${name}`, image.elf.path]);
  const lines = listing.split('\n');
  const call = lines.findIndex((line) => /\bcall\b/.test(line));
  return BigInt(`0x${/^ *([0-9a-f]+):/.exec(lines[call + 1]!)![1]!}`);
}

describe('an address', () => {
  it('means function, distance, file and line, with the calls inlined there', () => {
    const start = placed().findSymbol('parse')!.address;
    const frames = [...Array(40).keys()].map((at) =>
      placed()
        .symbolize(start + BigInt(at))
        .map(formatLocation)
        .join(' < '),
    );
    expect(frames[0]).toMatch(/^parse \(server\.c:[45]\)$/);
    expect(frames).toContainEqual(expect.stringMatching(/^checksum \(server\.c:3\) < parse\+0x[0-9a-f]+ \(server\.c:6\)$/));
  });

  it('means the same in an image that was moved, and in the high half', () => {
    for (const bias of [BIAS, -0x1000n, 0xffff_ffff_8000_0000n]) {
      const moved = placed(bias);
      const symbol = moved.findSymbol('handle')!;
      expect(symbol.address).toBe(BigInt.asUintN(64, placed().findSymbol('handle')!.address + bias));
      expect(moved.symbolize(symbol.address + 1n)).toEqual(placed().symbolize(symbol.address - bias + 1n));
      expect(moved.images[0]).toMatchObject({ loadBias: bias, match: 'text', machine: 'x86_64', path: image.elf.path });
    }
  });

  it('behind a call is looked up as the call, with its distance counted to itself', () => {
    const address = returnAddressIn('_start');
    const at = placed().symbolize(address, { isReturnAddress: true }).at(-1)!;
    const call = placed()
      .symbolize(address - 1n)
      .at(-1)!;
    expect([at.function, at.file, at.line]).toEqual([call.function, call.file, call.line]);
    expect(at.functionOffset).toBe(call.functionOffset! + 1);
  });

  it('in code without debug info has the name of its symbol alone', () => {
    const { address, size } = placed().findSymbol('silent')!;
    expect(size).toBe(2);
    expect(placed().symbolize(address + 1n)).toEqual([
      {
        function: 'silent',
        functionOffset: 1,
        file: null,
        line: null,
        column: null,
        inlined: false,
        module: 'server.elf',
        status: 'symbolicated',
      },
    ]);
  });

  it('that no image or no symbol holds says which', () => {
    expect(placed().symbolize(0x10n)).toEqual([expect.objectContaining({ status: 'no-image', module: null, function: null })]);
    const nowhere = placed().findSymbol('silent')!.address + 3n;
    expect(placed().symbolize(nowhere)).toEqual([expect.objectContaining({ status: 'no-symbol', module: 'server.elf' })]);
    const none = createSymbolizer([{ image: stripped, loadBias: 0n, match: 'text', placedBy: 'x' }]);
    expect(none.symbolize(stripped.elf.entry)[0]!.status).toBe('no-symbol');
  });

  it('in an image that does not match the guest gets no name, nor do symbols and types', () => {
    const wrong = createSymbolizer([{ image, loadBias: 0n, match: 'mismatch', placedBy: 'link address' }]);
    const { address } = placed().findSymbol('parse')!;
    expect(wrong.symbolize(address)).toEqual([
      expect.objectContaining({ function: null, status: 'no-symbol', module: 'server.elf' }),
    ]);
    expect([wrong.findSymbol('parse'), wrong.findCode('server.c:4'), wrong.types.findVariable('requests')]).toEqual([
      null,
      null,
      null,
    ]);
  });
});

describe('a place in the source', () => {
  it('is found by file and line, a path suffix sufficing, or by function', () => {
    const symbols = placed(BIAS);
    const { address, size } = symbols.findSymbol('parse')!;
    const line = symbols.findCode('server.c:5')!;
    expect(line >= address && line < address + BigInt(size)).toBe(true);
    expect(symbols.findCode(`${scratch.path}/server.c:5`)).toBe(line);
    expect(symbols.symbolize(line).at(-1)).toMatchObject({ function: 'parse', line: 5 });
    expect(symbols.findCode('parse')).toBe(address);
    expect(symbols.findCode('erver.c:5')).toBeNull();
    expect(symbols.findCode('server.c:4000')).toBeNull();
    expect(symbols.findCode('absent')).toBeNull();
  });

  it('without code of its own is that of the next line that has some', () => {
    expect(placed().symbolize(placed().findCode('server.c:2')!)[0]!.line).toBe(3);
  });
});

it('variables are found at run-time addresses', () => {
  expect(placed(BIAS).types.findVariable('requests')).toMatchObject({
    address: placed().findSymbol('requests')!.address + BIAS,
    layout: { kind: 'integer', name: 'int' },
  });
});

it('the first of several images that knows a name answers', () => {
  const both = createSymbolizer([
    { image: stripped, loadBias: 0x1000_0000n, match: 'text', placedBy: 'x' },
    { image, loadBias: BIAS, match: 'build-id', placedBy: 'y' },
  ]);
  expect(both.findSymbol('handle')!.address > BIAS).toBe(true);
  expect(both.symbolize(stripped.elf.entry + 0x1000_0000n)[0]!.module).toBe('stripped.elf');
});

it('a file for another instruction set is refused by name', () => {
  const bytes = new Uint8Array(readFileSync(image.elf.path));
  bytes[18] = 8;
  expect(() => openImage(scratch.write('mips', bytes))).toThrow(/mips is for e_machine 8; x86, aarch64 and riscv64 are known/);
});
