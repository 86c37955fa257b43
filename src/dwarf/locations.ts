// From an address to functions, lines and inlined calls: joins a unit's functions, inline tree and line table.

import type { ElfFile } from '../elf/file.ts';
import { UnidbgError } from '../model/error.ts';
import { LruCache } from './cache.ts';
import { type CodeMap, codeMapOf } from './code-map.ts';
import { type DebugCompanions, NO_COMPANIONS } from './companions.ts';
import type { FunctionPiece } from './functions.ts';
import { DebugInfo, type EntryKey } from './info.ts';
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
    const table = this.attempt(() => this.lineTableOf(listed));
    const row = this.attempt(() => table?.find(address) ?? null);
    const unit = this.info.fullUnit(listed);
    const piece = this.attempt(() => this.info.functionAt(unit, address));
    if (row === null && piece === null) return null;
    let { file, line, column } = row ?? NOWHERE;
    if (piece === null) return [{ function: null, isLinkerName: false, entry: null, file, line, column, inlined: false }];
    const { entry } = piece;
    const frames: DwarfFrame[] = [];
    for (const call of this.inlinedAt(unit, piece, address)) {
      const name = this.attempt(() => (call.origin === null ? null : this.info.nameOfReference(unit, call.origin)));
      frames.push({
        function: name?.name ?? null,
        isLinkerName: name?.isLinkerName === true,
        entry,
        file,
        line,
        column,
        inlined: true,
      });
      const { callFile } = call;
      file = callFile === null ? null : this.attempt(() => table?.files.path(callFile) ?? null);
      line = call.callLine;
      column = call.callColumn;
    }
    const name = this.attempt(() => this.info.nameAt(unit, piece.die));
    frames.push({
      function: name?.name ?? null,
      isLinkerName: name?.isLinkerName === true,
      entry,
      file,
      line,
      column,
      inlined: false,
    });
    return frames;
  }

  private inlinedAt(unit: Unit, piece: FunctionPiece, address: number): readonly InlinedCall[] {
    const key = this.info.keyOf(unit, piece.die);
    const tree = this.attempt(() => this.inlineTrees.get(key, () => readInlineTree(unit, piece)));
    return tree?.find(address) ?? [];
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

const NOWHERE = { file: null, line: null, column: null } as const;

function lineUnitOf(unit: Unit): LineUnit {
  return { addressSize: unit.encoding.addressSize, directory: unit.root.directory, name: unit.root.name };
}

/** Whether a path is `wanted` or ends in `/wanted`. */
export function pathMatcher(wanted: string): (path: string) => boolean {
  const suffix = `/${wanted.replace(/^(\.\/)+/, '')}`;
  return (path) => path === wanted || `/${path}`.endsWith(suffix);
}
