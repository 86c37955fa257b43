// Builds the demo guest (test/guests/demo) with the gcc and binutils of the host, once per source state and compiler.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const ROOT = resolve(import.meta.dirname, '../..');
const SOURCES = join(import.meta.dirname, 'demo');
const CACHE = join(ROOT, '.demo');

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
  ...['-mno-red-zone', '-mgeneral-regs-only', '-mcmodel=small', '-Wall', '-Wextra', '-Werror'],
];

const LINK_FLAGS: readonly string[] = [
  ...['-nostdlib', '-static', '-no-pie', '-Wl,--build-id=sha1', '-Wl,-z,noexecstack', '-Wl,-z,max-page-size=4096'],
  '-Wl,--fatal-warnings',
];

/** Compiles the demo guest unless that is done already; resolves to the path of its ELF. Safe to call at the same time from many processes. */
export async function buildDemoGuest(variant: DemoVariant): Promise<string> {
  const elf = join(CACHE, `${variant}-${await stateKey(variant)}`, 'demo.elf');
  if (!existsSync(elf)) await build(variant, elf);
  return elf;
}

async function build(variant: DemoVariant, elf: string): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  const scratch = await mkdtemp(join(CACHE, 'building-'));
  try {
    await compileAndLink(variant, scratch);
    await rename(scratch, resolve(elf, '..'));
  } catch (error) {
    await rm(scratch, { recursive: true, force: true });
    // Somebody else finished the same build first: a full folder cannot be renamed over.
    if (!existsSync(elf)) throw error;
  }
}

async function compileAndLink(variant: DemoVariant, folder: string): Promise<void> {
  const files = (await sourceFiles()).filter((name) => /\.[cS]$/.test(name));
  // Run from the folder above demo/, so that DWARF names files `demo/app.c`, whatever the machine's paths are.
  const flags = [
    ...COMPILE_FLAGS,
    ...VARIANT_FLAGS[variant],
    `-ffile-prefix-map=${DEMO_SOURCE_ROOT}=.`,
    `-ffile-prefix-map=${folder}=.`,
  ];
  const objects = files.map((name) => join(folder, `${name}.o`));
  for (const [index, name] of files.entries()) await gcc([...flags, '-c', `demo/${name}`, '-o', objects[index]!]);
  await gcc([...LINK_FLAGS, '-Wl,-T,demo/demo.ld', ...objects, '-o', join(folder, 'demo.elf')]);
  await Promise.all(objects.map((object) => rm(object)));
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

/** A digest of everything the image depends on: sources, flags, this file's rules, compiler and linker versions. */
async function stateKey(variant: DemoVariant): Promise<string> {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([COMPILE_FLAGS, VARIANT_FLAGS[variant], LINK_FLAGS, relative(ROOT, SOURCES)]));
  hash.update(await gcc(['--version']));
  hash.update(await gcc(['-Wl,--version']).catch(() => ''));
  for (const name of await sourceFiles()) {
    hash.update(`\0${name}\0`).update(await readFile(join(SOURCES, name)));
  }
  return hash.digest('hex').slice(0, 16);
}

if (import.meta.main) {
  for (const variant of process.argv.slice(2)) console.log(await buildDemoGuest(variant as DemoVariant));
}
