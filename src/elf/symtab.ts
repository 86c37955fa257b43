// The symbol table (gABI chapter 4, "Symbol Table"): .symtab, else .dynsym, as typed arrays sorted by address.
// Choosing among symbols at one address follows elfutils' dwfl_module_addrsym: one that spans the address beats one that
// merely precedes it, the innermost beats the outer, then function over data over label, global over weak over local.

import { decodeText } from '../bytes/cursor.ts';
import * as elf from './constants.ts';
import type { ElfFile, ElfSection } from './file.ts';
import { readSymbolEntries, type SymbolEntries, UNNAMEABLE } from './symbol-entries.ts';
import { readSymbolVersions, type SymbolVersions, splitVersion } from './symbol-versions.ts';

/** A symbol. `address` is the link address; `size` 0 when the assembler did not say. */
export interface ElfSymbol {
  /** The linker's name, without its version. */
  readonly name: string;
  /** What nm appends to the name: `@@GLIBC_2.14` of a default version, `@GLIBC_2.2.5` of another; null without one. */
  readonly version: string | null;
  readonly address: bigint;
  readonly size: number;
  readonly kind: 'function' | 'object' | 'label';
  readonly binding: 'global' | 'weak' | 'local';
}

/** Symbols a look-up may step over: labels inside one function of hand-written assembly number a few hundred. */
const MAX_STEPS_BACK = 4096;
/** Look-ups by name that search the strings before an index of all names is made: it costs about as much as forty of them. */
const NAME_SEARCHES = 40;
/** Places of a name in the strings that a search looks at: `e` ends many names. */
const MAX_NAME_PLACES = 4096;

/** The table of a file that names most: .symtab, else .dynsym; null without any. */
export function findSymbolSection(file: ElfFile): ElfSection | null {
  const find = (type: number): ElfSection | undefined => file.sections.find((s) => s.type === type && s.size > 0);
  return find(elf.SHT_SYMTAB) ?? find(elf.SHT_DYNSYM) ?? null;
}

/** Reads the symbol table of `file`; one without any has `count` 0. Throws ELF_TRUNCATED, ELF_MALFORMED. */
export function readSymbolTable(file: ElfFile): SymbolTable {
  const section = findSymbolSection(file);
  if (section === null) return emptySymbolTable(file);
  const versions = section.type === elf.SHT_DYNSYM ? readSymbolVersions(file, section) : null;
  return new SymbolTable(file, readSymbolEntries(file, section), versions);
}

/** A table without symbols, for a file whose own cannot be read. */
export function emptySymbolTable(file: ElfFile): SymbolTable {
  return new SymbolTable(file, NO_ENTRIES, null);
}

/** Symbols by address and by name. Offsets are relative to `origin`, so that they are exact numbers wherever code is. */
export class SymbolTable {
  /** Symbols that have an address (undefined, section, file and mapping symbols are left out). */
  readonly count: number;
  private readonly origin: bigint;
  private readonly entries: SymbolEntries;
  private readonly versions: SymbolVersions | null;
  /** The entries in address order; the arrays below go by it. */
  private readonly order: Uint32Array;
  private readonly offsets: Float64Array;
  private readonly sizes: Float64Array;
  private readonly kinds: Uint16Array;
  /** Highest end of any symbol up to this one: where the walk back may stop. */
  private readonly reach: Float64Array;
  private readonly sectionEnds: Float64Array;
  private searches = 0;
  private byName: Map<string, number> | null = null;

  constructor(file: ElfFile, entries: SymbolEntries, versions: SymbolVersions | null) {
    this.origin = file.origin;
    this.entries = entries;
    this.versions = versions;
    this.count = entries.count;
    this.order = sortedOrder(entries.offsets.subarray(0, entries.count));
    this.offsets = permute(entries.offsets, this.order, new Float64Array(this.count));
    this.sizes = permute(entries.sizes, this.order, new Float64Array(this.count));
    this.kinds = permute(entries.kinds, this.order, new Uint16Array(this.count));
    this.reach = reachOf(this.offsets, this.sizes);
    this.sectionEnds = Float64Array.from(file.sections, (s) => Number(s.address - file.origin) + s.size);
  }

  /** The symbol that link address `address` belongs to, or null. */
  findByAddress(address: bigint): ElfSymbol | null {
    const offset = Number(address - this.origin);
    const index = this.indexOf(offset);
    return index < 0 ? null : this.symbolAt(index);
  }

  /** The symbol of that linker name, with its version or without (a global one, of the default version, where several have it), or null. */
  findByName(name: string): ElfSymbol | null {
    const searched = this.byName === null ? this.searchName(name) : null;
    if (searched === null) this.byName ??= this.indexNames();
    const index = searched ?? this.byName?.get(name) ?? -1;
    return index < 0 ? null : this.symbolAt(index);
  }

  /** All symbols in address order. */
  *[Symbol.iterator](): Generator<ElfSymbol> {
    for (let index = 0; index < this.count; index += 1) yield this.symbolAt(index);
  }

  private indexOf(offset: number): number {
    let best = -1;
    let label = -1;
    let passedSized = false;
    let passedEnd = -Infinity;
    const last = upperBound(this.offsets, offset) - 1;
    for (let index = last; index >= 0 && index > last - MAX_STEPS_BACK; index -= 1) {
      const start = this.offsets[index]!;
      if (best >= 0 && start !== this.offsets[best]) break;
      const done = passedSized || (label >= 0 && start !== this.offsets[label]);
      if (done && this.reach[index]! <= offset) break;
      if ((this.kinds[index]! & UNNAMEABLE) !== 0) continue;
      const size = this.sizes[index]!;
      if (size > 0 && offset < start + size) best = this.better(index, best);
      else if (size > 0) {
        passedSized = true;
        passedEnd = Math.max(passedEnd, start + size);
      } else if (!done && offset < (this.sectionEnds[this.entries.sections[this.order[index]!]!] ?? Infinity))
        label = this.better(index, label);
    }
    if (best >= 0) return best;
    // A label inside of a function that has ended names nothing behind it, as in elfutils (two names of one function, one without a size).
    return label >= 0 && this.offsets[label]! < passedEnd ? -1 : label;
  }

  /** The better ranked of two symbols at one address; `candidate` stands before `soFar` in the table. */
  private better(candidate: number, soFar: number): number {
    if (soFar < 0) return candidate;
    const better = this.rank(candidate) - this.rank(soFar);
    // On a tie elfutils takes the first of two sized symbols (memcpy and its aliases), the last of two labels (gdt64, gdt64_null).
    return better > 0 || (better === 0 && this.sizes[candidate]! > 0) ? candidate : soFar;
  }

  private rank(index: number): number {
    const info = this.kinds[index]!;
    const kind = { function: 8, object: 4, label: 0 }[kindOf(info)];
    return kind + { global: 2, weak: 1, local: 0 }[bindingOf(info)];
  }

  private symbolAt(index: number): ElfSymbol {
    const info = this.kinds[index]!;
    const element = this.order[index]!;
    return {
      ...this.nameOf(index),
      address: this.entries.farAddresses.get(element) ?? this.origin + BigInt(this.offsets[index]!),
      size: this.sizes[index]!,
      kind: kindOf(info),
      binding: bindingOf(info),
    };
  }

  /** .symtab writes the version into the name, .dynsym beside it. */
  private nameOf(index: number): { name: string; version: string | null } {
    const element = this.order[index]!;
    const name = nameAt(this.entries.names, this.entries.nameOffsets[element]!);
    if (this.versions === null) return splitVersion(name);
    return { name, version: this.versions(this.entries.numbers[element]!) };
  }

  /** Looks for the name among the strings: the best symbol of it, -1 without one, null when the index is the better way. */
  private searchName(name: string): number | null {
    this.searches += 1;
    if (this.searches > NAME_SEARCHES || name === '' || !PLAIN_NAME.test(name)) return null;
    const places = placesOf(name, this.entries.names);
    if (places === null) return null;
    let best = -1;
    for (let index = 0; places.size > 0 && index < this.count; index += 1) {
      if (!places.has(this.entries.nameOffsets[this.order[index]!]!) || this.nameOf(index).name !== name) continue;
      if (best < 0 || this.nameRank(index) > this.nameRank(best)) best = index;
    }
    return best;
  }

  private indexNames(): Map<string, number> {
    const byName = new Map<string, number>();
    for (let index = 0; index < this.count; index += 1) {
      const { name, version } = this.nameOf(index);
      for (const key of version === null ? [name] : [name, name + version]) {
        const known = byName.get(key);
        if (known === undefined || this.nameRank(index) > this.nameRank(known)) byName.set(key, index);
      }
    }
    return byName;
  }

  private nameRank(index: number): number {
    const nameable = (this.kinds[index]! & UNNAMEABLE) === 0 ? 16 : 0;
    const isOldVersion = this.nameOf(index).version?.startsWith('@@') === false;
    return (
      { global: 64, weak: 32, local: 0 }[bindingOf(this.kinds[index]!)] + nameable + this.rank(index) + (isOldVersion ? 0 : 128)
    );
  }
}

const NO_ENTRIES: SymbolEntries = {
  count: 0,
  offsets: new Float64Array(0),
  sizes: new Float64Array(0),
  nameOffsets: new Uint32Array(0),
  sections: new Uint32Array(0),
  kinds: new Uint16Array(0),
  numbers: new Uint32Array(0),
  farAddresses: new Map(),
  names: new Uint8Array(0),
};

/** Names that are the same bytes in every encoding, and no version. */
const PLAIN_NAME = /^[\x21-\x3f\x41-\x7e]+$/;

/** Where `name` stands in the strings, followed by its end or by a version; null when that is too often. */
function placesOf(name: string, strings: Uint8Array): Set<number> | null {
  const buffer = Buffer.from(strings.buffer, strings.byteOffset, strings.length);
  const places = new Set<number>();
  for (const end of ['\0', '@']) {
    for (let at = buffer.indexOf(name + end); at >= 0; at = buffer.indexOf(name + end, at + 1)) {
      places.add(at);
      if (places.size > MAX_NAME_PLACES) return null;
    }
  }
  return places;
}

function kindOf(info: number): ElfSymbol['kind'] {
  const type = info & 0xf;
  if (type === elf.STT_FUNC || type === elf.STT_GNU_IFUNC) return 'function';
  return type === elf.STT_OBJECT || type === elf.STT_COMMON || type === elf.STT_TLS ? 'object' : 'label';
}

function bindingOf(info: number): ElfSymbol['binding'] {
  const binding = (info & 0xff) >> 4;
  if (binding === elf.STB_WEAK) return 'weak';
  return binding === elf.STB_GLOBAL || binding === elf.STB_GNU_UNIQUE ? 'global' : 'local';
}

/** By address; table order among equals. */
function sortedOrder(offsets: Float64Array): Uint32Array {
  const { length } = offsets;
  // Place and number in one float where both fit: sorting those without a comparison function takes a tenth of the time.
  const room = Math.floor(2 ** 53 / Math.max(length, 1));
  const keys = new Float64Array(length);
  const far: number[] = [];
  let near = 0;
  for (let index = 0; index < length; index += 1) {
    const offset = offsets[index]!;
    if (offset > -room && offset < room) keys[near++] = offset * length + index;
    else far.push(index);
  }
  keys.subarray(0, near).sort();
  far.sort((a, b) => offsets[a]! - offsets[b]! || a - b);
  const before = far.filter((index) => offsets[index]! < 0);
  const order = new Uint32Array(length);
  order.set(before);
  for (let index = 0; index < near; index += 1) {
    const number = keys[index]! % length;
    order[before.length + index] = number < 0 ? number + length : number;
  }
  order.set(far.slice(before.length), before.length + near);
  return order;
}

function permute<T extends Float64Array | Uint16Array>(from: T, order: Uint32Array, to: T): T {
  for (let index = 0; index < order.length; index += 1) to[index] = from[order[index]!]!;
  return to;
}

function reachOf(offsets: Float64Array, sizes: Float64Array): Float64Array {
  let high = -Infinity;
  return offsets.map((offset, index) => (high = Math.max(high, offset + sizes[index]!)));
}

function upperBound(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nameAt(names: Uint8Array, offset: number): string {
  const end = names.indexOf(0, offset);
  return decodeText(names.subarray(offset, end < 0 ? names.length : end));
}
