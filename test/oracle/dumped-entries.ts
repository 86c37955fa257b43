// Functions and inlined calls as eu-readelf prints their entries (llvm-dwarfdump 14 runs out of stack on libstdc++'s types):
// evidence that owes nothing to the readers that are compared.

import { programLines } from './program-lines.ts';
import type { WantedAddresses } from './wanted.ts';

/** A unit of .debug_info. */
export interface DumpedUnit {
  readonly offset: number;
  readonly version: number;
  readonly name: string | null;
  readonly directory: string | null;
  /** Offset of its line table; null without one. */
  readonly lineTable: number | null;
  readonly rangesBase: number | null;
}

/** A function or an inlined call with code at a wanted address. */
export interface DumpedEntry {
  readonly offset: number;
  readonly unit: DumpedUnit;
  readonly isInlined: boolean;
  /** The inlined call or function around it. */
  readonly parent: DumpedEntry | null;
  readonly ranges: readonly Range[];
  readonly callFile: number | null;
  readonly callLine: number | null;
  readonly callColumn: number | null;
}

/** Names of an entry: its own or those of what it refers to. */
export interface DumpedName {
  readonly plain: string | null;
  readonly linkage: string | null;
}

type Range = readonly [bigint, bigint];

/** What .debug_info says of the wanted addresses: covering entries by position, innermost last; and names of entries. */
export interface DumpedEntries {
  readonly covering: ReadonlyMap<number, readonly DumpedEntry[]>;
  readonly units: readonly DumpedUnit[];
  readonly nameOf: (offset: number) => DumpedName;
}

/** Reads all entries of `path`. */
export async function dumpEntries(path: string, wanted: WantedAddresses): Promise<DumpedEntries> {
  const ranges = await dumpRanges(path);
  const reader = new EntryReader(wanted, ranges);
  for await (const lines of programLines('eu-readelf', ['-N', '--debug-dump=info', path]))
    for (const line of lines) reader.add(line);
  reader.finish();
  return reader;
}

/** Range lists by their offset, of .debug_ranges and of .debug_rnglists, and the offset tables of the latter by theirs. */
interface RangeLists {
  readonly oldLists: ReadonlyMap<number, RangeList>;
  readonly lists: ReadonlyMap<number, RangeList>;
  readonly tables: ReadonlyMap<number, readonly number[]>;
}

/** gcc lets one list run into the next, which then is its end: a list is a part of what is printed as one. */
interface RangeList {
  readonly ranges: readonly Range[];
  readonly from: number;
}

async function dumpRanges(path: string): Promise<RangeLists> {
  const reader = new RangeReader();
  for await (const lines of programLines('eu-readelf', ['-N', '--debug-dump=ranges', path]))
    for (const line of lines) reader.add(line);
  return reader;
}

class RangeReader implements RangeLists {
  readonly oldLists = new Map<number, RangeList>();
  readonly lists = new Map<number, RangeList>();
  readonly tables = new Map<number, number[]>();
  private ranges: Range[] = [];
  private table: number[] = [];
  /** Offset of the entry that comes next. */
  private offset = 0;
  private start: bigint | null = null;
  /** Of the list that is read. */
  private base = 0n;
  /** The start of an offset pair as its operand says. */
  private pair: bigint | null = null;
  private isOld = false;

  add(line: string): void {
    if (line.startsWith('DWARF section')) this.isOld = line.includes("'.debug_ranges'");
    const list = /^ {2}Offset: ([0-9a-f]+),|^ \[ *([0-9a-f]+)\] /.exec(line);
    if (list !== null) {
      this.offset = Number.parseInt((list[1] ?? list[2])!, 16);
      this.ranges = [];
      this.base = 0n;
      (this.isOld ? this.oldLists : this.lists).set(this.offset, { ranges: this.ranges, from: 0 });
    }
    const entry = /^ {4}(\w+)(?: (?:0x)?([0-9a-f]+)(?:, ([0-9a-f]+))?)?$/.exec(line);
    if (this.isOld && /^ (?:\[ *[0-9a-f]+\]|[ ]+) ?(?:range|base address)\b/.test(line)) this.beginEntry(16);
    else if (entry !== null) this.addEntry(entry[1]!, entry[2], entry[3]);
    else if (/^ +\+?(?:0x)?[0-9a-f]+(?:\.\.)?$/.test(line)) this.addAddress(line.trim());
    else this.addTable(line);
  }

  private addEntry(kind: string, first: string | undefined, second: string | undefined): void {
    this.pair = kind === 'offset_pair' ? BigInt(`0x${first!}`) : null;
    const address = /^(?:base_address|start_end|start_length)$/.test(kind) ? 8 : lebSize(first);
    this.beginEntry(1 + (kind === 'start_end' ? 16 : address + lebSize(second)));
  }

  /** A list may begin at any entry. */
  private beginEntry(size: number): void {
    const lists = this.isOld ? this.oldLists : this.lists;
    if (!lists.has(this.offset)) lists.set(this.offset, { ranges: this.ranges, from: this.ranges.length });
    this.offset += size;
  }

  /** The last address of a range is printed, not the one behind it; a base address stands alone. */
  private addAddress(text: string): void {
    const value = BigInt(`0x${/[0-9a-f]+(?=\.*$)/.exec(text)![0]}`);
    if (text.endsWith('..')) this.start = value;
    else if (this.start === null) this.base = value;
    else {
      // Behind a base_addressx, eu-readelf 0.188 prints pairs as they are.
      const base = this.start === this.pair ? this.base : 0n;
      // An empty range at 0, left by a function that the linker threw away, is printed as one to the last address there is.
      this.ranges.push([this.start + base, BigInt.asUintN(64, value + base + 1n)]);
      this.start = null;
    }
  }

  private addTable(line: string): void {
    const table = /^ {2}Offsets starting at 0x([0-9a-f]+)/.exec(line);
    if (table !== null) this.tables.set(Number.parseInt(table[1]!, 16), (this.table = []));
    const element = /^ {3}\[ *\d+\] 0x([0-9a-f]+)/.exec(line);
    if (element !== null) this.table.push(Number.parseInt(element[1]!, 16));
  }
}

/** Bytes of an unsigned LEB128 printed in hexadecimal; 0 where there is none. */
function lebSize(hexadecimal: string | undefined): number {
  return hexadecimal === undefined ? 0 : Math.max(1, Math.ceil(BigInt(`0x${hexadecimal}`).toString(2).length / 7));
}

/** Names and the reference to look further along. */
interface NameSource extends DumpedName {
  readonly next: number | null;
}

interface OpenEntry {
  readonly depth: number;
  readonly tag: string;
  readonly offset: number;
  readonly attributes: Map<string, string>;
}

const ENTRY = /^ \[ *([0-9a-f]+)\]( +)(\w+) +abbrev: \d+$/;
const ATTRIBUTE = /^ +(\w+) +\((\w+)\) (.*)$/;
const KEPT = new Set(['compile_unit', 'partial_unit', 'skeleton_unit', 'subprogram', 'inlined_subroutine', 'entry_point']);

class EntryReader implements DumpedEntries {
  readonly covering = new Map<number, DumpedEntry[]>();
  readonly units: DumpedUnit[] = [];
  private readonly wanted: WantedAddresses;
  private readonly rangeLists: RangeLists;
  private readonly names = new Map<number, NameSource>();
  private unit: DumpedUnit | null = null;
  /** Of the unit whose header has been printed. */
  private version = 0;
  private open: OpenEntry | null = null;
  /** Type units (.debug_types) count their offsets from 0 too, and describe no code. */
  private isOfTypes = false;
  /** Functions and calls around the entry that comes next, with their depths. */
  private readonly around: { readonly depth: number; readonly entry: DumpedEntry }[] = [];

  constructor(wanted: WantedAddresses, rangeLists: RangeLists) {
    this.wanted = wanted;
    this.rangeLists = rangeLists;
  }

  readonly nameOf = (offset: number): DumpedName => {
    let plain: string | null = null;
    let at: number | null = offset;
    for (let hops = 0; at !== null && hops < 8; hops += 1) {
      const source: NameSource | undefined = this.names.get(at);
      if (source === undefined) break;
      plain ??= source.plain;
      if (source.linkage !== null) return { plain, linkage: source.linkage };
      at = source.next;
    }
    return { plain, linkage: null };
  };

  add(line: string): void {
    if (line.startsWith('DWARF section')) {
      this.finish();
      this.isOfTypes = line.includes("'.debug_types'");
    }
    if (this.isOfTypes) return;
    if (line.startsWith(' [')) {
      const match = ENTRY.exec(line);
      if (match === null) return;
      this.finish();
      const [, offset, indent, tag] = match;
      if (KEPT.has(tag!)) {
        this.open = { depth: indent!.length, tag: tag!, offset: Number.parseInt(offset!, 16), attributes: new Map() };
      } else this.leave(indent!.length);
    } else if (line.startsWith(' Version:')) this.version = Number(/\d+/.exec(line)![0]);
    else if (this.open !== null) {
      const match = ATTRIBUTE.exec(line);
      if (match !== null) this.open.attributes.set(match[1]!, `${match[2]!} ${match[3]!}`);
    }
  }

  /** Takes the entry whose attributes have been read. */
  finish(): void {
    const { open } = this;
    this.open = null;
    if (open === null) return;
    this.leave(open.depth);
    if (open.tag.endsWith('unit')) this.startUnit(open);
    else this.addEntry(open);
  }

  private leave(depth: number): void {
    while (this.around.length > 0 && this.around.at(-1)!.depth >= depth) this.around.pop();
  }

  private startUnit({ offset, attributes }: OpenEntry): void {
    this.unit = {
      offset,
      version: this.version,
      name: textOf(attributes.get('name')),
      directory: textOf(attributes.get('comp_dir')),
      lineTable: numberOf(attributes.get('stmt_list')),
      rangesBase: referenceOf(attributes.get('rnglists_base')),
    };
    this.units.push(this.unit);
  }

  private addEntry({ depth, tag, offset, attributes }: OpenEntry): void {
    const { unit } = this;
    if (unit === null) return;
    const next = referenceOf(attributes.get('abstract_origin')) ?? referenceOf(attributes.get('specification'));
    const linkage = textOf(attributes.get('linkage_name') ?? attributes.get('MIPS_linkage_name'));
    this.names.set(offset, { plain: textOf(attributes.get('name')), linkage, next });
    const entry: DumpedEntry = {
      ...{ offset, unit, isInlined: tag === 'inlined_subroutine', parent: this.around.at(-1)?.entry ?? null },
      ranges: this.rangesOf(attributes, unit),
      callFile: fileOf(attributes.get('call_file')),
      callLine: numberOf(attributes.get('call_line')),
      callColumn: numberOf(attributes.get('call_column')),
    };
    this.around.push({ depth, entry });
    for (const [start, end] of entry.ranges) {
      const [from, to] = this.wanted.within(start, end);
      for (let at = from; at < to; at += 1) {
        const entries = this.covering.get(at) ?? [];
        entries.push(entry);
        this.covering.set(at, entries);
      }
    }
  }

  private rangesOf(attributes: ReadonlyMap<string, string>, unit: DumpedUnit): readonly Range[] {
    const list = attributes.get('ranges');
    if (list !== undefined) {
      const number = Number.parseInt(/\[ *([0-9a-f]+)\]/.exec(list)?.[1] ?? '', 16);
      const at = list.startsWith('rnglistx') ? this.listAt(unit, number) : number;
      const part = (unit.version < 5 ? this.rangeLists.oldLists : this.rangeLists.lists).get(at);
      return part === undefined ? [] : part.ranges.slice(part.from);
    }
    const low = addressOf(attributes.get('low_pc'));
    const high = addressOf(attributes.get('high_pc'));
    return low === null || high === null || high <= low ? [] : [[low, high]];
  }

  private listAt(unit: DumpedUnit, index: number): number {
    const bases = this.rangeLists.tables;
    const base = unit.rangesBase ?? [...bases.keys()][0] ?? 0;
    return base + (bases.get(base)?.[index] ?? Number.NaN);
  }
}

function textOf(value: string | undefined): string | null {
  return value === undefined ? null : (/^\w+ "(.*)"$/.exec(value)?.[1] ?? null);
}

function numberOf(value: string | undefined): number | null {
  const digits = /^\w+ \[? *(0x[0-9a-f]+|\d+)/.exec(value ?? '')?.[1];
  return digits === undefined ? null : Number(digits);
}

/** Of `form name (number)`, the number. */
function fileOf(value: string | undefined): number | null {
  const digits = /\((\d+)\)$/.exec(value ?? '')?.[1];
  return digits === undefined ? null : Number(digits);
}

function referenceOf(value: string | undefined): number | null {
  const digits = /\[ *([0-9a-f]+)\]/.exec(value ?? '')?.[1];
  return digits === undefined ? null : Number.parseInt(digits, 16);
}

function addressOf(value: string | undefined): bigint | null {
  const digits = /\+?(0x[0-9a-f]{8,}|0{8,})\)?(?: <.*>)?$/.exec(value ?? '')?.[1];
  return digits === undefined ? null : BigInt(digits);
}
