// `unidbg symbolize` as a user runs it: the answers of addr2line in all its forms, and text that goes through unharmed.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AnswerForm } from '../../src/cli/symbolize/addr2line.ts';
import { Annotator } from '../../src/cli/symbolize/annotate.ts';
import { answerer } from '../../src/cli/symbolize/answer.ts';
import { Names } from '../../src/cli/symbolize/names.ts';
import { RUNTIMES } from '../../src/runtimes/index.ts';
import { openImage } from '../../src/symbolize/image.ts';
import { writePrograms } from '../dwarf/programs.ts';
import { outputOf, Scratch } from '../elf/scratch.ts';
import { runUnidbg, UNIDBG } from '../support/cli.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

/** Runs `unidbg symbolize` with `input` on its standard input. */
function symbolize(
  args: readonly string[],
  input: string | Uint8Array = '',
): { stdout: string; stderr: string; status: number | null } {
  const environment = { ...process.env, DEBUGINFOD_URLS: '' };
  const result = spawnSync(process.execPath, [UNIDBG, 'symbolize', ...args], { input, env: environment, maxBuffer: 1 << 28 });
  const [stdout, stderr] = [result.stdout.toString('latin1'), result.stderr.toString('utf8')];
  return { stdout, stderr, status: result.status };
}

/** Link address and size of a function. */
function functionAt(path: string, name: string): { address: number; size: number } {
  const line = outputOf('nm', ['-S', path])
    .split('\n')
    .find((candidate) => candidate.endsWith(` ${name}`));
  const [address = '', size = ''] = line?.split(' ') ?? [];
  return { address: Number.parseInt(address, 16), size: Number.parseInt(size, 16) };
}

const hex = (value: number): string => `0x${value.toString(16)}`;

describe('as addr2line', () => {
  const PROGRAMS = {
    'C, DWARF 4': { sources: ['main.c', 'list.c', 'code.S'], flags: ['-gdwarf-4', '-O2'], compiler: 'gcc' },
    'C, DWARF 3, unoptimised': { sources: ['main.c', 'list.c'], flags: ['-gdwarf-3', '-O0'], compiler: 'gcc' },
    'C, DWARF 5, not to be moved': {
      sources: ['list.c', 'high.c'],
      flags: ['-gdwarf-5', '-O3', '-nostdlib', '-no-pie', '-Wl,-e,walk'],
      compiler: 'gcc',
    },
    'C++, DWARF 4': { sources: ['shapes.cpp'], flags: ['-gdwarf-4', '-O0'], compiler: 'g++' },
  } as const;
  const FORMS = ['f', 'i', 'p', 'a', 's'];
  const ALL_FORMS = Array.from({ length: 1 << FORMS.length }, (_, bits) => FORMS.filter((_form, index) => (bits >> index) & 1));

  beforeAll(() => {
    writePrograms(scratch);
  });

  describe.each(Object.entries(PROGRAMS))('%s', (name, { sources, flags, compiler }) => {
    it('answers line for line in all forms, discriminators left out', () => {
      const path = scratch.compile(name.replaceAll(/\W+/g, '-'), sources, flags, compiler);
      const addresses = [...codeWithLines(path), '0', '10', 'zzz', '', 'ffffffffffffffff', '  0X12 and words'];
      const input = `${addresses.join('\n')}\n`;
      expect(addresses.length).toBeGreaterThan(60);
      const names = Names.place([openImage(path)], { loadBias: null, bases: new Map() }, RUNTIMES);
      for (const forms of ALL_FORMS) {
        const options = [...forms.map((form) => `-${form}`), '-e', path];
        const theirs = outputOf('addr2line', options, input).replaceAll(/ \(discriminator \d+\)/g, '');
        const answer = answerer({ form: formOf(forms), section: null, json: false, demangle: false }, names, {
          tell: () => undefined,
        });
        expect(addresses.map((word) => answer(word)).join(''), options.join(' ')).toBe(theirs);
      }
      const theirs = outputOf('addr2line', ['-fip', '-e', path], input).replaceAll(/ \(discriminator \d+\)/g, '');
      expect(symbolize(['-fip', '-e', path], input).stdout).toBe(theirs);
      names.close();
    });
  });

  it('demangles with -C what -f prints', () => {
    const path = scratch.compile('demangled', ['shapes.cpp'], ['-gdwarf-4', '-O0'], 'g++');
    const { address } = functionAt(path, '_ZN6shapes3BoxIiE5Inner5depthEi');
    const options = ['-f', '-C', '-e', path, hex(address)];
    expect(symbolize(options).stdout).toBe(outputOf('addr2line', options));
    expect(symbolize(options).stdout).toContain('shapes::Box<int>::Inner::depth(int)\n');
  });

  it('takes offsets in a section with -j, and symbols where addr2line takes none', () => {
    const path = scratch.compile('sections', ['main.c', 'list.c'], ['-g', '-O0']);
    const text = outputOf('readelf', ['-SW', path])
      .split('\n')
      .find((line) => line.includes(' .text '))!;
    const start = Number.parseInt(/PROGBITS\s+([0-9a-f]+)/.exec(text)![1]!, 16);
    const { address } = functionAt(path, 'outer');
    const options = ['-f', '-a', '-j', '.text', '-e', path, hex(address - start)];
    expect(symbolize(options).stdout).toBe(outputOf('addr2line', options));
    expect(symbolize(['-f', '-e', path, 'outer+0x4']).stdout).toBe(outputOf('addr2line', ['-f', '-e', path, hex(address + 4)]));
    expect(symbolize(['-j', '.text', '-f', '-e', path, `+${hex(address - start)}`]).stdout).toMatch(/^outer\n/);
  });

  it('answers each line at once, as a co-process', async () => {
    const path = scratch.compile('coprocess', ['main.c', 'list.c'], ['-g', '-O0']);
    const child = spawn(process.execPath, [UNIDBG, 'symbolize', '-f', '-s', '-e', path], { stdio: ['pipe', 'pipe', 'ignore'] });
    const { address } = functionAt(path, 'outer');
    for (const offset of [0, 4, 8]) {
      child.stdin.write(`${hex(address + offset)}\n`);
      const [answer] = (await once(child.stdout, 'data')) as [Buffer];
      expect(answer.toString()).toMatch(/^outer\nmain\.c:\d+\n$/);
    }
    child.stdin.end();
    await once(child, 'close');
  });

  it('says what it skipped, and what is wrong with an image', async () => {
    const path = scratch.compile('wrong', ['main.c', 'list.c'], ['-g', '-O0']);
    const skipped = symbolize(['-f', '-e', path], 'zzz\n'.repeat(9));
    expect(skipped.stdout).toBe('??\n??:0\n'.repeat(9));
    expect(skipped.stderr).toBe(`${'unidbg: not an address: "zzz"\n'.repeat(5)}unidbg: and 4 more words that are no addresses\n`);
    const text = scratch.write('text', 'no ELF');
    for (const [args, status, words] of [
      [['-e', `${path}.gone`, '0'], 3, /cannot read .*ENOENT/],
      [['-e', text, '0'], 3, /is not an ELF file/],
      [['-e', path, '-j', '.nope', '0'], 2, /no section \.nope/],
      [['0'], 2, /which image\?/],
      [['-e', path, '--base', 'other=0x1', '0'], 2, /no image of that name/],
      [['-e', path, '--load-bias', 'high', '0'], 2, /not a hexadecimal number/],
    ] as const) {
      const result = await runUnidbg(['symbolize', ...args]);
      expect([result.status, result.stdout]).toEqual([status, '']);
      expect(result.stderr).toMatch(words);
    }
  });

  it('is as fast on a hundred thousand addresses as one write a chunk allows', () => {
    const path = scratch.compile('fast', ['main.c', 'list.c'], ['-g', '-O2']);
    const { address, size } = functionAt(path, 'outer');
    const input = Array.from({ length: 100_000 }, (_, index) => `${hex(address + (index % size))}\n`).join('');
    const started = performance.now();
    const { stdout } = symbolize(['-f', '-i', '-e', path], input);
    expect(performance.now() - started).toBeLessThan(15_000);
    expect(stdout.split('\n').length).toBeGreaterThan(200_000);
  });

  function formOf(letters: readonly string[]): AnswerForm {
    const [functions, inlines, pretty, addresses, basenames] = FORMS.map((letter) => letters.includes(letter));
    return { functions: functions!, inlines: inlines!, pretty: pretty!, addresses: addresses!, basenames: basenames! };
  }

  /** Every fifth address that has a line in the program's own functions: for others addr2line names the nearest symbol, and its file. */
  function codeWithLines(path: string): string[] {
    const functions = outputOf('nm', ['-S', path]).matchAll(
      /^([0-9a-f]+) ([0-9a-f]+) [tT] (?:leaf|outer|recurse|main|walk|fold|apply\S*|high|_ZN6shapes\S*|_ZL\S*)$/gm,
    );
    return [...functions].flatMap(([, address = '', size = '']) => {
      const [start, length] = [Number.parseInt(address, 16), Number.parseInt(size, 16)];
      return Array.from({ length: Math.ceil(length / 5) }, (_, index) => (start + index * 5).toString(16));
    });
  }
});

const PROBE = `volatile int sink;
static inline __attribute__((always_inline)) int twice(int x) { sink = x; sink += x; return sink; }
static inline __attribute__((always_inline)) int four_times(int x) { return twice(x) + twice(x + 1); }
__attribute__((noinline)) int leaf(int x) { return four_times(x) ^ sink; }
__attribute__((noinline)) int plain(int x) { sink = x; sink += 2; return x ^ sink; }
int main(int argc, char **argv) { return leaf(argc) + plain(argc) + !argv; }
`;

describe('as a filter of text', () => {
  let path = '';
  let at = { address: 0, size: 0 };
  let inlined = '';
  beforeAll(() => {
    writePrograms(scratch);
    scratch.write('probe.c', PROBE);
    path = scratch.compile('probe', ['probe.c'], ['-g', '-O2', '-no-pie']);
    at = functionAt(path, 'plain');
    const leaf = functionAt(path, 'leaf');
    inlined = hex(leaf.address + inlinedOffset(path, leaf));
  });

  it('explains addresses where they stand, inlined calls below', () => {
    const { stdout } = symbolize(['--symbols', path], `panic: pc ${hex(at.address)} <here>\n  rip=${inlined}, sp=0x7fff1230\n`);
    expect(stdout).toMatch(
      /^panic: pc 0x\w+ plain at \S+probe\.c:\d+ <here>\n {2}rip=0x\w+ twice at \S+probe\.c:\d+, sp=0x7fff1230\n/,
    );
    expect(stdout).toMatch(/\n {4}\(inlined by\) four_times at \S+probe\.c:\d+\n {4}\(inlined by\) leaf at \S+probe\.c:\d+\n$/);
  });

  it('takes what calls return to for a call, also at the end of its function; small numbers are no code in an image at 0', () => {
    scratch.write(
      'dies.c',
      'void dead(void);\nvoid dies(void)\n{\n  dead();\n  __builtin_unreachable();\n}\nvoid dead(void) { for (;;); }\n',
    );
    const flags = ['-g', '-O0', '-nostdlib', '-static', '-no-pie', '-fcf-protection=none', '-Wl,-e,dies'];
    const image = scratch.compile('dies', ['dies.c'], [...flags, '-Wl,--section-start=.text=0x0']);
    expect(functionAt(image, 'dies').address).toBe(0);
    const high = scratch.compile('dies-high', ['dies.c'], [...flags, '-Wl,--section-start=.text=0x2000']);
    const { address } = functionAt(high, 'dead');
    expect(symbolize(['--symbols', image], 'RAX: 0000000000000000\n').stdout).toBe('RAX: 0000000000000000\n');
    expect(symbolize(['--symbols', high], `caller is ${hex(address)}\n`).stdout).toMatch(/ dies at \S+dies\.c:4\n$/);
    expect(symbolize(['--symbols', high], `handler ${hex(address)}\n`).stdout).toMatch(/ dead at \S+dies\.c:7\n$/);
  });

  it('leaves everything else as it came: line ends, NULs, invalid UTF-8, colours, no end of line', () => {
    const parts = [
      'a\r\n',
      '\0\xff\xfe\xc3(\n',
      `\x1b[31m${hex(at.address)}\x1b[0m\r`,
      'x'.repeat(200_000),
      '\n\n',
      ' 0x12 tail',
    ];
    const input = Buffer.from(parts.join(''), 'latin1');
    const { stdout } = symbolize(['--symbols', path], input);
    const note = / plain at [^\x1b\n]*probe\.c:\d+/;
    expect(stdout).toMatch(note);
    expect(Buffer.from(stdout.replace(note, ''), 'latin1')).toEqual(input);
  });

  it('ends the lines that it adds as the line above them ends', () => {
    expect(symbolize(['--symbols', path], `ret ${inlined} .\r\nnext\r\n`).stdout).toMatch(
      / \.\r\n {4}\(inlined by\) .*\r\n.*\r\nnext\r\n$/s,
    );
    expect(symbolize(['--symbols', path], `pc ${inlined}`).stdout).toMatch(/^pc \S+ twice .*\n {4}\(inlined by\) leaf at \S+$/s);
  });

  it('reads symbols with offsets, as Linux, glibc and sanitizers print them', () => {
    const { size } = at;
    const lines = [
      `plain+0x${(size - 1).toString(16)}/0x${size.toString(16)}`,
      `plain+0x1/0x${(size + 500).toString(16)} of another build`,
      `./probe(plain+0x3) [0x12]`,
      `plain+0x1/0x${size.toString(16)} [other_module]`,
      `nothing+0x1`,
      `/opt/probe+${hex(at.address + 1)}`,
    ];
    const told = symbolize(['--symbols', path], lines.map((line) => `${line}\n`).join('')).stdout.split('\n');
    const plain = told.filter((line) => !line.includes('(inlined by)'));
    expect(plain[0]).toMatch(/^plain\+\S+ at \S+\.[ch]:\d+$/);
    expect(plain[1]).toBe(lines[1]);
    expect(plain[2]).toMatch(/^\.\/probe\(plain\+0x3 at \S+:\d+\) \[0x12\]$/);
    expect(plain.slice(3, 5)).toEqual(lines.slice(3, 5));
    expect(plain[5]).toMatch(/^\/opt\/probe\+0x\w+ plain at \S+probe\.c:\d+$/);
  });

  it('finds images that were moved, by the command line or by what the log says', () => {
    const high = 0xffffffff90000000n + BigInt(at.address);
    const bias = '0xffffffff90000000';
    const line = `pc 0x${high.toString(16)}\n`;
    expect(symbolize(['--symbols', path], line).stdout).toBe(line);
    expect(symbolize(['--symbols', path, '--load-bias', bias], line).stdout).toContain(' plain at ');
    const base = 0xffffffff90000000n + 0x400000n;
    expect(symbolize(['--symbols', path, '--base', `probe=0x${base.toString(16)}`], line).stdout).toContain(' plain at ');
    const pad = (value: bigint): string => value.toString(16).padStart(16, '0');
    const trace = `ffffc00002807e10:   ${pad(high + 2n)}\t(plain + ${pad(2n)}/${pad(BigInt(at.size))})\n`;
    expect(symbolize(['--symbols', path], trace + line).stdout).toMatch(/^\S+\s+\w{16} plain at .*\npc 0x\w+ plain at /s);
  });

  it('gives the same whatever chunks the text comes in', () => {
    const text = `pc ${hex(at.address)}\r\nret=${inlined} plain+0x1/0x${at.size.toString(16)}\nend ${hex(at.address)}`;
    const whole = symbolize(['--symbols', path], text).stdout;
    const names = Names.place([openImage(path)], { loadBias: null, bases: new Map() }, RUNTIMES);
    const bytes = Buffer.from(text, 'latin1');
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const annotator = new Annotator(names);
      const flushed =
        cut % 2 === 0 ? annotator.push(bytes.subarray(0, cut)) + annotator.flush() : annotator.push(bytes.subarray(0, cut));
      expect(flushed + annotator.push(bytes.subarray(cut)) + annotator.end(), `cut at ${cut}`).toBe(whole);
    }
    names.close();
  });

  it('prints data with --json: a document of addresses, a line for each line of a log', () => {
    const document: unknown = JSON.parse(symbolize(['--symbols', path, '--json', inlined, '0x5']).stdout);
    expect(document).toMatchObject({
      schemaVersion: 1,
      addresses: [
        {
          address: inlined,
          frames: [
            {
              index: 0,
              pc: inlined,
              function: 'twice',
              inlined: true,
              module: basename(path),
              trust: 'reported',
              status: 'symbolicated',
            },
            { index: 1, function: 'four_times', inlined: true },
            { index: 2, function: 'leaf', inlined: false },
          ],
        },
        { address: '0x5', frames: [{ function: null, file: null, line: null, status: 'no-image' }] },
      ],
    });
    const fromInput: unknown = JSON.parse(symbolize(['-e', path, '--json'], `${inlined}\n`).stdout);
    expect(fromInput).toMatchObject({ schemaVersion: 1, addresses: [{ address: inlined }] });
    expect(JSON.parse(symbolize(['-e', path, '--json'], '').stdout)).toEqual({ schemaVersion: 1, addresses: [] });
    const lines = symbolize(['--symbols', path, '--json'], `nothing\npc ${hex(at.address)}\n`)
      .stdout.trim()
      .split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { line: 2, text: `pc ${hex(at.address)}`, addresses: [{ text: hex(at.address), frames: [{ function: 'plain' }] }] },
    ]);
  });
});

/** Where in `leaf` a call of a call was inlined, at an instruction and at the byte before it. */
function inlinedOffset(path: string, { address, size }: { address: number; size: number }): number {
  const offsets = Array.from({ length: size }, (_, index) => index);
  const answers = outputOf(
    'addr2line',
    ['-a', '-f', '-i', '-s', '-e', path],
    offsets.map((offset) => `${hex(address + offset)}\n`).join(''),
  );
  const isInlined = answers
    .split(/^0x\w+\n/m)
    .slice(1)
    .map((answer) => /^twice\n\S+\nfour_times\n\S+\nleaf\n/.test(answer.replaceAll(/ \(.*\)/g, '')));
  const found = offsets.find((offset) => isInlined[offset] === true && isInlined[offset - 1] === true);
  if (found === undefined) throw new Error(`no call of twice was inlined into leaf:\n${answers}`);
  return found;
}
