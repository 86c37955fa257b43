// Builds the demo guest (test/guests/demo) with the gcc and binutils of the host, once per source state and compiler.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const ROOT = resolve(import.meta.dirname, '../..');
const SOURCES = join(import.meta.dirname, 'demo');
const CACHE = join(ROOT, '.demo');
/** The in-guest probe: part of every image, as it would be of any kernel (demo/probe.c is what calls it). */
const PROBE = join(ROOT, 'probes/guest/unidbg_probe.c');

/** The source root to which the `demo/…` paths of the guest's DWARF are relative. */
export const DEMO_SOURCE_ROOT = import.meta.dirname;

/**
 * `fp`: -Og, frame pointers, CFI in .eh_frame. `cfi`: -O2, no frame pointers, CFI only in .debug_frame.
 * `eh`: -O2, no frame pointers, CFI only in .eh_frame, DWARF 4.
 */
export type DemoVariant = 'fp' | 'cfi' | 'eh';

const VARIANT_FLAGS: Readonly<Record<DemoVariant, readonly string[]>> = {
  fp: [
    '-Og',
    '-g',
    '-fno-omit-frame-pointer',
    '-mno-omit-leaf-frame-pointer',
    '-fno-shrink-wrap',
    '-fasynchronous-unwind-tables',
    '-DDEMO_FRAME_POINTERS',
  ],
  cfi: ['-O2', '-g', '-fomit-frame-pointer', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables', '-DDEMO_DEBUG_FRAME'],
  eh: ['-O2', '-gdwarf-4', '-fomit-frame-pointer', '-fasynchronous-unwind-tables'],
};

const COMPILE_FLAGS: readonly string[] = [
  ...['-std=gnu11', '-ffreestanding', '-fno-stack-protector', '-fcf-protection=none', '-fno-pic', '-fno-builtin'],
  ...['-mno-red-zone', '-mgeneral-regs-only', '-mcmodel=small', '-Wall', '-Wextra'],
];

const LINK_FLAGS: readonly string[] = [
  ...['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=sha1', '-Wl,-z,noexecstack', '-Wl,-z,max-page-size=4096'],
];

/** What else goes into the image, and where it is kept. */
export interface DemoBuildOptions {
  /** More C files (absolute paths), compiled with `test/guests/demo` on the include path: see `extension_start` in demo/hook.h. */
  readonly sources?: readonly string[];
  /** More flags for the compiler: another build of the same program. */
  readonly flags?: readonly string[];
  /** So many empty lines stand before each of its C files: every line number is another one. */
  readonly shiftLines?: number;
  /** The folder that finished images are kept in; `.demo/` at the root of the repository unless told. */
  readonly cache?: string;
}

/** Compiles the demo guest unless that is done already; resolves to the path of its ELF. Safe to call at the same time from many processes. */
export async function buildDemoGuest(variant: DemoVariant, options: DemoBuildOptions = {}): Promise<string> {
  const { cache = CACHE, flags = [], shiftLines = 0 } = options;
  const sources = [PROBE, ...(options.sources ?? [])];
  const change: Change = { flags, shiftLines };
  const elf = join(cache, `${variant}-${await stateKey(variant, sources, change)}`, 'demo.elf');
  if (!existsSync(elf)) await build(variant, sources, change, elf);
  return elf;
}

/** What is another way than usual in a build. */
type Change = Required<Pick<DemoBuildOptions, 'flags' | 'shiftLines'>>;

async function build(variant: DemoVariant, sources: readonly string[], change: Change, elf: string): Promise<void> {
  const folder = dirname(elf);
  await mkdir(dirname(folder), { recursive: true });
  const scratch = await mkdtemp(join(dirname(folder), 'building-'));
  try {
    await compileAndLink(variant, sources, change, scratch);
    await rename(scratch, folder);
  } catch (error) {
    await rm(scratch, { recursive: true, force: true });
    // Somebody else finished the same build first: a full folder cannot be renamed over.
    if (!existsSync(elf)) throw error;
  }
}

/** The flags of one C or assembly file of a variant. gcc must run in DEMO_SOURCE_ROOT. */
export function demoCompileFlags(variant: DemoVariant): string[] {
  // DWARF names files `demo/app.c`, whatever the machine's paths are; the last map that fits is taken.
  const maps = [`-ffile-prefix-map=${ROOT}=.`, `-ffile-prefix-map=${DEMO_SOURCE_ROOT}=.`];
  return [...COMPILE_FLAGS, ...VARIANT_FLAGS[variant], ...maps, '-Idemo', `-I${dirname(PROBE)}`];
}

async function compileAndLink(
  variant: DemoVariant,
  sources: readonly string[],
  { flags, shiftLines }: Change,
  folder: string,
): Promise<void> {
  const own = (await sourceFiles()).filter((name) => /\.[cS]$/.test(name));
  const shifted = shiftLines === 0 ? own.map((name) => `demo/${name}`) : await shift(own, shiftLines, folder);
  const objects: string[] = [];
  for (const source of [...shifted, ...sources]) {
    const object = join(folder, `${objects.length}-${basename(source)}.o`);
    const maps = shiftLines === 0 ? [] : [`-ffile-prefix-map=${folder}=demo`];
    await gcc([...demoCompileFlags(variant), ...maps, ...flags, '-c', source, '-o', object]);
    objects.push(object);
  }
  await gcc([...LINK_FLAGS, '-Wl,-T,demo/demo.ld', ...objects, '-o', join(folder, 'demo.elf')]);
  await Promise.all(objects.map((object) => rm(object)));
}

/** Copies of the files with their lines moved down. */
async function shift(names: readonly string[], lines: number, folder: string): Promise<string[]> {
  return Promise.all(
    names.map(async (name) => {
      const copy = join(folder, name);
      await writeFile(copy, '\n'.repeat(lines) + (await readFile(join(SOURCES, name), 'utf8')));
      return copy;
    }),
  );
}

async function gcc(args: readonly string[]): Promise<string> {
  try {
    return (await run('gcc', [...args], { cwd: DEMO_SOURCE_ROOT })).stdout;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new Error('gcc is not installed, and the demo guest is built from source: apt-get install --yes gcc binutils', {
        cause: error,
      });
    }
    throw error;
  }
}

async function sourceFiles(): Promise<string[]> {
  return (await readdir(SOURCES)).filter((name) => /\.(c|h|S|ld|lisp)$/.test(name)).sort();
}

/** A digest of everything the image depends on: sources, flags, compiler and linker versions. */
async function stateKey(variant: DemoVariant, sources: readonly string[], change: Change): Promise<string> {
  const hash = createHash('sha256');
  hash.update(
    JSON.stringify([COMPILE_FLAGS, VARIANT_FLAGS[variant], LINK_FLAGS, sources.map((source) => basename(source)), change]),
  );
  hash.update(await gcc(['--version']));
  hash.update(await gcc(['-Wl,--version']));
  const files = [...(await sourceFiles()).map((name) => join(SOURCES, name)), ...(await withHeaders(sources))];
  for (const file of files) hash.update(`\0${basename(file)}\0`).update(await readFile(file));
  return hash.digest('hex').slice(0, 16);
}

/** The files and the headers beside them, which they may include. */
async function withHeaders(sources: readonly string[]): Promise<string[]> {
  const folders = [...new Set(sources.map((source) => dirname(source)))];
  const names = await Promise.all(folders.map(async (folder) => (await readdir(folder)).map((name) => join(folder, name))));
  return [...sources, ...names.flat().filter((path) => path.endsWith('.h'))];
}

if (import.meta.main) {
  // `node test/guests/build.ts fp cfi`: prints the path of each image.
  for (const variant of process.argv.slice(2)) console.log(await buildDemoGuest(variant as DemoVariant));
}
