// The images that are compared, and how each is come by: from Debian's archive, or built here with the compilers that are installed.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { kernelImage } from '../../bench/symbols/images.ts';
import { openElf } from '../../src/elf/file.ts';
import { type Build, buildProgram, type Compiler } from './builds.ts';
import type { ImageToCompare } from './compare-image.ts';
import type { Peer } from './peers.ts';
import { GO_SOURCE, OCAML_SOURCE, RUST_SOURCE } from './runtime-sources.ts';

/** An image of the corpus; `make` brings it into the cache folder, once, and throws when a program for that is missing. */
export interface CorpusImage {
  readonly name: string;
  readonly make: (cache: string) => Promise<ImageToCompare>;
}

/** An image that is there. `unread` are the peers that cannot read its debug info: they are asked about its twin instead. */
export function givenImage(name: string, path: string, twin?: string, unread: readonly Peer['name'][] = []): ImageToCompare {
  return { name, path, identity: identityOf(path), unread, ...(twin === undefined ? {} : { twin }) };
}

function identityOf(path: string): string {
  const elf = openElf(path);
  const { buildId } = elf;
  elf.close();
  // Split and compressed builds share a build-id with none, but are small enough to be read whole.
  return buildId ?? createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** The whole corpus. */
export function corpus(): readonly CorpusImage[] {
  return [
    { name: 'Debian kernel, debug image', make: async () => givenImage('Debian kernel, debug image', kernelImage().path) },
    fromDebian('libstdc++, debug', 'libstdc++6-', /^libstdc\+\+6-\d+-dbg$/, /libstdc\+\+\.so\.[\d.]+$/),
    fromDebian('libkrb5, debug, common part in a file of its own (dwz -m)', 'libkrb5-', /^libkrb5-dbg$/, /\.debug$/),
    made('Go program', 'main.go', GO_SOURCE, ['go', 'build', '-o', 'OUT', 'main.go']),
    ...[
      ['release', ['-O']],
      ['debug', []],
    ].map(([kind, flags]) =>
      made(`Rust program, ${kind as string}`, 'main.rs', RUST_SOURCE, [
        'rustc',
        '-g',
        ...(flags as string[]),
        '-o',
        'OUT',
        'main.rs',
      ]),
    ),
    made('OCaml program', 'main.ml', OCAML_SOURCE, [
      ...['ocamlfind', 'ocamlopt', '-g', '-package', 'unix,str', '-linkpkg', '-o', 'OUT', 'main.ml'],
    ]),
    ...buildMatrix(),
  ];
}

/** Levels by versions, for each compiler; split, packaged and compressed ones beside the plain build with the same code. */
function buildMatrix(): CorpusImage[] {
  return (['gcc', 'clang'] as const).flatMap((compiler) => [
    ...LEVELS.flatMap(([level, flags]) =>
      [3, 4, 5].map((version) => built(compiler, `DWARF ${version}, ${level}`, [`-gdwarf-${version}`, ...flags])),
    ),
    ...[4, 5].flatMap((version) => splitBuilds(compiler, version)),
    ...COMPRESSIONS.map(([how, link, unread]) =>
      built(compiler, `DWARF 5, -O2, ${how}`, ['-gdwarf-5', '-O2'], { link: [link] }, unread),
    ),
    built(compiler, 'DWARF 4, -O2, types in .debug_types, a section for each function', [
      ...['-gdwarf-4', '-O2', '-fdebug-types-section', '-ffunction-sections', '-Wl,--gc-sections'],
    ]),
  ]);
}

const LEVELS = [
  ['-O0', ['-O0']],
  ['-O2', ['-O2']],
  ['-O3', ['-O3']],
  ['-O2 -flto', ['-O2', '-flto']],
] as const;

/** What Debian 12's llvm-symbolizer and elfutils have not learnt: zstd. */
const COMPRESSIONS = [
  ['zlib', '-Wl,--compress-debug-sections=zlib', []],
  ['zlib, old style (.zdebug)', '-Wl,--compress-debug-sections=zlib-gnu', []],
  ['zstd', '-Wl,--compress-debug-sections=zstd', ['llvm-symbolizer', 'eu-addr2line']],
] as const satisfies readonly (readonly [string, string, readonly Peer['name'][]])[];

/** Of split builds Debian 12's peers read the skeleton alone, and say symbol and line without calls. */
export const UNREAD_IN_SPLIT: readonly Peer['name'][] = ['llvm-symbolizer', 'eu-addr2line'];

function splitBuilds(compiler: Compiler, version: number): CorpusImage[] {
  const levels = ['-O0', '-O2', '-O3'].map((level) => [level, false] as const);
  // binutils packages DWARF 4 only, and llvm-dwp 14 loops for ever over what gcc splits.
  const packaged = compiler === 'gcc' && version === 5 ? [] : [['-O2', true] as const];
  return [...levels, ...packaged].map(([level, isPackaged]) =>
    built(
      compiler,
      `DWARF ${version}, ${level}, ${isPackaged ? 'packaged' : 'split'}`,
      [`-gdwarf-${version}`, level],
      { flags: ['-gsplit-dwarf'], isPackaged },
      UNREAD_IN_SPLIT,
    ),
  );
}

/** A build with `flags`; `more` makes another file of the same code, judged by the debug info of the plain one. */
function built(
  compiler: Compiler,
  title: string,
  flags: readonly string[],
  more: Partial<Build> | null = null,
  unread: readonly Peer['name'][] = [],
): CorpusImage {
  const name = `${compiler}, ${title}`;
  // elfutils finds no unit without .debug_aranges, which clang writes when asked.
  const all = compiler === 'clang' ? [...flags, '-gdwarf-aranges'] : flags;
  return {
    name,
    make: async (cache) => {
      const folder = join(cache, 'builds');
      const plain = await buildProgram({ compiler, flags: all }, folder);
      if (more === null) return givenImage(name, plain);
      const path = await buildProgram({ compiler, ...more, flags: [...all, ...(more.flags ?? [])] }, folder);
      if (!isSameCode(path, plain)) throw new Error(`${name}: the code is not that of the plain build`);
      return givenImage(name, path, plain, unread);
    },
  };
}

function isSameCode(a: string, b: string): boolean {
  const [one, other] = [a, b].map((path) => {
    const elf = openElf(path);
    const text = elf.findSection('.text');
    const bytes = text === null ? null : Buffer.from(elf.readSection(text));
    elf.close();
    return { address: text?.address, bytes };
  });
  return one!.address === other!.address && one!.bytes !== null && other!.bytes !== null && one!.bytes.equals(other!.bytes);
}

/** A program made by one command in a folder of its own; OUT stands for what it makes. */
function made(name: string, file: string, source: string, command: readonly string[]): CorpusImage {
  return {
    name,
    make: async (cache) => {
      const key = createHash('sha256')
        .update(JSON.stringify([command, source]))
        .digest('hex')
        .slice(0, 16);
      const folder = join(cache, 'programs', key);
      const path = join(folder, 'program');
      if (!existsSync(path)) {
        mkdirSync(folder, { recursive: true });
        writeFileSync(join(folder, file), source);
        const [program, ...args] = command;
        execFileSync(
          program!,
          args.map((argument) => (argument === 'OUT' ? 'program' : argument)),
          { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] },
        );
      }
      return givenImage(name, path);
    },
  };
}

/** The largest file of a Debian package whose path fits. */
function fromDebian(name: string, prefix: string, pattern: RegExp, file: RegExp): CorpusImage {
  return {
    name,
    make: async (cache) => {
      const packages = execFileSync('apt-cache', ['pkgnames', prefix], { encoding: 'utf8' })
        .split('\n')
        .filter((one) => pattern.test(one));
      const wanted = packages.toSorted((a, b) => b.localeCompare(a, 'en', { numeric: true }))[0];
      if (wanted === undefined) throw new Error(`apt knows no package ${pattern.source}: was \`apt-get update\` run?`);
      const folder = join(cache, 'packages', wanted);
      if (!existsSync(folder)) unpack(wanted, folder);
      const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
        (one) => one.isFile() && file.test(one.name),
      );
      const paths = files.map((one) => join(one.parentPath, one.name)).filter((path) => !path.includes('/.dwz/'));
      const sized = paths.map((path) => ({ path, size: readFileSync(path).length })).toSorted((a, b) => b.size - a.size);
      if (sized[0] === undefined) throw new Error(`${wanted} has no file like ${file.source}`);
      return givenImage(name, sized[0].path);
    },
  };
}

function unpack(name: string, folder: string): void {
  const part = `${folder}.part`;
  mkdirSync(part, { recursive: true });
  execFileSync('apt-get', ['download', name], { cwd: part, stdio: ['ignore', 'ignore', 'pipe'] });
  const archive = readdirSync(part).find((one) => one.endsWith('.deb'))!;
  execFileSync('dpkg-deb', ['-x', basename(archive), '.'], { cwd: part });
  execFileSync('mv', [part, folder]);
}
