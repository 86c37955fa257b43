// QEMU's migration stream, as far as RAM goes (migration/savevm.c, migration/ram.c, version 3 of the stream, 4 of the section `ram`): which
// page of guest RAM lies where in the file. One pass over the headers of pages; page contents are skipped. Big-endian throughout.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import { errorCode, UnidbgError } from '../../model/error.ts';
import { malformed } from './core-tables.ts';
import { MAX_FRAMES } from './frame-table.ts';
import { BigEndianReader } from './migration-reader.ts';

/** `QEVM`. */
export const STREAM_MAGIC = 0x5145564d;

const PAGE_BYTES = 4096;
const SECTION = {
  eof: 0,
  start: 1,
  part: 2,
  end: 3,
  full: 4,
  subsection: 5,
  description: 6,
  configuration: 7,
  command: 8,
  footer: 0x7e,
};
const FLAG = { zero: 2, blocks: 4, page: 8, eos: 0x10, same: 0x20, xbzrle: 0x40, hook: 0x80, compressed: 0x100, multifd: 0x200 };
const MAX_BLOCKS = 4096;
const MAX_NAME_BYTES = 4096;

/** A block of RAM: the guest's own, or of a device. */
export interface RamBlock {
  readonly name: string;
  readonly bytes: number;
}

/** Finds the pages of the guest's RAM; `read` fills a part of one page of it, false where the stream has not got it. */
export interface RamPages {
  readonly read: (page: number, offset: number, into: Uint8Array) => boolean;
}

/** What a stream holds. */
export interface MigrationStream {
  /** `pc-q35-7.2`; empty where the stream does not say. */
  readonly machineName: string;
  readonly blocks: readonly RamBlock[];
  /** The largest block. */
  readonly main: RamBlock;
  readonly pages: RamPages;
  /** Position of what follows RAM: the devices' state. */
  readonly devicesAt: number;
  /** The stream ends before its end. */
  readonly isCut: boolean;
}

/** Indexes the stream that is all of `source`. Throws DUMP_MALFORMED, DUMP_UNSUPPORTED, FILE_UNREADABLE. */
export function readMigrationStream(source: ByteSource): MigrationStream {
  const parser = new StreamParser(source);
  let isCut = false;
  try {
    parser.parse();
  } catch (error) {
    if (errorCode(error) !== 'BYTES_OUT_OF_RANGE') throw error;
    isCut = true;
  }
  return parser.finish(isCut);
}

class StreamParser {
  private readonly source: ByteSource;
  private readonly reader: BigEndianReader;
  private machineName = '';
  private capabilities: readonly string[] = [];
  private blocks: readonly RamBlock[] = [];
  private main: RamBlock | null = null;
  private index: PageIndex | null = null;
  private mapped: RamPages | null = null;
  private block = '';
  private readonly ramSections = new Set<number>();
  private devicesAt = 0;

  constructor(source: ByteSource) {
    this.source = source;
    this.reader = new BigEndianReader(source);
  }

  /** Up to the first section that is not RAM's. */
  parse(): void {
    const { reader } = this;
    if (reader.u32() !== STREAM_MAGIC) throw malformed(this.source, 'no migration stream: it does not begin with QEVM');
    const version = reader.u32();
    if (version !== 3) throw this.unsupported(`version ${version} of the stream; 3 is read`);
    while (this.parseSection());
  }

  finish(isCut: boolean): MigrationStream {
    const { main, blocks, machineName, devicesAt } = this;
    const pages = this.mapped ?? this.index;
    if (main === null || pages === null) {
      throw malformed(
        this.source,
        "a migration stream without the guest's RAM: it is cut off, or its memory is shared and lies elsewhere",
      );
    }
    return { machineName, blocks, main, pages, devicesAt, isCut };
  }

  private parseSection(): boolean {
    const { reader } = this;
    const start = reader.position;
    const type = reader.u8();
    switch (type) {
      case SECTION.configuration:
        this.parseConfiguration();
        return true;
      case SECTION.subsection:
        this.parseConfigurationPart();
        return true;
      case SECTION.command:
        reader.skip(2);
        reader.skip(reader.u16());
        return true;
      case SECTION.footer:
        reader.skip(4);
        return true;
      case SECTION.start:
      case SECTION.full: {
        const id = reader.u32();
        const name = reader.text(reader.u8());
        reader.skip(4);
        const version = reader.u32();
        if (name !== 'ram') return this.endRam(start, type, name);
        if (version !== 4) throw this.unsupported(`version ${version} of its RAM; 4 is read`);
        this.ramSections.add(id);
        this.parseRam();
        return true;
      }
      case SECTION.part:
      case SECTION.end:
        if (!this.ramSections.has(reader.u32())) return this.endRam(start, type, 'a section that nobody began');
        this.parseRam();
        return true;
      case SECTION.eof:
      case SECTION.description:
        this.devicesAt = start;
        return false;
      default:
        throw malformed(this.source, `a section of unknown type ${type} at offset ${start}`);
    }
  }

  /** Sections of devices have no length; what is sent while the guest runs is RAM's and that of disks. */
  private endRam(start: number, type: number, name: string): false {
    if (type !== SECTION.full)
      throw this.unsupported(`its section ${name} is sent beside RAM and has no length: a migration of RAM alone is read`);
    this.devicesAt = start;
    return false;
  }

  private parseConfiguration(): void {
    const length = this.reader.u32();
    if (length > MAX_NAME_BYTES) throw malformed(this.source, `a machine name of ${length} bytes`);
    this.machineName = this.reader.text(length);
  }

  /** vmstate_configuration's subsections: target-page-bits, capabilities, uuid. */
  private parseConfigurationPart(): void {
    const { reader } = this;
    const name = reader.text(reader.u8());
    reader.skip(4);
    if (name === 'configuration/target-page-bits') {
      const bits = reader.u32();
      if (bits !== 12) throw this.unsupported(`pages of 2^${bits} bytes; 4 KiB pages are read`);
    } else if (name === 'configuration/capabilities') {
      const count = Math.min(reader.u32(), MAX_NAME_BYTES);
      this.capabilities = Array.from({ length: count }, () => reader.text(reader.u8()));
      if (this.capabilities.includes('x-ignore-shared'))
        throw this.unsupported('x-ignore-shared: RAM is not in the file but in the one that backs it');
    } else if (name === 'configuration/uuid') reader.skip(16);
    else throw this.unsupported(`its part ${name} is not known`);
  }

  private parseRam(): void {
    const { reader } = this;
    while (true) {
      const at = reader.position;
      const [high, low] = [reader.u32(), reader.u32()];
      const flags = low & 0xfff;
      if ((flags & FLAG.eos) !== 0) return;
      const page = (high * 2 ** 32 + (low - flags)) / PAGE_BYTES;
      if ((flags & FLAG.blocks) !== 0) this.parseBlocks(page * PAGE_BYTES);
      else if ((flags & (FLAG.zero | FLAG.page)) !== 0) this.parsePage(flags, page);
      else throw this.strangePage(flags, at);
    }
  }

  private strangePage(flags: number, at: number): UnidbgError {
    if ((flags & FLAG.xbzrle) !== 0)
      return this.unsupported('xbzrle: pages are sent as changes; migrate without that capability');
    if ((flags & FLAG.compressed) !== 0) return this.unsupported('compressed pages; migrate without the capability `compress`');
    if ((flags & FLAG.multifd) !== 0)
      return this.unsupported('multifd: pages go through other channels; migrate without that capability');
    if ((flags & FLAG.hook) !== 0) return this.unsupported('RDMA: pages are not in the stream');
    return malformed(this.source, `a page with unknown flags 0x${flags.toString(16)} at offset ${at}`);
  }

  private parsePage(flags: number, page: number): void {
    const { reader } = this;
    if ((flags & FLAG.same) === 0) this.block = reader.text(reader.u8());
    const isMain = this.block === this.main?.name;
    if ((flags & FLAG.zero) !== 0) {
      const fill = reader.u8();
      if (isMain) this.index?.setFilled(page, fill);
    } else {
      const position = reader.position;
      reader.skip(PAGE_BYTES);
      if (isMain) this.index?.setStored(page, position);
    }
  }

  private parseBlocks(total: number): void {
    const { reader } = this;
    if (this.main !== null) throw malformed(this.source, 'the blocks of its RAM are listed twice');
    const blocks: RamBlock[] = [];
    const maps = new Map<RamBlock, RamPages>();
    for (let listed = 0; listed < total; ) {
      if (blocks.length >= MAX_BLOCKS) throw malformed(this.source, `more than ${MAX_BLOCKS} blocks of RAM`);
      const block = { name: reader.text(reader.u8()), bytes: reader.u64() };
      blocks.push(block);
      listed += block.bytes;
      // An empty block would make this loop as long as the file.
      if (block.bytes === 0) listed += 1;
      if (this.capabilities.includes('mapped-ram')) maps.set(block, this.parseMap(block));
    }
    const main = blocks.reduce<RamBlock | null>(
      (most, block) => (most === null || block.bytes > most.bytes ? block : most),
      null,
    );
    if (main === null) throw malformed(this.source, 'no block of RAM is listed');
    if (main.bytes / PAGE_BYTES > MAX_FRAMES)
      throw this.unsupported(`${main.bytes} bytes of RAM; up to ${MAX_FRAMES * PAGE_BYTES} are read`);
    this.blocks = blocks;
    this.main = main;
    this.mapped = maps.get(main) ?? null;
    // Every page is sent once at least, 9 bytes or more each: a file of that size cannot tell of more.
    const pages = Math.min(Math.ceil(main.bytes / PAGE_BYTES), Math.ceil(this.source.size / 8));
    this.index = this.mapped === null ? new PageIndex(this.source, pages) : null;
  }

  /** mapped-ram (QEMU 9, docs/devel/migration/mapped-ram.rst): each page has its place in the file, a bitmap says which are there. */
  private parseMap({ name, bytes }: RamBlock): RamPages {
    const { reader, source } = this;
    const version = reader.u32();
    const pageBytes = reader.u64();
    const [bitmapAt, pagesAt] = [reader.u64(), reader.u64()];
    if (version !== 1 || pageBytes !== PAGE_BYTES)
      throw this.unsupported(`version ${version} of mapped-ram with pages of ${pageBytes} bytes`);
    if (pagesAt < reader.position || !(pagesAt + bytes <= Number.MAX_SAFE_INTEGER))
      throw malformed(source, `the pages of RAM block ${name} lie at ${pagesAt}`);
    const count = Math.ceil(bytes / PAGE_BYTES);
    if (count > MAX_FRAMES)
      throw this.unsupported(`RAM block ${name} of ${bytes} bytes; up to ${MAX_FRAMES * PAGE_BYTES} are read`);
    const bitmap = readExactly(source, bitmapAt, Math.ceil(count / 8));
    if (bitmap === null)
      throw malformed(
        source,
        `the bitmap of RAM block ${name} (${Math.ceil(count / 8)} bytes at offset ${bitmapAt}) is not in the file`,
      );
    reader.seek(pagesAt + bytes);
    return {
      read: (page, offset, into) => {
        if (page >= count) return false;
        if (((bitmap[page >> 3] ?? 0) & (1 << (page & 7))) !== 0)
          return source.read(pagesAt + page * PAGE_BYTES + offset, into) === into.length;
        into.fill(0);
        return true;
      },
    };
  }

  private unsupported(what: string): UnidbgError {
    return new UnidbgError('DUMP_UNSUPPORTED', `${this.source.name}: ${what}`, { facts: { path: this.source.name } });
  }
}

/** Where each page of a block was last sent: its position, or −1 − the byte that fills it; 0 = not at all. */
class PageIndex implements RamPages {
  private readonly source: ByteSource;
  private readonly places: Float64Array;

  constructor(source: ByteSource, pages: number) {
    this.source = source;
    this.places = new Float64Array(pages);
  }

  setFilled(page: number, fill: number): void {
    if (page < this.places.length) this.places[page] = -1 - fill;
  }

  setStored(page: number, position: number): void {
    if (page < this.places.length) this.places[page] = position;
  }

  read(page: number, offset: number, into: Uint8Array): boolean {
    const place = this.places[page] ?? 0;
    if (place > 0) return this.source.read(place + offset, into) === into.length;
    if (place < 0) into.fill(-1 - place);
    return place < 0;
  }
}
