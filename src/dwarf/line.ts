// Line number programs (.debug_line; DWARF 5 section 6.2, and 6.2 of versions 2 to 4). The header and the state machine;
// rows go to line-table.ts, file names to file-names.ts.

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import { LNE, LNS } from './constants.ts';
import { decodeFileTable, decodeFileTableV5, type FileTable } from './file-names.ts';
import { type Encoding, readOffset } from './forms.ts';
import { type LineTable, type RowSink, TableBuilder } from './line-table.ts';
import { type AddressOrigin, type DebugSections, dwarfErrors, malformed, readAddressOffset } from './section.ts';
import { readInitialLength } from './unit-header.ts';

/** What introduces the opcodes of LNE. */
const EXTENDED = 0;

/** A line program's header, with a cursor over the program's instructions. */
export interface LineProgram {
  /** Of the header in .debug_line. */
  readonly offset: number;
  /** What addresses are counted from. */
  readonly origin: AddressOrigin;
  readonly encoding: Encoding;
  readonly minimumInstructionLength: number;
  readonly maximumOperations: number;
  readonly defaultIsStatement: boolean;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  readonly operandCounts: Uint8Array;
  readonly files: FileTable;
  readonly instructions: Cursor;
}

/** What a line program does not say itself before version 5: the unit's own directory, name and address size. */
export interface LineUnit {
  readonly addressSize: number;
  readonly directory: string | null;
  readonly name: string | null;
}

/** Decodes the header of the program at `offset` of .debug_line. Throws DWARF_TRUNCATED, DWARF_MALFORMED, DWARF_UNSUPPORTED, DWARF_UNKNOWN_FORM. */
export function decodeLineProgram(sections: DebugSections, offset: number, unit: LineUnit): LineProgram {
  const section = sections.get('debug_line');
  const what = `line program at offset 0x${offset.toString(16)} of .debug_line`;
  return dwarfErrors(what, () => {
    const start = section.cursor(offset, Math.max(0, Math.min(12, section.size - offset)));
    const { length, offsetSize } = readInitialLength(start, () => what);
    const cursor = section.cursor(offset + start.offset, length);
    const version = cursor.u16();
    if (version < 2 || version > 5) {
      throw new UnidbgError('DWARF_UNSUPPORTED', `${what}: version ${version} (2 to 5 are read)`, { facts: { version, offset } });
    }
    const addressSize = version >= 5 ? cursor.u8() : unit.addressSize;
    if (version >= 5) cursor.skip(1);
    const encoding: Encoding = { version, offsetSize, addressSize };
    const headerLength = readOffset(cursor, encoding);
    const programStart = cursor.offset + headerLength;
    const minimumInstructionLength = cursor.u8();
    const maximumOperations = version >= 4 ? Math.max(1, cursor.u8()) : 1;
    const defaultIsStatement = cursor.u8() !== 0;
    const lineBase = cursor.i8();
    const lineRange = cursor.u8();
    const opcodeBase = cursor.u8();
    const operandCounts = cursor.take(Math.max(0, opcodeBase - 1));
    const files =
      version >= 5 ? decodeFileTableV5(cursor, { sections, encoding }) : decodeFileTable(cursor, unit.directory, unit.name);
    cursor.seek(programStart);
    return {
      ...{ encoding, minimumInstructionLength, maximumOperations, defaultIsStatement, lineBase, lineRange },
      ...{ opcodeBase, operandCounts, files, instructions: cursor, offset, origin: sections.origin },
    };
  });
}

/** Runs the program at `offset` and gives its rows. `isCode` tells real addresses from leftovers of discarded sections. */
export function readLineTable(
  sections: DebugSections,
  offset: number,
  unit: LineUnit,
  isCode: (address: number) => boolean,
): LineTable {
  const program = decodeLineProgram(sections, offset, unit);
  const build = (isMerging: boolean): TableBuilder => {
    const builder = new TableBuilder(program.instructions.remaining, isCode, isMerging);
    runLineProgram(program, builder);
    return builder;
  };
  const merged = build(true);
  return (merged.isDisordered ? build(false) : merged).finish(program.files);
}

/** Runs a program from its start; rows go to `sink`. Throws DWARF_TRUNCATED, DWARF_MALFORMED. */
export function runLineProgram(program: LineProgram, sink: RowSink): void {
  const { instructions } = program;
  const start = instructions.offset;
  dwarfErrors(`line program at offset 0x${program.offset.toString(16)} of .debug_line`, () => {
    run(program, sink);
  });
  instructions.seek(start);
}

/**
 * The machine of DWARF 5 section 6.2.2. Its registers are local variables and the frequent instructions stand in one loop:
 * this is where a first look-up spends its time, before anything is compiled.
 */
function run(program: LineProgram, sink: RowSink): void {
  const { instructions: cursor, opcodeBase, lineBase, lineRange, minimumInstructionLength, defaultIsStatement } = program;
  const isVliw = program.maximumOperations > 1;
  const constAddPc = lineRange === 0 ? 0 : Math.floor((255 - opcodeBase) / lineRange);
  let address = -Infinity;
  let opIndex = 0;
  let file = 1;
  let line = 1;
  let column = 0;
  let isStatement = defaultIsStatement;

  const advanceVliw = (operations: number): void => {
    const total = opIndex + operations;
    address += minimumInstructionLength * Math.floor(total / program.maximumOperations);
    opIndex = total % program.maximumOperations;
  };

  const end = cursor.length;
  while (cursor.offset < end) {
    const opcode = cursor.u8();
    if (opcode >= opcodeBase) {
      if (lineRange === 0) throw malformed('line program', 'a special opcode with line_range 0');
      const adjusted = opcode - opcodeBase;
      const operations = (adjusted / lineRange) | 0;
      if (isVliw) advanceVliw(operations);
      else address += minimumInstructionLength * operations;
      line += lineBase + adjusted - operations * lineRange;
      sink.add(address, file, line, column, isStatement);
      continue;
    }
    switch (opcode) {
      case EXTENDED: {
        const length = cursor.uleb();
        const next = cursor.offset + length;
        const extended = length === 0 ? 0 : cursor.u8();
        if (extended === LNE.end_sequence) {
          sink.endSequence(address);
          address = -Infinity;
          opIndex = 0;
          file = 1;
          line = 1;
          column = 0;
          isStatement = defaultIsStatement;
        } else if (extended === LNE.set_address) {
          // Folklore: the operand's length, not the header's address size, is what assemblers of any age agree on.
          if (![1, 2, 4, 8].includes(length - 1)) throw malformed('line program', `an address of ${length - 1} bytes`);
          address = readAddressOffset(cursor, length - 1, program.origin);
          opIndex = 0;
        } else if (extended === LNE.define_file) {
          program.files.define(cursor.split(length - 1));
        }
        cursor.seek(next);
        break;
      }
      case LNS.copy:
        sink.add(address, file, line, column, isStatement);
        break;
      case LNS.advance_pc:
        if (isVliw) advanceVliw(cursor.uleb());
        else address += minimumInstructionLength * cursor.uleb();
        break;
      case LNS.advance_line:
        line += cursor.sleb();
        break;
      case LNS.set_file:
        file = cursor.uleb();
        break;
      case LNS.set_column:
        column = cursor.uleb();
        break;
      case LNS.negate_stmt:
        isStatement = !isStatement;
        break;
      case LNS.const_add_pc:
        if (lineRange === 0) throw malformed('line program', 'DW_LNS_const_add_pc with line_range 0');
        if (isVliw) advanceVliw(constAddPc);
        else address += minimumInstructionLength * constAddPc;
        break;
      case LNS.fixed_advance_pc:
        address += cursor.u16();
        opIndex = 0;
        break;
      default:
        // set_basic_block, set_prologue_end, set_epilogue_begin, set_isa, and opcodes of a later version.
        for (let operands = program.operandCounts[opcode - 1] ?? 0; operands > 0; operands -= 1) cursor.skipLeb();
    }
  }
}
