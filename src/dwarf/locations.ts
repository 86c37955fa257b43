// From an address to functions, lines and inlined calls: joins a unit's functions, inline tree and line table.

import type { ElfFile } from '../elf/file.ts';
import { UnidbgError } from '../model/error.ts';
import { LruCache } from './cache.ts';
import { type CodeMap, codeMapOf } from './code-map.ts';
import { type DebugCompanions, NO_COMPANIONS } from './companions.ts';
import type { FunctionPiece } from './functions.ts';
import { DebugInfo, type EntryKey, type EntryName } from './info.ts';
import { type InlinedCall, type InlineTree, readInlineTree } from './inlines.ts';
import { decodeLineProgram, type LineProgram, type LineUnit, readLineTable, runLineProgram } from './line.ts';
import { LineFinder, type LineTable } from './line-table.ts';
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

const LINE_TABLE_BYTES = 128 * 1024 * 1024;
const INLINE_TREE_BYTES = 96 * 1024 * 1024;

/** The DWARF of one image. Look-ups never throw for damaged debug info: they say less, and `damage` says why. */
export class DwarfLocations {
  readonly info: DebugInfo;
  readonly sections: DebugSections;
  readonly types: DwarfTypes;
  private readonly code: CodeMap;
  private readonly lineTables = new LruCache<number, LineTable>(LINE_TABLE_BYTES, (table) => table.cost);
  private readonly inlineTrees = new LruCache<EntryKey, InlineTree>(INLINE_TREE_BYTES, (tree) => tree.cost);
  private readonly complaints = new Map<string, UnidbgError>();

  constructor(file: ElfFile, companions: DebugCompanions = NO_COMPANIONS) {
    this.sections = new DebugSections(file, companions.supplementary);
    this.code = codeMapOf(file);
    const complain = (error: UnidbgError): void => {
      this.complain(error);
    };
    this.info = new DebugInfo(this.sections, this.code, complain, companions);
    this.types = new DwarfTypes(this.info, complain);
  }

  /** What could not be read so far, each thing once. */
  get damage(): readonly UnidbgError[] {
    return [...this.complaints.values()];
  }

  /** What is at `address` (an offset from the image's origin), innermost call first; null when no unit covers it. */
  find(address: number): readonly DwarfFrame[] | null {
    const likeliest = this.info.likeliestUnitAt(address);
    const found = likeliest === null ? null : this.findIn(likeliest, address);
    if (found !== null) return found;
    for (const unit of this.info.unitsAt(address)) {
      const frames = unit === likeliest ? null : this.findIn(unit, address);
      if (frames !== null) return frames;
    }
    return null;
  }

  /** Start of the first row of `line` in a file whose path ends in `path`, else of the next line that has code; null when none has. */
  findLine(path: string, line: number): number | null {
    const matches = pathMatcher(path);
    let best: { address: number; line: number } | null = null;
    for (const unit of this.info.allUnits()) {
      const found = this.attempt(() => this.findLineIn(unit.skeleton ?? unit, matches, line));
      if (found === null || (best !== null && found.line > best.line)) continue;
      if (best === null || found.line < best.line || found.address < best.address) best = found;
    }
    return best?.address ?? null;
  }

  /** `listed` is the unit that covers the address: line numbers are its own, functions those of the unit it may stand for. */
  private findIn(listed: Unit, address: number): DwarfFrame[] | null {
    const table = this.lineTableOf(listed);
    const row = table === null ? -1 : table.findRow(address);
    const unit = this.info.fullUnit(listed);
    const piece = this.attempt(() => this.info.functionAt(unit, address));
    if (row < 0 && piece === null) return null;
    const frames: DwarfFrame[] = [];
    const entry = piece?.entry ?? null;
    let [file, line, column]: [string | null, number | null, number | null] = [null, null, null];
    if (table !== null && row >= 0) {
      file = this.pathOf(table, table.fileNumberAt(row));
      line = table.lineAt(row);
      column = table.columnAt(row);
    }
    const push = (name: EntryName | null, inlined: boolean): void => {
      frames.push({
        function: name?.name ?? null,
        isLinkerName: name?.isLinkerName === true,
        entry,
        file,
        line,
        column,
        inlined,
      });
    };
    if (piece === null) {
      push(null, false);
      return frames;
    }
    for (const { origin, callFile, callLine, callColumn } of this.inlinedAt(unit, piece, address)) {
      push(
        this.attempt(() => (origin === null ? null : this.info.nameOfReference(unit, origin))),
        true,
      );
      file = table === null || callFile === null ? null : this.pathOf(table, callFile);
      line = callLine;
      column = callColumn;
    }
    push(
      this.attempt(() => this.info.nameAt(unit, piece.die)),
      false,
    );
    return frames;
  }

  private inlinedAt(unit: Unit, piece: FunctionPiece, address: number): readonly InlinedCall[] {
    const key = this.info.keyOf(unit, piece.die);
    const tree = this.inlineTrees.find(key) ?? this.attempt(() => this.inlineTrees.get(key, () => readInlineTree(unit, piece)));
    return tree?.find(address) ?? [];
  }

  private lineTableOf(unit: Unit): LineTable | null {
    const { lineOffset } = unit.root;
    if (lineOffset === null || this.sections.find('debug_line') === null) return null;
    const read = (): LineTable => readLineTable(this.sections, lineOffset, lineUnitOf(unit), this.code.isCode);
    return this.lineTables.find(lineOffset) ?? this.attempt(() => this.lineTables.get(lineOffset, read));
  }

  private pathOf({ files }: LineTable, number: number): string | null {
    const known = files.knownPath(number);
    return known === undefined ? this.attempt(() => files.path(number)) : known;
  }

  private lineProgramOf(unit: Unit): LineProgram | null {
    const { lineOffset } = unit.root;
    return lineOffset === null ? null : decodeLineProgram(this.sections, lineOffset, lineUnitOf(unit));
  }

  private findLineIn(unit: Unit, matches: (path: string) => boolean, line: number): { address: number; line: number } | null {
    const program = this.lineProgramOf(unit);
    const files = program?.files.numbersOf(matches) ?? [];
    if (program === null || files.length === 0) return null;
    const finder = new LineFinder(new Set(files), line, this.code.isCode);
    runLineProgram(program, finder);
    return finder.found;
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

function lineUnitOf(unit: Unit): LineUnit {
  return { addressSize: unit.encoding.addressSize, directory: unit.root.directory, name: unit.root.name };
}

/** Whether a path is `wanted` or ends in `/wanted`. */
export function pathMatcher(wanted: string): (path: string) => boolean {
  const suffix = `/${wanted.replace(/^(\.\/)+/, '')}`;
  return (path) => path === wanted || `/${path}`.endsWith(suffix);
}
