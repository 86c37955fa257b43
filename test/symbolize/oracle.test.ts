// Function, file, line and inline chain of every third byte of code, over compilers' versions and ways of laying DWARF out,
// against addr2line and eu-addr2line. An answer must be that of at least one of them, since each has faults of its own:
// binutils 2.40 takes file 1 of DWARF 5 tables for the unit's own file, reads no .debug_line in 64-bit DWARF, and names inlined C++
// calls without a linker name after the function around them; elfutils 0.188 swaps callers when one function is inlined twice.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ElfFile } from '../../src/elf/file.ts';
import { openImage } from '../../src/symbolize/image.ts';
import { BUILDS, writePrograms } from '../dwarf/programs.ts';
import { outputOf, Scratch } from '../elf/scratch.ts';

const scratch = new Scratch();
beforeAll(() => {
  writePrograms(scratch);
});
afterAll(() => {
  scratch.remove();
});

describe.each(Object.entries(BUILDS))('%s', (name, { sources, flags, compiler }) => {
  it('is read as addr2line or eu-addr2line reads it, at every third byte', () => {
    const path = scratch.compile(name.replaceAll(/\W+/g, '-'), sources, flags, compiler);
    const image = openImage(path);
    const addresses = codeAddresses(image.elf);
    const tools = ['addr2line', 'eu-addr2line'].map((tool) => answersOf(tool, path, addresses));
    const symbols = symbolsOf(path, addresses);
    const counts = { inlined: 0, lines: 0 };
    const wrong: string[] = [];
    addresses.forEach((address, index) => {
      const frames = image.locate(address);
      const found = frames.map((frame) => `${frame.function ?? '??'} ${frame.file ?? '??'}:${frame.line ?? '?'}`);
      const theirs = tools.map((answers) => answers[index]!);
      if (frames.length > 1) counts.inlined += 1;
      if (!isNoLine(found)) counts.lines += 1;
      if (!isAnswer(found, theirs, symbols[index]!))
        wrong.push([address.toString(16), found, ...theirs].map(String).join('\n  '));
    });
    image.close();
    expect(wrong.slice(0, 5), `${wrong.length} of ${addresses.length}`).toEqual([]);
    expect(image.diagnostics).toEqual([]);
    expect(counts.lines).toBeGreaterThan(40);
    expect(counts.inlined).toBeGreaterThanOrEqual(flags.some((flag) => flag === '-O2' || flag === '-O3') ? 4 : 0);
  });
});

it('gives the column that eu-addr2line gives, where it has one', () => {
  const path = scratch.compile('columns', ['main.c', 'list.c'], ['-gdwarf-5', '-O0']);
  const image = openImage(path);
  const addresses = codeAddresses(image.elf);
  const answers = outputOf('eu-addr2line', ['-e', path], asInput(addresses)).trim().split('\n');
  const wrong = addresses.flatMap((address, index) => {
    const column = /:\d+:(\d+)$/.exec(answers[index]!)?.[1];
    const found = image.locate(address)[0]?.column ?? null;
    return column === undefined || Number(column) === found ? [] : [`${address.toString(16)}: ${found} but ${answers[index]!}`];
  });
  image.close();
  expect(wrong).toEqual([]);
  expect(answers.filter((answer) => /:\d+:\d+$/.test(answer)).length).toBeGreaterThan(100);
});

/** Every third address of the sections that hold code. */
function codeAddresses(elf: ElfFile): bigint[] {
  return elf.sections
    .filter((section) => section.name.startsWith('.text'))
    .flatMap(({ address, size }) => Array.from({ length: Math.ceil(size / 3) }, (_, index) => address + BigInt(index * 3)));
}

function asInput(addresses: readonly bigint[]): string {
  return addresses.map((address) => `0x${address.toString(16)}\n`).join('');
}

/** `f file:line` of each frame of each address, columns and discriminators left out. */
function answersOf(tool: string, path: string, addresses: readonly bigint[]): string[][] {
  const blocks = outputOf(tool, ['-a', '-f', '-i', '-e', path], asInput(addresses)).split(/^0x[0-9a-f]+\n/m);
  return blocks.slice(1).map((block) => {
    const lines = block.trimEnd().split('\n');
    return lines.flatMap((name, index) =>
      index % 2 === 0 ? [`${name.replace(/ inlined at .* in .*$/, '')} ${placeOf(lines[index + 1]!)}`] : [],
    );
  });
}

function placeOf(text: string): string {
  return text.replace(/ \(discriminator \d+\)$/, '').replace(/(:\d+):\d+$/, '$1');
}

/** The linker's symbol at each address. */
function symbolsOf(path: string, addresses: readonly bigint[]): string[] {
  const lines = outputOf('eu-addr2line', ['-S', '-e', path], asInput(addresses)).split('\n');
  return lines.filter((_, index) => index % 2 === 0).map((line) => line.replace(/\+0x[0-9a-f]+$/, ''));
}

/** Each name and each place is what one of the tools has there, in a chain as long; the outermost may be the symbol. */
function isAnswer(found: readonly string[], theirs: readonly (readonly string[])[], symbol: string): boolean {
  if (isNoLine(found)) return theirs.some(isNoLine);
  const nameOf = (frame: string | undefined): string | undefined => frame?.replace(/ [^ ]*\/.*/, '');
  const placesOf = (frames: readonly string[]): string => frames.map((frame) => /[^ ]*\/.*$/.exec(frame)?.[0]).join(' < ');
  // Padding behind a function has lines but no function; addr2line names the symbol before it.
  const isNamed = (frame: string, index: number): boolean =>
    frame.startsWith('?? ') ||
    (index === found.length - 1 && nameOf(frame) === symbol) ||
    theirs.some((frames) => frames.length === found.length && nameOf(frames[index]) === nameOf(frame));
  return found.every(isNamed) && theirs.some((frames) => placesOf(frames) === placesOf(found));
}

/**
 * Without a line there is nothing to compare: addr2line then names the symbol before, however far it is, and the file
 * of that symbol in .symtab; elfutils does not, nor does unidbg.
 */
function isNoLine(frames: readonly string[]): boolean {
  return frames.length === 0 || (frames.length === 1 && / [^/ ]+:[0?]$/.test(frames[0]!));
}
