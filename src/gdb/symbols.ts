// What gdb has to be told about a guest: its architecture and where each image lies. Used by both ways of running gdb.
// GDB manual, "Commands to Specify Files" (`symbol-file`, `add-symbol-file`, `-o`).

import type { Image } from '../model/image.ts';
import type { Machine } from '../model/machine.ts';

/** An ELF file and its load bias (run-time − link address). */
export type GdbImage = Pick<Image, 'path' | 'loadBias'>;

const ARCHITECTURES: Readonly<Record<Machine, string>> = {
  x86_64: 'i386:x86-64',
  i386: 'i386',
  aarch64: 'aarch64',
  riscv64: 'riscv:rv64',
};

/** gdb's name of a machine. */
export function gdbArchitecture(machine: Machine): string {
  return ARCHITECTURES[machine];
}

/** gdb commands that load the images' symbols where the guest has them; the first image is the main one. */
export function symbolCommands(images: readonly GdbImage[]): string[] {
  return images.map(({ path, loadBias }, index) => {
    const offset = BigInt.asUintN(64, loadBias);
    const placed = offset === 0n && index === 0 ? '' : ` -o 0x${offset.toString(16)}`;
    return `${index === 0 ? 'symbol-file' : 'add-symbol-file'} ${quoteArgument(path)}${placed}`;
  });
}

/** Programs to try, in order, and the Debian package that has the first: Debian's gdb knows only the host's own machine. */
export function gdbPrograms(
  machine: Machine,
  hostArchitecture: string = process.arch,
): { readonly names: readonly string[]; readonly apt: string } {
  const native = { x64: ['x86_64', 'i386'], arm64: ['aarch64'], riscv64: ['riscv64'] }[hostArchitecture] ?? [];
  return native.includes(machine)
    ? { names: ['gdb', 'gdb-multiarch'], apt: 'apt install gdb' }
    : { names: ['gdb-multiarch', 'gdb'], apt: 'apt install gdb-multiarch' };
}

/** One argument of a gdb command, as gdb's own splitter (libiberty's buildargv) undoes it. */
function quoteArgument(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}
