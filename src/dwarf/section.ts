// The .debug_* sections of one ELF file, read by position in pages, so that an address costs the bytes on its path only.

import { Cursor, decodeText } from '../bytes/cursor.ts';
import type { ElfFile, ElfSection } from '../elf/file.ts';
import { errorCode, errorMessage, UnidbgError } from '../model/error.ts';
import { LruCache } from './cache.ts';

const PAGE = 4 * 1024;
const PAGES_KEPT = (2048 * 16) / 4;
/** Bytes of whole units kept, per section. */
const BODY_BYTES = 32 * 1024 * 1024;
/** What an abbreviation, a root entry or a range list usually fits in. */
const FIRST_WINDOW = 1024;
/** A NUL must come within this many bytes: C++ linkage names reach some kilobytes. */
const MAX_STRING = 1024 * 1024;

/** A part of a section. */
export interface SectionWindow {
  readonly offset: number;
  readonly size: number;
}

/** One section, or one unit's part of a package's. All offsets are from its start. */
export class DebugSection {
  readonly name: string;
  readonly size: number;
  readonly littleEndian: boolean;
  private readonly file: ElfFile;
  private readonly section: ElfSection;
  /** Where in the section it starts: a package holds the parts of many units in each of its sections. */
  private readonly start: number;
  private readonly pages = new LruCache<number, Uint8Array>(PAGES_KEPT);
  private readonly bodies = new LruCache<number, Uint8Array>(BODY_BYTES, (body) => body.length);

  constructor(file: ElfFile, section: ElfSection, name: string, window?: SectionWindow) {
    const whole = file.sectionSize(section);
    this.file = file;
    this.section = section;
    this.name = name;
    this.start = Math.min(window?.offset ?? 0, whole);
    this.size = Math.min(window?.size ?? whole, whole - this.start);
    this.littleEndian = file.littleEndian;
  }

  /** It is .debug_types of DWARF 4, or that of a split object. */
  get holdsTypes(): boolean {
    return this.name.startsWith('.debug_types');
  }

  /** `length` bytes at `offset`; throws DWARF_TRUNCATED outside the section. Do not write to them. */
  slice(offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) throw this.outside(offset, length);
    if (this.section.compressed) return this.read(offset, length);
    const page = Math.floor(offset / PAGE);
    const start = offset - page * PAGE;
    if (start + length > PAGE) return this.read(offset, length);
    return this.pageAt(page).subarray(start, start + length);
  }

  /** As `slice`, of something large that is read at once and again soon. */
  body(offset: number, length: number): Uint8Array {
    const known = this.bodies.get(offset, () => this.slice(offset, length));
    return known.length === length ? known : this.slice(offset, length);
  }

  /** A cursor over [offset, offset + length), whose messages speak of section offsets. */
  cursor(offset: number, length: number): Cursor {
    return new Cursor(this.slice(offset, length), { littleEndian: this.littleEndian, base: offset });
  }

  /** As `cursor`, over something that is looked at once: its bytes are read into `buffer`, and nothing of them is kept. */
  passingCursor(offset: number, length: number, buffer: Uint8Array): Cursor {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) throw this.outside(offset, length);
    return new Cursor(this.read(offset, length, buffer), { littleEndian: this.littleEndian, base: offset });
  }

  /** Runs `decode` on a thing at `offset` that does not say how long it is; `decode` runs again on more bytes when it met their end. */
  scan<T>(offset: number, decode: (cursor: Cursor) => T): T {
    if (!(offset >= 0 && offset <= this.size)) throw this.outside(offset, 0);
    for (let length = FIRST_WINDOW; ; length *= 16) {
      const available = Math.min(length, this.size - offset);
      try {
        return decode(this.cursor(offset, available));
      } catch (error) {
        if (errorCode(error) !== 'BYTES_OUT_OF_RANGE' || available < length) throw error;
      }
    }
  }

  /** The NUL-terminated string at `offset`; throws DWARF_TRUNCATED when it has no end. */
  string(offset: number): string {
    return decodeText(this.stringBytes(offset));
  }

  /** As `string`, without the NUL. Do not write to them. */
  stringBytes(offset: number): Uint8Array {
    for (let length = 256; ; length *= 4) {
      const bytes = this.slice(offset, Math.min(length, this.size - offset));
      const end = bytes.indexOf(0);
      if (end >= 0) return bytes.subarray(0, end);
      if (bytes.length < length || length > MAX_STRING) throw this.outside(offset, bytes.length + 1);
    }
  }

  private pageAt(page: number): Uint8Array {
    const offset = page * PAGE;
    return this.pages.get(page, () => this.read(offset, Math.min(PAGE, this.size - offset)));
  }

  private read(offset: number, length: number, into?: Uint8Array): Uint8Array {
    return this.file.readSectionAt(this.section, this.start + offset, length, into);
  }

  private outside(offset: number, length: number): UnidbgError {
    const where = `${length} bytes at offset 0x${offset.toString(16)} of ${this.name} in ${this.file.path}`;
    return new UnidbgError('DWARF_TRUNCATED', `cannot read ${where}: the section has ${this.size} bytes`, {
      facts: { path: this.file.path, section: this.name, offset, length },
    });
  }
}

/** The DWARF sections a file may have. */
export type DebugSectionName =
  | 'debug_abbrev'
  | 'debug_addr'
  | 'debug_aranges'
  | 'debug_info'
  | 'debug_line'
  | 'debug_line_str'
  | 'debug_loc'
  | 'debug_loclists'
  | 'debug_names'
  | 'debug_ranges'
  | 'debug_rnglists'
  | 'debug_str'
  | 'debug_str_offsets'
  | 'debug_types'
  | 'gdb_index';

/** Sections that a split unit shares with the image it was split from (DWARF 5 section 7.3.2.1, and GNU's form of DWARF 4). */
const OF_IMAGE: ReadonlySet<DebugSectionName> = new Set(['debug_addr', 'debug_ranges', 'debug_line', 'debug_line_str']);

/** Where the sections of a split unit are. */
export interface SplitSource {
  /** The sections of the image. */
  readonly image: DebugSections;
  /** The unit's parts, in a package. */
  readonly windows: ReadonlyMap<DebugSectionName, SectionWindow> | null;
}

/** The sections of one file, opened when first asked for. */
export class DebugSections {
  readonly file: ElfFile;
  /** The link address that offsets are counted from: the image's origin. */
  readonly base: bigint;
  readonly origin: AddressOrigin;
  private readonly split: SplitSource | null;
  private readonly opened = new Map<DebugSectionName, DebugSection | null>();
  private readonly findSupplementary: () => ElfFile | null;
  private supplement: { readonly sections: DebugSections | null } | null = null;

  /** `split` for a split object or package: its sections end in .dwo. `findSupplementary` is asked once, when an entry refers to it. */
  constructor(file: ElfFile, findSupplementary: () => ElfFile | null = () => null, split: SplitSource | null = null) {
    this.file = file;
    this.split = split;
    this.base = split?.image.base ?? file.origin;
    this.origin = splitOrigin(this.base);
    this.findSupplementary = findSupplementary;
  }

  /** The sections of the file that dwz moved shared entries into, or null. */
  get supplementary(): DebugSections | null {
    if (this.supplement === null) {
      const file = this.findSupplementary();
      this.supplement = { sections: file === null ? null : new DebugSections(file) };
    }
    return this.supplement.sections;
  }

  /** The section, or null when the file has none (or an empty one). */
  find(name: DebugSectionName): DebugSection | null {
    const known = this.opened.get(name);
    if (known !== undefined) return known;
    const opened = this.split !== null && OF_IMAGE.has(name) ? this.split.image.find(name) : this.open(name);
    const result = opened === null || opened.size === 0 ? null : opened;
    this.opened.set(name, result);
    return result;
  }

  /** The section that something else refers to. Throws DWARF_MALFORMED when the file has none. */
  get(name: DebugSectionName): DebugSection {
    const section = this.find(name);
    if (section !== null) return section;
    throw new UnidbgError('DWARF_MALFORMED', `${this.file.path} refers to a section .${name} that it does not have`, {
      facts: { path: this.file.path, section: name },
    });
  }

  private open(name: DebugSectionName): DebugSection | null {
    const full = this.split === null ? `.${name}` : `.${name}.dwo`;
    const section = this.file.findSection(full);
    if (section === null) return null;
    const window = this.split?.windows?.get(name);
    // In a package only the strings are everybody's.
    if (this.split?.windows != null && window === undefined && name !== 'debug_str') return null;
    return new DebugSection(this.file, section, full, window);
  }
}

/** An address that offsets are counted from, in two halves: subtracting it needs no bigint. */
export interface AddressOrigin {
  readonly high: number;
  readonly low: number;
}

function splitOrigin(origin: bigint): AddressOrigin {
  return { high: Number(origin >> 32n), low: Number(origin & 0xffff_ffffn) };
}

/** Reads a target address of `size` bytes as an offset from `origin`: exact within 2^53, else far outside any image. */
export function readAddressOffset(cursor: Cursor, size: number, origin: AddressOrigin): number {
  if (size === 8) {
    const first = cursor.u32();
    const second = cursor.u32();
    const high = cursor.littleEndian ? second : first;
    const low = cursor.littleEndian ? first : second;
    return (high - origin.high) * 0x1_0000_0000 + (low - origin.low);
  }
  if (size === 4) return -origin.high * 0x1_0000_0000 + (cursor.u32() - origin.low);
  const value = size === 2 ? cursor.u16() : cursor.u8();
  return -origin.high * 0x1_0000_0000 + (value - origin.low);
}

/** Runs a parser of `what`; a read past the end of its bytes becomes DWARF_TRUNCATED. */
export function dwarfErrors<T>(what: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (errorCode(error) !== 'BYTES_OUT_OF_RANGE') throw error;
    throw new UnidbgError('DWARF_TRUNCATED', `${what} is truncated: ${errorMessage(error)}`, { cause: error });
  }
}

/** A DWARF_MALFORMED error that says where. */
export function malformed(what: string, why: string, facts: Record<string, string | number | bigint | null> = {}): UnidbgError {
  return new UnidbgError('DWARF_MALFORMED', `${what}: ${why}`, { facts });
}
