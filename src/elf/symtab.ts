// The symbol table (gABI chapter 4, "Symbol Table"): .symtab, else .dynsym, as typed arrays sorted by address.
// Choosing among symbols at one address follows elfutils' dwfl_module_addrsym: one that spans the address beats one that
// merely precedes it, the innermost beats the outer, then function over data over label, global over weak over local.

import { Cursor, decodeText } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import * as elf from './constants.ts';
import type { ElfFile, ElfSection } from './file.ts';

/** A symbol. `address` is the link address; `size` 0 when the assembler did not say. */
export interface ElfSymbol {
  readonly name: string;
  readonly address: bigint;
  readonly size: number;
  readonly kind: 'function' | 'object' | 'label';
  readonly binding: 'global' | 'weak' | 'local';
}

/** Bytes of an Elf32_Sym and an Elf64_Sym. */
const ENTRY_SIZE = { 32: 16, 64: 24 } as const;
/** Symbols a look-up may step over: labels inside one function of hand-written assembly number a few hundred. */
const MAX_STEPS_BACK = 4096;

/** Reads the symbol table of `file`; one without any has `count` 0. Throws ELF_TRUNCATED, ELF_MALFORMED. */
export function readSymbolTable(file: ElfFile): SymbolTable {
  const section = file.sections.find((s) => s.type === elf.SHT_SYMTAB) ?? file.sections.find((s) => s.type === elf.SHT_DYNSYM);
  if (section === undefined || section.size === 0) return emptySymbolTable(file);
  const names = file.sections[section.link];
  if (names?.type !== elf.SHT_STRTAB) {
    throw new UnidbgError(
      'ELF_MALFORMED',
      `section ${section.name} of ${file.path} names section ${section.link} as its strings`,
      {
        facts: { path: file.path, link: section.link },
      },
    );
  }
  return new SymbolTable(file, section, file.readSection(names));
}

/** A table without symbols, for a file whose own cannot be read. */
export function emptySymbolTable(file: ElfFile): SymbolTable {
  return new SymbolTable(file, null, new Uint8Array(0));
}

/** Symbols by address and by name. Offsets are relative to `origin`, so that they are exact numbers wherever code is. */
export class SymbolTable {
  /** Symbols that have an address (undefined, section, file and mapping symbols are left out). */
  readonly count: number;
  private readonly origin: bigint;
  private readonly names: Uint8Array;
  private readonly offsets: Float64Array;
  private readonly sizes: Float64Array;
  private readonly nameOffsets: Uint32Array;
  private readonly sectionIndices: Uint32Array;
  /** st_info, with bit 8 set for symbols that no address may be named after (absolute, thread-local, compiler labels). */
  private readonly kinds: Uint16Array;
  /** Highest end of any symbol up to this one: where the walk back may stop. */
  private readonly reach: Float64Array;
  private readonly sectionEnds: Float64Array;
  /** Exact addresses of symbols further than 2^53 from the origin (a kernel's per-CPU data at 0). */
  private readonly farAddresses: ReadonlyMap<number, bigint>;
  private byName: Map<string, number> | null = null;

  constructor(file: ElfFile, section: ElfSection | null, names: Uint8Array) {
    const draft = section === null ? emptyDraft() : decodeEntries(file, section, names);
    const order = sortedOrder(draft);
    this.origin = file.origin;
    this.names = names;
    this.count = order.length;
    this.offsets = Float64Array.from(order, (at) => draft.offsets[at]!);
    this.sizes = Float64Array.from(order, (at) => draft.sizes[at]!);
    this.nameOffsets = Uint32Array.from(order, (at) => draft.nameOffsets[at]!);
    this.sectionIndices = Uint32Array.from(order, (at) => draft.sectionIndices[at]!);
    this.kinds = Uint16Array.from(order, (at) => draft.kinds[at]!);
    this.reach = reachOf(this.offsets, this.sizes);
    this.sectionEnds = Float64Array.from(file.sections, (s) => Number(s.address - file.origin) + s.size);
    this.farAddresses = new Map(
      [...order.entries()].flatMap(([to, at]) => {
        const far = draft.farAddresses.get(at);
        return far === undefined ? [] : [[to, far] as const];
      }),
    );
  }

  /** The symbol that link address `address` belongs to, or null. */
  findByAddress(address: bigint): ElfSymbol | null {
    const offset = Number(address - this.origin);
    const index = this.indexOf(offset);
    return index < 0 ? null : this.symbolAt(index);
  }

  /** The symbol of that exact linker name (a global one where several have it), or null. */
  findByName(name: string): ElfSymbol | null {
    this.byName ??= this.indexNames();
    const index = this.byName.get(name);
    return index === undefined ? null : this.symbolAt(index);
  }

  /** All symbols in address order. */
  *[Symbol.iterator](): Generator<ElfSymbol> {
    for (let index = 0; index < this.count; index += 1) yield this.symbolAt(index);
  }

  private indexOf(offset: number): number {
    let best = -1;
    let label = -1;
    let passedSized = false;
    const last = upperBound(this.offsets, offset) - 1;
    for (let index = last; index >= 0 && index > last - MAX_STEPS_BACK; index -= 1) {
      const start = this.offsets[index]!;
      if (best >= 0 && start !== this.offsets[best]) break;
      const done = passedSized || (label >= 0 && start !== this.offsets[label]);
      if (done && this.reach[index]! <= offset) break;
      if ((this.kinds[index]! & UNNAMEABLE) !== 0) continue;
      const size = this.sizes[index]!;
      if (size > 0 && offset < start + size) best = this.better(index, best);
      else if (size > 0) passedSized = true;
      else if (!done && offset < (this.sectionEnds[this.sectionIndices[index]!] ?? Infinity)) label = this.better(index, label);
    }
    return best >= 0 ? best : label;
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
    return {
      name: nameAt(this.names, this.nameOffsets[index]!),
      address: this.farAddresses.get(index) ?? this.origin + BigInt(this.offsets[index]!),
      size: this.sizes[index]!,
      kind: kindOf(info),
      binding: bindingOf(info),
    };
  }

  private indexNames(): Map<string, number> {
    const byName = new Map<string, number>();
    for (let index = 0; index < this.count; index += 1) {
      const name = nameAt(this.names, this.nameOffsets[index]!);
      const known = byName.get(name);
      if (known === undefined || this.nameRank(index) > this.nameRank(known)) byName.set(name, index);
    }
    return byName;
  }

  private nameRank(index: number): number {
    const nameable = (this.kinds[index]! & UNNAMEABLE) === 0 ? 16 : 0;
    return { global: 64, weak: 32, local: 0 }[bindingOf(this.kinds[index]!)] + nameable + this.rank(index);
  }
}

const UNNAMEABLE = 0x100;

interface Draft {
  count: number;
  readonly offsets: Float64Array;
  readonly sizes: Float64Array;
  readonly nameOffsets: Uint32Array;
  readonly sectionIndices: Uint32Array;
  readonly kinds: Uint16Array;
  readonly farAddresses: Map<number, bigint>;
}

function emptyDraft(capacity = 0): Draft {
  return {
    count: 0,
    offsets: new Float64Array(capacity),
    sizes: new Float64Array(capacity),
    nameOffsets: new Uint32Array(capacity),
    sectionIndices: new Uint32Array(capacity),
    kinds: new Uint16Array(capacity),
    farAddresses: new Map(),
  };
}

function decodeEntries(file: ElfFile, section: ElfSection, names: Uint8Array): Draft {
  const entrySize = ENTRY_SIZE[file.bits];
  const bytes = file.readSection(section);
  const cursor = new Cursor(bytes, { littleEndian: file.littleEndian });
  const total = Math.floor(bytes.length / entrySize);
  const draft = emptyDraft(total);
  for (let index = 1; index < total; index += 1) {
    cursor.seek(index * entrySize);
    const nameOffset = cursor.u32();
    const early = file.bits === 32 ? { value: cursor.u32(), size: cursor.u32() } : null;
    const info = cursor.u8();
    cursor.skip(1);
    const sectionIndex = cursor.u16();
    if (!isKept(info & 0xf, sectionIndex, names, nameOffset)) continue;
    const far = addressAt(cursor, early?.value ?? null);
    const size = early?.size ?? cursor.u64Number();
    const offset = Number(far - file.origin);
    const at = draft.count;
    draft.count += 1;
    draft.offsets[at] = offset;
    draft.sizes[at] = Number.isFinite(size) ? size : 0;
    draft.nameOffsets[at] = nameOffset;
    draft.sectionIndices[at] = sectionIndex;
    draft.kinds[at] = info | (isNameable(info & 0xf, sectionIndex, names, nameOffset) ? 0 : UNNAMEABLE);
    if (!Number.isSafeInteger(offset)) draft.farAddresses.set(at, far);
  }
  return draft;
}

function addressAt(cursor: Cursor, early: number | null): bigint {
  return early === null ? cursor.u64() : BigInt(early);
}

function isKept(type: number, sectionIndex: number, names: Uint8Array, nameOffset: number): boolean {
  if (type === elf.STT_SECTION || type === elf.STT_FILE || sectionIndex === elf.SHN_UNDEF) return false;
  return nameOffset < names.length && names[nameOffset] !== 0 && !isMappingSymbol(names, nameOffset);
}

/** `$x`, `$d`, `$a`, `$t`, alone or before a dot or an ISA string: marks of the ARM and RISC-V ABIs, not names. */
function isMappingSymbol(names: Uint8Array, at: number): boolean {
  if (names[at] !== 0x24 || !'xdat'.includes(String.fromCharCode(names[at + 1] ?? 0))) return false;
  const next = String.fromCharCode(names[at + 2] ?? 0);
  return next === '\0' || next === '.' || (names[at + 1] === 0x78 && next === 'r');
}

function isNameable(type: number, sectionIndex: number, names: Uint8Array, nameOffset: number): boolean {
  const absolute = sectionIndex === elf.SHN_ABS || sectionIndex === elf.SHN_COMMON;
  const compilerLabel = names[nameOffset] === 0x2e && names[nameOffset + 1] === 0x4c;
  return !absolute && !compilerLabel && type !== elf.STT_TLS;
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
function sortedOrder(draft: Draft): Uint32Array {
  const order = Uint32Array.from({ length: draft.count }, (_, index) => index);
  return order.sort((a, b) => draft.offsets[a]! - draft.offsets[b]! || a - b);
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
