// From an address to functions, lines and inlined calls: joins a unit's functions, inline tree and line table.

import type { ElfFile } from '../elf/file.ts';
import { UnidbgError } from '../model/error.ts';
import { LruCache } from './cache.ts';
import { type CodeMap, codeMapOf } from './code-map.ts';
import { UnitFunctions } from './functions.ts';
import { DebugInfo, type Die, type EntryName } from './info.ts';
import { type InlinedCall, InlineTree, readInlineTree } from './inlines.ts';
import { decodeLineProgram, type LineProgram, type LineUnit, readLineTable } from './line.ts';
import type { LineTable } from './line-table.ts';
import { DebugSections } from './section.ts';
import { DwarfTypes } from './types.ts';
import type { Unit } from './unit.ts';

/** One activation at an address. `function` is the linker's name where DWARF has one (`isLinkerName`). */
export interface DwarfFrame {
  readonly function: string | null;
  readonly isLinkerName: boolean;
  /** Entry point of the outer, real function as an offset from the image's origin; null in a cold part and without a function. */
  readonly entry: number | null;
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
  readonly inlined: boolean;
}

const LINE_TABLE_BYTES = 64 * 1024 * 1024;
const INLINE_TREE_BYTES = 32 * 1024 * 1024;
const FUNCTION_BYTES = 64 * 1024 * 1024;
const NAMES = 65_536;

/** The DWARF of one image. Look-ups never throw for damaged debug info: they say less, and `damage` says why. */
export class DwarfLocations {
  readonly info: DebugInfo;
  readonly sections: DebugSections;
  readonly types: DwarfTypes;
  private readonly code: CodeMap;
  private readonly lineTables = new LruCache<number, LineTable>(LINE_TABLE_BYTES, (table) => table.cost);
  private readonly functions = new LruCache<number, UnitFunctions>(FUNCTION_BYTES, (functions) => functions.cost);
  private readonly inlineTrees = new LruCache<number, InlineTree>(INLINE_TREE_BYTES, (tree) => tree.cost);
  /** Names by the offset of the function or inlined call they are of; null is remembered as a name of nothing. */
  private readonly names = new LruCache<number, { readonly name: EntryName | null }>(NAMES);
  private readonly complaints = new Map<string, UnidbgError>();

  constructor(file: ElfFile) {
    this.sections = new DebugSections(file);
    this.code = codeMapOf(file);
    const complain = (error: UnidbgError): void => {
      this.complain(error);
    };
    this.info = new DebugInfo(this.sections, this.code, complain);
    this.types = new DwarfTypes(this.info, complain);
  }

  /** What could not be read so far, each thing once. */
  get damage(): readonly UnidbgError[] {
    return [...this.complaints.values()];
  }

  /** What is at `address` (an offset from the image's origin), innermost call first; null when no unit covers it. */
  find(address: number): readonly DwarfFrame[] | null {
    for (const unit of this.info.unitsAt(address)) {
      const frames = this.findIn(unit, address);
      if (frames !== null) return frames;
    }
    return null;
  }

  /** Start of the first row of `line` in a file whose path ends in `path`, else of the next line that has code; null when none has. */
  findLine(path: string, line: number): number | null {
    const matches = pathMatcher(path);
    let best: { address: number; line: number } | null = null;
    for (const unit of this.info.allUnits()) {
      const found = this.attempt(() => this.findLineIn(unit, matches, line));
      if (found === null || (best !== null && found.line > best.line)) continue;
      if (best === null || found.line < best.line || found.address < best.address) best = found;
    }
    return best?.address ?? null;
  }

  private findIn(unit: Unit, address: number): DwarfFrame[] | null {
    const row = this.attempt(() => this.lineTableOf(unit)?.find(address) ?? null);
    const piece = this.attempt(() => this.functionsOf(unit).find(address));
    if (row === null && piece === null) return null;
    let place = { file: row?.file ?? null, line: row?.line ?? null, column: row?.column ?? null };
    if (piece === null) return [{ function: null, isLinkerName: false, entry: null, ...place, inlined: false }];
    const frames: DwarfFrame[] = [];
    for (const call of this.inlinedAt(unit, piece.die, address)) {
      const name = this.nameOf(call.die, () => (call.origin === null ? null : this.info.follow(unit, call.origin)));
      frames.push({ ...functionOf(name), entry: piece.entry, ...place, inlined: true });
      place = { file: this.callFile(unit, call), line: call.callLine, column: call.callColumn };
    }
    const name = this.nameOf(piece.die, () => this.info.findEntryIn(unit, piece.die));
    frames.push({ ...functionOf(name), entry: piece.entry, ...place, inlined: false });
    return frames;
  }

  private inlinedAt(unit: Unit, functionOffset: number, address: number): readonly InlinedCall[] {
    const tree = this.attempt(() =>
      this.inlineTrees.get(functionOffset, () => {
        const die = this.info.findEntryIn(unit, functionOffset);
        return die === null ? new InlineTree([], []) : readInlineTree(die);
      }),
    );
    return tree?.find(address) ?? [];
  }

  private nameOf(offset: number, find: () => Die | null): EntryName | null {
    const named = this.attempt(() =>
      this.names.get(offset, () => {
        const die = find();
        return { name: die === null ? null : this.info.nameOf(die) };
      }),
    );
    return named?.name ?? null;
  }

  private callFile(unit: Unit, call: InlinedCall): string | null {
    const { callFile } = call;
    return callFile === null ? null : this.attempt(() => this.lineTableOf(unit)?.files.path(callFile) ?? null);
  }

  private functionsOf(unit: Unit): UnitFunctions {
    return this.functions.get(unit.header.offset, () => new UnitFunctions(unit, this.code.isCode));
  }

  private lineTableOf(unit: Unit): LineTable | null {
    const { lineOffset } = unit.root;
    if (lineOffset === null || this.sections.find('debug_line') === null) return null;
    return this.lineTables.get(lineOffset, () => readLineTable(this.sections, lineOffset, lineUnitOf(unit), this.code.isCode));
  }

  private lineProgramOf(unit: Unit): LineProgram | null {
    const { lineOffset } = unit.root;
    return lineOffset === null ? null : decodeLineProgram(this.sections, lineOffset, lineUnitOf(unit));
  }

  private findLineIn(unit: Unit, matches: (path: string) => boolean, line: number): { address: number; line: number } | null {
    const files = this.lineProgramOf(unit)?.files.numbersOf(matches) ?? [];
    return files.length === 0 ? null : (this.lineTableOf(unit)?.findLine(new Set(files), line) ?? null);
  }

  private attempt<T>(body: () => T): T | null {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      this.complain(error);
      return null;
    }
  }

  private complain(error: UnidbgError): void {
    if (this.complaints.size < MAX_COMPLAINTS) this.complaints.set(error.message, error);
  }
}

const MAX_COMPLAINTS = 64;

function functionOf(name: EntryName | null): Pick<DwarfFrame, 'function' | 'isLinkerName'> {
  return { function: name?.name ?? null, isLinkerName: name?.isLinkerName ?? false };
}

function lineUnitOf(unit: Unit): LineUnit {
  return { addressSize: unit.encoding.addressSize, directory: unit.root.directory, name: unit.root.name };
}

/** Whether a path is `wanted` or ends in `/wanted`. */
export function pathMatcher(wanted: string): (path: string) => boolean {
  const suffix = `/${wanted.replace(/^(\.\/)+/, '')}`;
  return (path) => path === wanted || `/${path}`.endsWith(suffix);
}
