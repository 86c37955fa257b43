// What a console log itself says of where images were loaded. Nanos: `kernel load offset`, `loaded klibs:` and the lines of a
// frame trace (src/aarch64|x86_64/crash.c dump_context, src/kernel/symtab.c print_u64_with_sym); Linux: `Kernel Offset:`
// (arch/x86/kernel/setup.c dump_kernel_offset). Each is believed only of an image that it fits.

import type { NamedImage, Names } from './names.ts';

/** A word of a log on where things are. */
interface Word {
  readonly pattern: RegExp;
  readonly read: (match: RegExpExecArray, names: Names) => { readonly image: NamedImage; readonly loadBias: bigint } | null;
}

const WORDS: readonly Word[] = [
  {
    pattern: /kernel load offset (?:0x)?([0-9a-f]{16})\b/,
    read: ([, offset], names) => kernelAt(names, 'runloop_internal', BigInt.asIntN(64, BigInt(`0x${offset ?? '0'}`))),
  },
  {
    pattern: /Kernel Offset: 0x([0-9a-f]{1,16}) from 0x/,
    read: ([, offset], names) => kernelAt(names, 'startup_64', BigInt(`0x${offset ?? '0'}`)),
  },
  {
    // `ffffc00002807f50:   fffffffff54da30a\t(runloop_internal + 000000000000026a/0000000000000af8)`
    pattern: /\b([0-9a-f]{16})\s{1,8}\(([\w.$]{1,255}) \+ ([0-9a-f]{16})\/([0-9a-f]{16})\)/,
    read: ([, address, name = '', offset, size], names) => {
      const image = names.images.find((candidate) => candidate.image.findLinkSymbol(name)?.size === Number(`0x${size ?? '0'}`));
      const symbol = image?.image.findLinkSymbol(name);
      if (image === undefined || symbol == null) return null;
      const loadBias = BigInt.asIntN(64, BigInt(`0x${address ?? '0'}`) - BigInt(`0x${offset ?? '0'}`) - symbol.address);
      return { image, loadBias };
    },
  },
];
/** `loaded klibs: name@base/size …` */
const KLIBS = /loaded klibs: (.{1,2000})/;
const KLIB = /(\S{1,64})@([0-9a-f]{16})\/[0-9a-f]{1,16}\b/g;

const MAY_TELL = /kernel load offset |Kernel Offset: |loaded klibs: | \+ [0-9a-f]{16}\//;

/** `names` as `line` says that they lie; the same object when it says nothing new. */
export function learnPlaces(line: string, names: Names): Names {
  if (!MAY_TELL.test(line)) return names;
  let known = names;
  for (const { pattern, read } of WORDS) {
    const match = pattern.exec(line);
    const told = match === null ? null : read(match, known);
    if (told !== null) known = move(known, told.image, told.loadBias);
  }
  for (const [, name, base] of (KLIBS.exec(line)?.[1] ?? '').matchAll(KLIB)) {
    const image = known.images.find((candidate) => candidate.name === name);
    if (image !== undefined) known = move(known, image, BigInt(`0x${base ?? '0'}`) - (image.image.elf.imageBase & ~0xfffn));
  }
  return known;
}

function move(names: Names, image: NamedImage, loadBias: bigint): Names {
  return image.isGiven || image.loadBias === loadBias ? names : names.moved(image, loadBias);
}

function kernelAt(
  names: Names,
  mark: string,
  loadBias: bigint,
): { readonly image: NamedImage; readonly loadBias: bigint } | null {
  const image = names.images.find((candidate) => candidate.image.findLinkSymbol(mark) !== null);
  return image === undefined ? null : { image, loadBias };
}
