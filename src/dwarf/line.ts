// Line number programs (.debug_line; DWARF 5 section 6.2, and 6.2 of versions 2 to 4). The header and the state machine;
// rows go to line-table.ts, file names to file-names.ts.

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import { LNE, LNS } from './constants.ts';
import { decodeFileTable, decodeFileTableV5, type FileTable } from './file-names.ts';
import { type Encoding, readOffset } from './forms.ts';
import { type LineTable, RowBuilder } from './line-table.ts';
import { type DebugSections, dwarfErrors, malformed, readAddressOffset } from './section.ts';
import { readInitialLength } from './unit.ts';

/** A line program's header, with a cursor over the program's instructions. */
export interface LineProgram {
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
    const { length, offsetSize } = readInitialLength(start, what);
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
      ...{ opcodeBase, operandCounts, files, instructions: cursor },
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
  return dwarfErrors(`line program at offset 0x${offset.toString(16)} of .debug_line`, () => {
    const machine = new LineMachine(program, sections, new RowBuilder(program.files, isCode));
    return machine.run();
  });
}

/** The registers of DWARF 5 section 6.2.2 and the instructions that move them. */
class LineMachine {
  private readonly program: LineProgram;
  private readonly sections: DebugSections;
  private readonly rows: RowBuilder;
  private address = 0;
  private opIndex = 0;
  private file = 1;
  private line = 1;
  private column = 0;
  private isStatement: boolean;

  constructor(program: LineProgram, sections: DebugSections, rows: RowBuilder) {
    this.program = program;
    this.sections = sections;
    this.rows = rows;
    this.isStatement = program.defaultIsStatement;
    this.reset();
  }

  run(): LineTable {
    const { instructions, opcodeBase } = this.program;
    while (instructions.remaining > 0) {
      const opcode = instructions.u8();
      if (opcode >= opcodeBase) this.special(opcode);
      else if (opcode === 0) this.extended(instructions);
      else this.standard(opcode, instructions);
    }
    return this.rows.finish();
  }

  private special(opcode: number): void {
    const adjusted = opcode - this.program.opcodeBase;
    const { lineRange, lineBase } = this.program;
    if (lineRange === 0) throw malformed('line program', 'a special opcode with line_range 0');
    this.advance(Math.floor(adjusted / lineRange));
    this.line += lineBase + (adjusted % lineRange);
    this.emit();
  }

  private standard(opcode: number, cursor: Cursor): void {
    switch (opcode) {
      case LNS.copy:
        this.emit();
        return;
      case LNS.advance_pc:
        this.advance(cursor.uleb());
        return;
      case LNS.advance_line:
        this.line += cursor.sleb();
        return;
      case LNS.set_file:
        this.file = cursor.uleb();
        return;
      case LNS.set_column:
        this.column = cursor.uleb();
        return;
      case LNS.negate_stmt:
        this.isStatement = !this.isStatement;
        return;
      case LNS.const_add_pc:
        if (this.program.lineRange === 0) throw malformed('line program', 'DW_LNS_const_add_pc with line_range 0');
        this.advance(Math.floor((255 - this.program.opcodeBase) / this.program.lineRange));
        return;
      case LNS.fixed_advance_pc:
        this.address += cursor.u16();
        this.opIndex = 0;
        return;
      default:
        this.skipOperands(opcode, cursor);
    }
  }

  /** set_basic_block, set_prologue_end, set_epilogue_begin, set_isa, and opcodes of a later version. */
  private skipOperands(opcode: number, cursor: Cursor): void {
    const count = this.program.operandCounts[opcode - 1] ?? 0;
    for (let index = 0; index < count; index += 1) cursor.ulebBig();
  }

  private extended(cursor: Cursor): void {
    const length = cursor.uleb();
    const operands = cursor.split(length);
    if (length === 0) return;
    const opcode = operands.u8();
    if (opcode === LNE.end_sequence) {
      this.rows.endSequence(this.address);
      this.reset();
    } else if (opcode === LNE.set_address) {
      // Folklore: the operand's length, not the header's address size, is what assemblers of any age agree on.
      if (![1, 2, 4, 8].includes(operands.remaining))
        throw malformed('line program', `an address of ${operands.remaining} bytes`);
      this.address = readAddressOffset(operands, operands.remaining, this.sections.origin);
      this.opIndex = 0;
    } else if (opcode === LNE.define_file) {
      this.program.files.define(operands);
    }
  }

  private advance(operations: number): void {
    const { minimumInstructionLength, maximumOperations } = this.program;
    if (maximumOperations === 1) {
      this.address += minimumInstructionLength * operations;
      return;
    }
    const total = this.opIndex + operations;
    this.address += minimumInstructionLength * Math.floor(total / maximumOperations);
    this.opIndex = total % maximumOperations;
  }

  private emit(): void {
    this.rows.add(this.address, this.file, this.line, this.column, this.isStatement);
  }

  private reset(): void {
    this.address = -Infinity;
    this.opIndex = 0;
    this.file = 1;
    this.line = 1;
    this.column = 0;
    this.isStatement = this.program.defaultIsStatement;
  }
}
