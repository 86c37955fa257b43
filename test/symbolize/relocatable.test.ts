// Object files and kernel-module-like files are named as eu-addr2line names them: same layout, same relocations, same answers.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openImage } from '../../src/symbolize/image.ts';
import { outputOf, Scratch } from '../elf/scratch.ts';

const scratch = new Scratch();
beforeAll(() => {
  scratch.write(
    'one.c',
    `struct s { int a; long b; };
static inline __attribute__((always_inline)) int in(int x) { return x * 3 + 1; }
__attribute__((noinline)) int f(int x) { int y = in(x); return y ? in(y) : x; }
__attribute__((section(".init.text"))) int g(struct s *p) { for (int i = 0; i < p->a; i++) p->b += f(i); return p->b; }
int table[4] = { 1, 2, 3, 4 };
__thread int local;
__attribute__((section(".exit.text"))) int h(int c) { struct s q = { c, c }; local = c; return g(&q) + table[c & 3]; }
`,
  );
  scratch.write(
    'two.c',
    'extern int f(int);\nint first_of_two(int x) { return f(x) + 2; }\n__attribute__((section(".init.text"))) int k(int x) { return first_of_two(x); }\n',
  );
  scratch.write(
    'three.cc',
    '#include <string>\ntemplate <class T> struct V { T x; T get() const { return x + 1; } };\nint bar(std::string &s) { s += "x"; return V<int>{3}.get() + static_cast<int>(s.size()); }\n',
  );
});
afterAll(() => {
  scratch.remove();
});

/** Innermost line and outermost function of each address: the two things on which all tools agree. */
function theirs(path: string, addresses: readonly bigint[]): string[] {
  const blocks: string[][] = [];
  const input = addresses.map((address) => `0x${address.toString(16)}\n`).join('');
  for (const line of outputOf('eu-addr2line', ['-a', '-f', '-i', '-e', path], input).split('\n')) {
    if (/^0x[0-9a-f]+$/.test(line)) blocks.push([]);
    else if (line !== '') blocks.at(-1)?.push(line);
  }
  return blocks.map((lines) => `${lines.at(-2)!.replace(/ inlined at .*/, '')} ${lines[1]!.replace(/^\?\?:0$/, '-')}`);
}

function ours(path: string, addresses: readonly bigint[]): string[] {
  const image = openImage(path);
  const answers = addresses.map((address) => {
    const frames = image.locate(address);
    const [inner, outer] = [frames[0], frames.at(-1)];
    if (inner?.file == null) return `${outer?.function ?? '??'} -`;
    return `${outer?.function ?? '??'} ${inner.file}:${inner.line}${inner.column ? `:${inner.column}` : ''}`;
  });
  expect(image.diagnostics).toEqual([]);
  image.close();
  return answers;
}

/** Every address of code, as libdwfl lays it out. */
function codeOf(path: string): bigint[] {
  const image = openImage(path);
  const code = image.elf.sections.filter(({ flags }) => (flags & 6) === 6);
  image.close();
  return code.flatMap(({ address, size }) => Array.from({ length: size }, (_, index) => address + BigInt(index)));
}

const builds: Record<string, readonly [string[], string[]]> = {
  unoptimised: [['one.c'], ['-O0']],
  optimised: [['one.c'], ['-O2']],
  'DWARF 4': [['one.c'], ['-O2', '-gdwarf-4']],
  'DWARF 3': [['one.c'], ['-O1', '-gdwarf-3', '-gstrict-dwarf']],
  'compressed debug sections': [['one.c'], ['-O2', '-gz']],
  'a section each': [['one.c'], ['-O2', '-ffunction-sections']],
  '32 bits, addends in place': [['one.c'], ['-O2', '-m32']],
  'C++ with type units in groups': [['three.cc'], ['-O0', '-fdebug-types-section']],
};

describe('an object file', () => {
  it.each(Object.entries(builds))('of %s is named as eu-addr2line names it', (name, [sources, flags]) => {
    const compiler = sources[0]!.endsWith('.cc') ? 'g++' : 'gcc';
    const path = scratch.compile(`${name.replaceAll(/\W/g, '-')}.o`, sources, ['-g', '-c', ...flags], compiler);
    const addresses = codeOf(path);
    expect(addresses.length).toBeGreaterThan(50);
    expect(ours(path, addresses)).toEqual(theirs(path, addresses));
  });

  it('that ld -r joined of others is too', () => {
    for (const name of ['one', 'two']) scratch.compile(`${name}.o`, [`${name}.c`], ['-g', '-c', '-O1']);
    const path = scratch.compile('module.ko', ['one.o', 'two.o'], ['-r', '-nostdlib']);
    const addresses = codeOf(path);
    expect(ours(path, addresses)).toEqual(theirs(path, addresses));
    expect(ours(path, addresses).some((answer) => answer.startsWith('first_of_two '))).toBe(true);
  });
});
