// runtime.firstmoduledata (runtime/symtab.go): the linker's record of where the parts of a Go image lie. It begins with the address
// of the pclntab and repeats what the pclntab says, by which it is found and known in images without symbols. Its first words have
// been the same since 1.16; `gofunc` moves with releases, so every word that could be it is tried on real inline trees.

import type { CodeImage } from '../../model/code-table.ts';
import type { ImageWindow } from './image-window.ts';
import type { PclntabHeader } from './pclntab.ts';

/** Words of moduledata that are looked at; it has about 75. */
const WORDS = 64;
const MAX_CANDIDATES = 64;

/** What moduledata says. Link addresses. */
export interface ModuleData {
  readonly address: bigint;
  readonly text: bigint;
  readonly textEnd: bigint;
  /** Bounds of the code that the function table describes. */
  readonly lowest: bigint;
  readonly highest: bigint;
  /** Symbols that bound parts of the image, by the linker's names. */
  readonly bounds: ReadonlyMap<string, bigint>;
  /** Words that may be `gofunc`, in order. */
  readonly words: readonly bigint[];
}

/** Words of moduledata from the address of the pclntab on: slices are three. */
const FORM_116 = { functab: 16, functions: 17, minpc: 20, text: 22, data: 24 };
/** Until 1.15 it begins with slices: pclntable, ftab, filetab. */
const FORM_12 = { functab: 3, functions: 4, minpc: 10, text: 12, data: 14 };

const BOUNDS = ['noptrdata', 'enoptrdata', 'data', 'edata', 'bss', 'ebss', 'noptrbss', 'enoptrbss'] as const;

/** The moduledata that belongs to the pclntab at the window's origin, or null. */
export function findModuleData(window: ImageWindow, header: PclntabHeader): ModuleData | null {
  for (const address of placesOf(window.image, window.origin)) {
    const found = decodeModuleData(window, header, address);
    if (found !== null) return found;
  }
  return null;
}

/** Where the image's data hold the address of the pclntab. */
function* placesOf(image: CodeImage, pclntab: bigint): Generator<bigint> {
  const module = image.findSection('.go.module');
  if (module !== null) yield module.address;
  const word = image.bits / 8;
  let candidates = 0;
  for (const { address, size, executable } of image.ranges) {
    if (executable) continue;
    const read = image.readVirtual(address, size);
    if (read === null) continue;
    const bytes = Buffer.from(read.buffer, read.byteOffset, read.length);
    const wanted = encodeWord(image, pclntab);
    for (let at = bytes.indexOf(wanted); at >= 0 && candidates < MAX_CANDIDATES; at = bytes.indexOf(wanted, at + 1)) {
      if ((Number(address % BigInt(word)) + at) % word !== 0) continue;
      candidates += 1;
      yield address + BigInt(at);
    }
  }
}

function encodeWord({ bits, littleEndian }: CodeImage, value: bigint): Buffer {
  const bytes = Buffer.alloc(bits / 8);
  if (bits === 32) bytes[littleEndian ? 'writeUInt32LE' : 'writeUInt32BE'](Number(BigInt.asUintN(32, value)));
  else bytes[littleEndian ? 'writeBigUInt64LE' : 'writeBigUInt64BE'](BigInt.asUintN(64, value));
  return bytes;
}

function decodeModuleData(window: ImageWindow, { layout, count, parts }: PclntabHeader, address: bigint): ModuleData | null {
  const form = layout.header.names === null ? FORM_12 : FORM_116;
  const at = window.offsetOf(address);
  const wordBytes = window.image.bits / 8;
  const available = Math.min(WORDS, Math.floor(window.remaining(at) / wordBytes));
  if (available < form.data + BOUNDS.length) return null;
  const words = Array.from({ length: available }, (_, index) => window.address(at + wordBytes * index));
  // The function table's slice: its address, its length with the entry that marks the end.
  if (words[0] !== window.origin || words[form.functab] !== window.origin + BigInt(parts.functab)) return null;
  if (words[form.functions] !== BigInt(count + 1)) return null;
  const [text, textEnd] = [words[form.text]!, words[form.text + 1]!];
  const [lowest, highest] = [words[form.minpc]!, words[form.minpc + 1]!];
  const bounds = new Map(BOUNDS.map((name, index) => [`runtime.${name}`, words[form.data + index]!]));
  return { address, text, textEnd, lowest, highest, bounds, words: words.slice(form.data + BOUNDS.length) };
}
