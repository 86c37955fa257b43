// Debug info away from its image, put there by the tools distributions use: wherever it is, the answers are those of the image
// before it was stripped.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openElf } from '../../src/elf/file.ts';
import { buildIdPath, findDebugFile } from '../../src/symbolize/debug-files.ts';
import { openImage, type SymbolImage } from '../../src/symbolize/image.ts';
import { type DebugSearch, openImageWithDebug, openImageWithLocalDebug } from '../../src/symbolize/open-image.ts';
import { outputOf, Scratch } from '../elf/scratch.ts';

const scratch = new Scratch();
const OFFLINE: DebugSearch = { debuginfod: null };

beforeAll(() => {
  scratch.write(
    'part.h',
    'struct shared { int a; long b; };\nstatic inline __attribute__((always_inline)) int thrice(int x) { return x * 3 + 1; }\n',
  );
  scratch.write(
    'main.c',
    '#include "part.h"\nextern int other(struct shared *p);\nint counter;\nstatic __attribute__((noinline)) int hidden(int x) { return thrice(x) + counter; }\nint main(int argc, char **argv) { struct shared s = { argc, 1 }; return hidden(other(&s)); }\n',
  );
  scratch.write('other.c', '#include "part.h"\nint other(struct shared *p) { p->b += thrice(p->a); return p->b; }\n');
});
afterAll(() => {
  scratch.remove();
});

let folders = 0;
/** A folder of its own in the scratch folder. */
function folder(): string {
  folders += 1;
  const path = join(scratch.path, `folder${folders}`);
  mkdirSync(path);
  return path;
}

function run(tool: string, ...args: readonly string[]): void {
  execFileSync(tool, args, { cwd: scratch.path, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Compiles to an absolute path, which it gives. */
function compile(output: string, sources: readonly string[], flags: readonly string[]): string {
  scratch.compile(output, sources, flags);
  return output;
}

/** A program with debug info, in a folder of its own. */
function build(...flags: readonly string[]): string {
  return compile(join(folder(), 'program'), ['main.c', 'other.c'], ['-g', '-O2', '-Wl,--build-id', ...flags]);
}

/** What `image` says of every second byte of code. */
function answersOf(image: SymbolImage): string[] {
  const text = image.elf.findSection('.text')!;
  return Array.from({ length: Math.floor(text.size / 2) }, (_, index) =>
    image
      .locate(text.address + BigInt(index * 2))
      .map(({ function: name, entry, file, line, column }) => [name, entry, file, line, column].join(' '))
      .join(' < '),
  );
}

function answersAt(path: string): string[] {
  const image = openImage(path);
  const answers = answersOf(image);
  image.close();
  return answers;
}

/** Moves a program's debug info to `to`, as `dh_strip` does; the program keeps neither debug info nor symbols. */
function separate(program: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  run('objcopy', '--only-keep-debug', program, to);
  run('strip', '--strip-all', program);
}

async function expectSame(path: string, search: DebugSearch, answers: readonly string[], debugPath: string): Promise<void> {
  for (const image of [await openImageWithDebug(path, search), openImageWithLocalDebug(path, search)]) {
    expect(image.debug.path).toBe(debugPath);
    expect(answersOf(image)).toEqual(answers);
    expect(image.findLinkSymbol('hidden')).not.toBeNull();
    expect(image.diagnostics).toEqual([]);
    image.close();
  }
}

function buildIdOf(path: string): string {
  const elf = openElf(path);
  const { buildId } = elf;
  elf.close();
  return buildId!;
}

describe('debug info', () => {
  it('in the image is not looked for elsewhere', async () => {
    const program = build();
    const answers = answersAt(program);
    expect(answers.filter((answer) => answer.includes('thrice')).length).toBeGreaterThan(3);
    await expectSame(program, OFFLINE, answers, program);
  });

  it('is found by build-id below the directories given', async () => {
    const program = build();
    const answers = answersAt(program);
    const root = folder();
    const debug = buildIdPath(root, buildIdOf(program))!;
    separate(program, debug);
    await expectSame(program, { ...OFFLINE, roots: [folder(), root] }, answers, debug);
  });

  it.each(['beside', '.debug', 'root', 'flat root'])('is found by .gnu_debuglink: %s', async (place) => {
    const program = build();
    const answers = answersAt(program);
    const root = folder();
    const debug = {
      beside: `${program}.debug`,
      '.debug': join(dirname(program), '.debug', 'program.debug'),
      root: join(root, dirname(program), 'program.debug'),
      'flat root': join(root, 'program.debug'),
    }[place]!;
    separate(program, debug);
    run('objcopy', `--add-gnu-debuglink=${debug}`, program);
    await expectSame(program, { ...OFFLINE, roots: [root] }, answers, debug);
  });

  it('is found beside the file that a symbolic link leads to', async () => {
    const program = build();
    const answers = answersAt(program);
    separate(program, `${program}.debug`);
    run('objcopy', `--add-gnu-debuglink=${program}.debug`, program);
    const link = join(folder(), 'link');
    symlinkSync(program, link);
    await expectSame(link, OFFLINE, answers, `${program}.debug`);
  });

  it('that eu-strip moved away is found too', async () => {
    const program = build();
    const answers = answersAt(program);
    run('eu-strip', '-f', `${program}.debug`, program);
    await expectSame(program, OFFLINE, answers, `${program}.debug`);
  });

  it('is refused with another checksum, another build-id, or for another machine, and that is said', async () => {
    const program = build();
    const debug = `${program}.debug`;
    separate(program, debug);
    run('objcopy', `--add-gnu-debuglink=${debug}`, program);
    const good = readFileSync(debug);
    const openings: [Uint8Array, RegExp][] = [
      [Buffer.concat([good, Buffer.of(0)]), /program\.debug \(its checksum is 0x[0-9a-f]{8}, the image asks for 0x[0-9a-f]{8}\)/],
      [good.subarray(0, 50), /its checksum is/],
    ];
    for (const [bytes, said] of openings) {
      writeFileSync(debug, bytes);
      const image = await openImageWithDebug(program, OFFLINE);
      expect(image.debug).toBe(image.elf);
      expect(image.diagnostics).toEqual([{ code: 'no-debug-info', message: expect.stringMatching(said) as string }]);
      image.close();
    }
    const other = build('-DOTHER=1', '-O0');
    const root = folder();
    const place = buildIdPath(root, buildIdOf(program))!;
    mkdirSync(dirname(place), { recursive: true });
    copyFileSync(other, place);
    const image = openImageWithLocalDebug(program, { ...OFFLINE, roots: [root] });
    expect(image.diagnostics[0]?.message).toContain(`${place} (its build-id is ${buildIdOf(other)})`);
    image.close();
  });

  it('that is nowhere is told with every place and with what would help', async () => {
    const program = build('-s');
    const image = await openImageWithDebug(program, { ...OFFLINE, roots: ['/nowhere/debug'] });
    const id = buildIdOf(program);
    const places = `/nowhere/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug, /usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`;
    expect(image.diagnostics).toEqual([
      {
        code: 'no-debug-info',
        message: `no debug info for ${program} (build-id ${id}): looked in ${places}; set DEBUGINFOD_URLS or --debug-dir`,
      },
    ]);
    expect(image.locate(image.elf.entry)).toEqual([]);
    image.close();
  });

  it('is never the image itself, though a link says so', () => {
    const program = build();
    run('strip', '--strip-all', program);
    copyFileSync(program, `${program}.copy`);
    run('objcopy', `--add-gnu-debuglink=${program}.copy`, program);
    rmSync(`${program}.copy`);
    symlinkSync(program, `${program}.copy`);
    const elf = openElf(program);
    expect(findDebugFile(elf).file).toBeNull();
    elf.close();
  });

  it('of a library that was moved to another address since is moved along', async () => {
    const at = (address: string): string =>
      build('-no-pie', '-fno-pie', `-Wl,-Ttext-segment=${address}`, '-Wl,--build-id=0x1234567890abcdef');
    const [moved, original] = [at('0x800000'), at('0x400000')];
    const answers = answersAt(moved);
    run('strip', '--strip-all', moved);
    const root = folder();
    const debug = buildIdPath(root, buildIdOf(moved))!;
    separate(original, debug);
    const image = await openImageWithDebug(moved, { ...OFFLINE, roots: [root] });
    expect(image.debugBias).toBe(0x40_0000n);
    expect(answersOf(image)).toEqual(answers);
    const main = image.findLinkSymbol('main')!.address;
    expect(image.findLinkCode('main')).toBe(main);
    expect(image.findLinkCode('main.c:5')! >> 16n).toBe(main >> 16n);
    expect(image.findLinkVariable('counter')?.address).toBe(image.findLinkSymbol('counter')!.address);
    image.close();
  });
});

describe('symbols', () => {
  it('are taken from whichever file has more of them', async () => {
    const program = build();
    const debug = `${program}.debug`;
    run('objcopy', '--only-keep-debug', '--wildcard', '--strip-symbol=[a-z]*', program, debug);
    run('strip', '--strip-debug', program);
    run('objcopy', `--add-gnu-debuglink=${debug}`, program);
    const image = await openImageWithDebug(program, OFFLINE);
    expect(image.debug.path).toBe(debug);
    expect(image.findLinkSymbol('hidden')).toMatchObject({ kind: 'function' });
    image.close();
  });

  it('packed into .gnu_debugdata name functions that .dynsym lacks, beside those it has', () => {
    const program = build('-rdynamic');
    const whole = openImage(program);
    const text = whole.elf.findSection('.text')!;
    const { hidden, main } = { hidden: whole.findLinkSymbol('hidden')!, main: whole.findLinkSymbol('main')! };
    whole.close();
    const mini = join(dirname(program), 'mini');
    // As Fedora's find-debuginfo does it: symbols of functions that are not dynamic, no contents.
    run('objcopy', '--only-keep-debug', program, mini);
    scratch.write('keep', 'hidden\n');
    run('objcopy', '-S', '--remove-section=.comment', '--keep-symbols=keep', mini);
    run('xz', '-f', mini);
    run('strip', '--strip-all', program);
    run('objcopy', `--add-section=.gnu_debugdata=${mini}.xz`, program);
    const image = openImage(program);
    expect(image.findLinkSymbol('hidden')).toEqual(hidden);
    expect(image.locate(hidden.address + 1n)[0]).toMatchObject({ function: 'hidden', entry: hidden.address });
    expect(image.locate(main.address + 1n)[0]).toMatchObject({ function: 'main', entry: main.address });
    expect(image.diagnostics).toEqual([]);
    image.close();
    const named = outputOf('eu-addr2line', ['-S', '-e', program, `0x${(text.address + 1n).toString(16)}`]);
    expect(named).toContain('main');
  });

  it('packed and damaged are a diagnostic', () => {
    const program = build('-rdynamic', '-s');
    const packed = scratch.write('damaged.xz', execFileSync('xz', ['-c'], { input: readFileSync(program) }).subarray(0, 500));
    run('objcopy', `--add-section=.gnu_debugdata=${packed}`, program);
    const image = openImage(program);
    expect(image.findLinkSymbol('main')).not.toBeNull();
    expect(image.diagnostics).toEqual([
      { code: 'symbols-damaged', message: expect.stringMatching(/\.gnu_debugdata of .*damaged/) as string },
    ]);
    image.close();
  });
});

describe('what dwz moved into a file that programs share', () => {
  /** Two programs whose common debug info is in a third file. */
  function share(name: string): { first: string; second: string; common: string; answers: string[] } {
    // dwz leaves small things alone.
    const many = Array.from(
      { length: 60 },
      (_, index) =>
        `struct common_thing_${index} { int field_one_${index}; struct common_thing_${Math.max(0, index - 1)} *link; };`,
    );
    scratch.write('many.h', `${many.join('\n')}\n`);
    scratch.write(
      'shared.c',
      '#include "many.h"\n#include "part.h"\nextern int other(struct shared *);\nint use(struct common_thing_59 *p) { return p->field_one_59; }\nint main(void) { struct common_thing_59 t = { 1, 0 }; return use(&t) + thrice(2); }\n',
    );
    const here = folder();
    const [first, second] = ['first', 'second'].map((program) =>
      compile(join(here, program), ['shared.c', 'other.c'], ['-g', '-gdwarf-4', '-O1', '-Wl,--build-id', `-D${program}`]),
    ) as [string, string];
    const answers = answersAt(first);
    const common = join(here, name);
    mkdirSync(dirname(common), { recursive: true });
    run('dwz', '-m', common, '-M', name.startsWith('/') ? common : name, first, second);
    expect(outputOf('readelf', ['-SW', first])).toContain('.gnu_debugaltlink');
    return { first, second, common, answers };
  }

  it('is found where the link says, relative to the file', async () => {
    const { first, common, answers } = share('lib/common.debug');
    const image = await openImageWithDebug(first, OFFLINE);
    expect(answersOf(image)).toEqual(answers);
    expect(image.diagnostics).toEqual([]);
    image.close();
    expect(basename(common)).toBe('common.debug');
  });

  it('is found by build-id, and below a copy of /usr/lib/debug', async () => {
    const { first, common, answers } = share('gone/.dwz/arch/common.debug');
    const roots = [folder(), folder()] as const;
    const places = [buildIdPath(roots[0], buildIdOf(common))!, join(roots[1], '.dwz', 'arch', 'common.debug')];
    for (const [index, place] of places.entries()) {
      mkdirSync(dirname(place), { recursive: true });
      copyFileSync(common, place);
      if (index === 1) rmSync(common);
      const image = await openImageWithDebug(first, { ...OFFLINE, roots: [roots[index]!] });
      expect(answersOf(image)).toEqual(answers);
      expect(image.diagnostics).toEqual([]);
      image.close();
    }
  });

  it('is missed and told, and another file of its name is not taken for it', async () => {
    const { first, second, common } = share('common.debug');
    copyFileSync(second, common);
    const image = await openImageWithDebug(first, OFFLINE);
    expect(image.diagnostics[0]).toMatchObject({
      code: 'debug-info-incomplete',
      message: expect.stringMatching(/shares debug info with common\.debug .*its build-id is .*; set DEBUGINFOD_URLS/) as string,
    });
    image.close();
  });
});

describe('split objects', () => {
  it('are found where they were written, and in the directories given when they were moved', () => {
    const here = folder();
    const program = compile(join(here, 'split'), ['main.c', 'other.c'], ['-g', '-O2', '-gsplit-dwarf']);
    const inPlace = openImage(program);
    const answers = answersOf(inPlace);
    expect(answers.filter((answer) => /^thrice .*part\.h 2 .* < hidden .*main\.c 4 /.test(answer)).length).toBeGreaterThan(0);
    expect(inPlace.diagnostics).toEqual([]);
    inPlace.close();
    const objects = folder();
    for (const name of ['split-main.dwo', 'split-other.dwo']) renameSync(join(here, name), join(objects, name));
    const lost = openImage(program);
    answersOf(lost);
    expect(lost.diagnostics[0]?.message).toMatch(/was split into .*\.dwo, which is not there/);
    lost.close();
    const moved = openImageWithLocalDebug(program, { ...OFFLINE, splitRoots: [objects] });
    expect(answersOf(moved)).toEqual(answers);
    expect(moved.diagnostics).toEqual([]);
    moved.close();
  });

  it('in a package beside the image are found', () => {
    const here = folder();
    const program = compile(join(here, 'packed'), ['main.c', 'other.c'], ['-g', '-gdwarf-4', '-O2', '-gsplit-dwarf']);
    const answers = answersAt(program);
    run('dwp', '-e', program);
    for (const name of ['packed-main.dwo', 'packed-other.dwo']) rmSync(join(here, name));
    const image = openImage(program);
    expect(answersOf(image)).toEqual(answers);
    expect(image.diagnostics).toEqual([]);
    image.close();
  });
});
