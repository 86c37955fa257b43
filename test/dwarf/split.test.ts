// Debug info that is spread over several files: split objects, packages of them, and what dwz made common to several images.
// The same sources compiled in the same way but for -gsplit-dwarf have the same code, so each address must give the same answer.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DebugCompanions, NO_COMPANIONS } from '../../src/dwarf/companions.ts';
import { DwarfLocations } from '../../src/dwarf/locations.ts';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import { Scratch } from '../elf/scratch.ts';
import { writePrograms } from './programs.ts';

const scratch = new Scratch();
beforeAll(() => {
  writePrograms(scratch);
});
afterAll(() => {
  scratch.remove();
});

const SOURCES = ['main.c', 'list.c'];
const FORMATS = { 'DWARF 4': ['-gdwarf-4'], 'DWARF 5': ['-gdwarf-5'] };

/** Everything that is said of every third byte of code. */
function answersOf(dwarf: DwarfLocations): string[] {
  const { file } = dwarf.sections;
  const text = file.findSection('.text')!;
  const first = Number(text.address - file.origin);
  return Array.from({ length: Math.floor(text.size / 3) }, (_, index) => {
    const frames = dwarf.find(first + index * 3) ?? [];
    return frames
      .map(({ function: name, entry, line, column, file: path }) => [name, entry, path, line, column].join(' '))
      .join(' < ');
  });
}

function opened(path: string, companions: DebugCompanions): { dwarf: DwarfLocations; answers: string[]; damage: string[] } {
  const dwarf = new DwarfLocations(openElf(path), companions);
  return { dwarf, answers: answersOf(dwarf), damage: dwarf.damage.map(({ message }) => message) };
}

/** A type's layout without what is found when asked for. */
function layoutOf(dwarf: DwarfLocations, name: string): string {
  const layout = JSON.stringify(dwarf.types.findType(name));
  expect(layout).toContain('"value"');
  return layout;
}

const inFolder = (name: string): ElfFile => openElf(join(scratch.path, name));

describe.each(Object.entries(FORMATS))('%s', (_format, flags) => {
  const build = (name: string, more: readonly string[]): string =>
    scratch.compile(`${name}-${flags[0]!.slice(-1)}`, SOURCES, [...flags, '-O2', '-no-pie', '-ffile-prefix-map=x=y', ...more]);

  it('split objects say what debug info in one file says, values and types too', () => {
    const whole = opened(build('whole', ['-g']), NO_COMPANIONS);
    const split = opened(build('split', ['-g', '-gsplit-dwarf']), { ...NO_COMPANIONS, splitObject: inFolder });
    expect(split.damage).toEqual([]);
    expect(split.answers).toEqual(whole.answers);
    expect(whole.answers.filter((answer) => answer.includes(' < ')).length).toBeGreaterThan(20);
    expect(layoutOf(split.dwarf, 'node')).toBe(layoutOf(whole.dwarf, 'node'));
    expect(split.dwarf.types.findVariable('sink')?.address).toBe(whole.dwarf.types.findVariable('sink')?.address);
    expect(split.dwarf.findLine('list.c', 14)).toBe(whole.dwarf.findLine('list.c', 14));
  });

  it('a split object that is not there costs names, and is asked for by name, once', () => {
    const path = build('missing', ['-g', '-gsplit-dwarf']);
    const { answers, damage } = opened(path, NO_COMPANIONS);
    expect(answers.filter((answer) => /main\.c \d+/.test(answer)).length).toBeGreaterThan(20);
    expect(
      damage.filter((message) => message.includes('main.dwo')),
      damage.join('\n'),
    ).toHaveLength(1);
    expect(damage).toHaveLength(2);
  });

  it('a split object of another build is refused', () => {
    const path = build('swapped', ['-g', '-gsplit-dwarf']);
    const swap = (name: string): ElfFile => inFolder(name.includes('main') ? name.replace('main', 'list') : name);
    const { damage } = opened(path, { ...NO_COMPANIONS, splitObject: swap });
    expect(damage.join('\n')).toMatch(/its id is another/);
  });
});

describe('a package of split objects', () => {
  it('of DWARF 4, made by dwp, says what the objects say', () => {
    const flags = ['-gdwarf-4', '-g', '-gsplit-dwarf', '-O2', '-no-pie'];
    const path = scratch.compile('packed', SOURCES, flags);
    const loose = opened(path, { ...NO_COMPANIONS, splitObject: inFolder });
    execFileSync('dwp', ['-e', path, '-o', `${path}.dwp`], { cwd: scratch.path });
    const packed = opened(path, { ...NO_COMPANIONS, package: () => openElf(`${path}.dwp`) });
    expect(packed.damage).toEqual([]);
    expect(packed.answers).toEqual(loose.answers);
    expect(layoutOf(packed.dwarf, 'node')).toBe(layoutOf(loose.dwarf, 'node'));
  });
});

describe('a supplementary file', () => {
  it('made by dwz from two images, is followed for names and types', () => {
    const flags = ['-g', '-gdwarf-5', '-O1', '-no-pie'];
    const paths = ['first', 'second'].map((name) => scratch.compile(name, SOURCES, flags));
    const before = paths.map((path) => opened(path, NO_COMPANIONS));
    execFileSync('dwz', ['-m', 'common.debug', '-M', 'common.debug', 'first', 'second'], { cwd: scratch.path });
    paths.forEach((path, index) => {
      const after = opened(path, { ...NO_COMPANIONS, supplementary: () => inFolder('common.debug') });
      expect(after.damage).toEqual([]);
      expect(after.answers).toEqual(before[index]!.answers);
      const alone = opened(path, NO_COMPANIONS);
      expect(alone.answers).not.toEqual(before[index]!.answers);
    });
  });
});
