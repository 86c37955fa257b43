// The images that symbols are measured on: Debian's debug image of its cloud kernel (560 MB), fetched from Debian's archive, and
// programs with 1, 10 and 100 MB of DWARF, made by linking copies of one generated unit. Kept in a folder for the next time.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { openElf } from '../../src/elf/file.ts';

/** An image and how much of it is DWARF, in bytes. */
export interface MeasuredImage {
  readonly path: string;
  readonly debugBytes: number;
}

/** Where images are kept: UNIDBG_BENCH_CACHE, else in the user's cache folder. */
export function cacheFolder(): string {
  const folder =
    process.env['UNIDBG_BENCH_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'unidbg-bench');
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Debian's kernel with its debug info; UNIDBG_KERNEL_IMAGE names one that is there already. */
export function kernelImage(): MeasuredImage {
  const given = process.env['UNIDBG_KERNEL_IMAGE'];
  return measured(given ?? fetchKernel(join(cacheFolder(), 'kernel')));
}

function fetchKernel(folder: string): string {
  const unpacked = join(folder, 'usr/lib/debug/boot');
  if (!existsSync(unpacked)) {
    mkdirSync(folder, { recursive: true });
    const names = execFileSync('apt-cache', ['pkgnames', 'linux-image-'], { encoding: 'utf8' }).split('\n');
    const name = names.filter((one) => /^linux-image-6\.\d+\.\d+.*cloud-amd64-dbg$/.test(one)).toSorted()[0];
    if (name === undefined)
      throw new Error('apt knows no linux-image-*-cloud-amd64-dbg: is this Debian, and was `apt-get update` run?');
    process.stderr.write(`fetching ${name} (300 MB) into ${folder}\n`);
    execFileSync('apt-get', ['download', name], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
    const archive = readdirSync(folder).find((one) => one.endsWith('.deb'))!;
    execFileSync('dpkg-deb', ['-x', archive, '.'], { cwd: folder });
    rmSync(join(folder, archive));
  }
  return join(unpacked, readdirSync(unpacked).find((one) => one.startsWith('vmlinux'))!);
}

/** Programs with about 1, 10 and 100 MB of DWARF, made when they are not there. */
export function growingImages(): readonly MeasuredImage[] {
  const folder = join(cacheFolder(), 'growth');
  mkdirSync(folder, { recursive: true });
  return [1, 10, 100].map((copies) => {
    const path = join(folder, `copies-${copies}`);
    if (!existsSync(path)) linkCopies(folder, copies, path);
    return measured(path);
  });
}

function linkCopies(folder: string, copies: number, path: string): void {
  const unit = join(folder, 'unit.o');
  if (!existsSync(unit)) {
    writeFileSync(join(folder, 'unit.c'), unitSource());
    execFileSync('gcc', ['-g', '-gdwarf-5', '-O2', '-ffreestanding', '-c', 'unit.c', '-o', unit], { cwd: folder });
  }
  const objects = Array.from({ length: copies }, (_, index) => {
    const object = join(folder, `copy-${index}.o`);
    execFileSync('objcopy', [`--prefix-symbols=u${index}_`, unit, object]);
    return object;
  });
  execFileSync('ld', ['-static', '-e', 'u0_entry', '-o', path, ...objects]);
  for (const object of objects) rmSync(object);
}

/** About a megabyte of DWARF: functions over structs of their own, each with calls that are inlined. */
function unitSource(): string {
  const functions = Array.from(
    { length: 2_400 },
    (_, index) => `
struct item_${index} { struct item_${index} *next; int kind; unsigned weight : 5; char name[${(index % 29) + 1}]; };
static inline int weigh_${index}(const struct item_${index} *item) { return item->kind * ${index + 3} + item->weight; }
int sum_${index}(const struct item_${index} *item, int limit) {
  int sum = 0;
  for (; item; item = item->next) { if (sum > limit) break; sum += weigh_${index}(item) ^ item->name[0]; }
  return sum;
}`,
  );
  return `${functions.join('\n')}\nint entry(void) { return 0; }\n`;
}

function measured(path: string): MeasuredImage {
  const elf = openElf(path);
  const debug = elf.sections.filter(({ name }) => /^\.z?debug_/.test(name));
  elf.close();
  return { path, debugBytes: debug.reduce((sum, { size }) => sum + size, 0) };
}
