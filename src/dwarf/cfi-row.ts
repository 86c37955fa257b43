// Call frame instructions (DWARF 5 section 6.4.2, plus the GNU and aarch64 extensions) executed into the rows of the
// virtual unwind table: for each stretch of code, how to find the CFA and each register of the caller.

import { Cursor } from '../bytes/cursor.ts';
import { type Fde, guarded } from './cfi-entry.ts';
import { malformedCfi, readPointer } from './cfi-pointer.ts';

/** How a register of the caller is found; offsets are from the CFA, in bytes. */
export type RegisterRule =
  | { readonly kind: 'undefined' }
  | { readonly kind: 'same-value' }
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'val-offset'; readonly offset: number }
  | { readonly kind: 'register'; readonly register: number }
  | { readonly kind: 'expression'; readonly expression: Uint8Array }
  | { readonly kind: 'val-expression'; readonly expression: Uint8Array };

/** How the CFA is found. */
export type CfaRule =
  | { readonly kind: 'register'; readonly register: number; readonly offset: number }
  | { readonly kind: 'expression'; readonly expression: Uint8Array };

/** A row: holds from `start` up to, not including, `end` (offsets from the image's base). */
export interface CfiRow {
  readonly start: number;
  readonly end: number;
  /** Null when the instructions never said: nothing can be unwound here. */
  readonly cfa: CfaRule | null;
  /** By DWARF register number. A register that is missing has the ABI's rule (callee-saved: same value). */
  readonly rules: ReadonlyMap<number, RegisterRule>;
  /** aarch64: the return address is signed here. */
  readonly returnAddressSigned: boolean;
}

const MAX_REMEMBERED = 64;
const MAX_RULES = 1024;

/** The rows of `fde`, in ascending order, lazily. Throws CFI_MALFORMED. */
export function* cfiRows(fde: Fde): Generator<CfiRow> {
  const machine = new RowMachine(fde);
  machine.runInitial();
  for (;;) {
    const start = machine.location;
    const next = machine.run();
    const end = next ?? fde.end;
    if (end > start) yield machine.row(start, end);
    if (next === null) return;
  }
}

/** The row that holds at `offset` (from the image's base), or null when the FDE does not cover it. Throws CFI_MALFORMED. */
export function findRow(fde: Fde, offset: number): CfiRow | null {
  if (offset < fde.start || offset >= fde.end) return null;
  const machine = new RowMachine(fde);
  machine.runInitial();
  for (;;) {
    const start = machine.location;
    const next = machine.run();
    if (next === null || offset < next) return machine.row(start, next ?? fde.end);
  }
}

interface RowState {
  cfa: CfaRule | null;
  /** The last offset given, which a later DW_CFA_def_cfa_register takes up. */
  cfaOffset: number;
  rules: Map<number, RegisterRule>;
  returnAddressSigned: boolean;
}

const UNDEFINED: RegisterRule = { kind: 'undefined' };
const SAME_VALUE: RegisterRule = { kind: 'same-value' };

class RowMachine {
  location: number;
  private readonly fde: Fde;
  private readonly cursor: Cursor;
  private state: RowState = { cfa: null, cfaOffset: 0, rules: new Map(), returnAddressSigned: false };
  private initial: ReadonlyMap<number, RegisterRule> = new Map();
  private readonly remembered: RowState[] = [];

  constructor(fde: Fde) {
    this.fde = fde;
    this.location = fde.start;
    this.cursor = new Cursor(fde.instructions, { base: fde.instructionsOffset });
  }

  row(start: number, end: number): CfiRow {
    return {
      start,
      end,
      cfa: this.state.cfa,
      rules: new Map(this.state.rules),
      returnAddressSigned: this.state.returnAddressSigned,
    };
  }

  /** The CIE's own instructions: what DW_CFA_restore goes back to. */
  runInitial(): void {
    const { cie } = this.fde;
    const cursor = new Cursor(cie.instructions, { base: cie.instructionsOffset });
    guarded(cie.offset, () => {
      while (!cursor.atEnd) {
        if (this.execute(cursor) !== null) throw malformedCfi('a CIE that advances the location', cie.offset);
      }
    });
    this.initial = new Map(this.state.rules);
  }

  /** Executes up to the next row; returns where that one starts and makes it the location, or null at the end. */
  run(): number | null {
    return guarded(this.fde.offset, () => {
      while (!this.cursor.atEnd) {
        const next = this.execute(this.cursor);
        if (next === null || next === this.location) continue;
        if (next < this.location) throw malformedCfi('a location that goes backwards', this.at(this.cursor));
        if (next >= this.fde.end) return null;
        this.location = next;
        return next;
      }
      return null;
    });
  }

  private at(cursor: Cursor): number {
    return cursor.base + cursor.offset;
  }

  /** One instruction; returns the new location when it was one that moves it. */
  private execute(cursor: Cursor): number | null {
    const opcode = cursor.u8();
    const operand = opcode & 0x3f;
    switch (opcode >> 6) {
      case 1:
        return this.advanced(operand, cursor);
      case 2:
        return this.set(operand, this.atOffset(cursor.uleb(), cursor), cursor);
      case 3:
        return this.restore(operand);
      default:
        return opcode <= 0x05 ? this.executeLocation(opcode, cursor) : this.executeExtended(opcode, cursor);
    }
  }

  private executeLocation(opcode: number, cursor: Cursor): number | null {
    switch (opcode) {
      case 0x01: // DW_CFA_set_loc
        return readPointer(cursor, this.fde.cie.pointerEncoding, this.fde.bases, this.fde.start);
      case 0x02: // DW_CFA_advance_loc1
        return this.advanced(cursor.u8(), cursor);
      case 0x03: // DW_CFA_advance_loc2
        return this.advanced(cursor.u16(), cursor);
      case 0x04: // DW_CFA_advance_loc4
        return this.advanced(cursor.u32(), cursor);
      case 0x05: // DW_CFA_offset_extended
        return this.set(cursor.uleb(), this.atOffset(cursor.uleb(), cursor), cursor);
      default: // DW_CFA_nop
        return null;
    }
  }

  private executeExtended(opcode: number, cursor: Cursor): null {
    switch (opcode) {
      case 0x06: // DW_CFA_restore_extended
        return this.restore(cursor.uleb());
      case 0x07: // DW_CFA_undefined
        return this.set(cursor.uleb(), UNDEFINED, cursor);
      case 0x08: // DW_CFA_same_value
        return this.set(cursor.uleb(), SAME_VALUE, cursor);
      case 0x09: // DW_CFA_register
        return this.set(cursor.uleb(), { kind: 'register', register: cursor.uleb() }, cursor);
      case 0x0a: // DW_CFA_remember_state
        return this.remember(cursor);
      case 0x0b: // DW_CFA_restore_state
        return this.recall(cursor);
      case 0x10: // DW_CFA_expression
        return this.set(cursor.uleb(), { kind: 'expression', expression: cursor.take(cursor.uleb()) }, cursor);
      case 0x11: // DW_CFA_offset_extended_sf
        return this.set(cursor.uleb(), this.atOffset(cursor.sleb(), cursor), cursor);
      case 0x14: // DW_CFA_val_offset
        return this.set(cursor.uleb(), { ...this.atOffset(cursor.uleb(), cursor), kind: 'val-offset' }, cursor);
      case 0x15: // DW_CFA_val_offset_sf
        return this.set(cursor.uleb(), { ...this.atOffset(cursor.sleb(), cursor), kind: 'val-offset' }, cursor);
      case 0x16: // DW_CFA_val_expression
        return this.set(cursor.uleb(), { kind: 'val-expression', expression: cursor.take(cursor.uleb()) }, cursor);
      case 0x2d: // DW_CFA_AARCH64_negate_ra_state; DW_CFA_GNU_window_save on SPARC
        this.state.returnAddressSigned = !this.state.returnAddressSigned;
        return null;
      case 0x2e: // DW_CFA_GNU_args_size: bytes of pushed arguments, of use only to a runtime that lands in the frame
        cursor.uleb();
        return null;
      case 0x2f: // DW_CFA_GNU_negative_offset_extended
        return this.set(cursor.uleb(), this.atOffset(-cursor.uleb(), cursor), cursor);
      default:
        return this.executeCfa(opcode, cursor);
    }
  }

  private executeCfa(opcode: number, cursor: Cursor): null {
    switch (opcode) {
      case 0x0c: // DW_CFA_def_cfa
        return this.setCfa(cursor.uleb(), cursor.uleb(), cursor);
      case 0x0d: // DW_CFA_def_cfa_register
        return this.setCfa(cursor.uleb(), this.state.cfaOffset, cursor);
      case 0x0e: // DW_CFA_def_cfa_offset
        return this.setCfaOffset(cursor.uleb(), cursor);
      case 0x0f: // DW_CFA_def_cfa_expression
        this.state.cfa = { kind: 'expression', expression: cursor.take(cursor.uleb()) };
        return null;
      case 0x12: // DW_CFA_def_cfa_sf
        return this.setCfa(cursor.uleb(), cursor.sleb() * this.fde.cie.dataAlignment, cursor);
      case 0x13: // DW_CFA_def_cfa_offset_sf
        return this.setCfaOffset(cursor.sleb() * this.fde.cie.dataAlignment, cursor);
      default:
        throw malformedCfi(`unknown instruction 0x${opcode.toString(16)}`, this.at(cursor) - 1);
    }
  }

  private advanced(delta: number, cursor: Cursor): number {
    const next = this.location + delta * this.fde.cie.codeAlignment;
    if (!Number.isSafeInteger(next)) throw malformedCfi('a location that is nowhere', this.at(cursor));
    return next;
  }

  private atOffset(factored: number, cursor: Cursor): { kind: 'offset'; offset: number } {
    const offset = factored * this.fde.cie.dataAlignment;
    if (!Number.isSafeInteger(offset)) throw malformedCfi('an offset from the CFA beyond 53 bits', this.at(cursor));
    return { kind: 'offset', offset };
  }

  private set(register: number, rule: RegisterRule, cursor: Cursor): null {
    const { rules } = this.state;
    if (rules.size >= MAX_RULES && !rules.has(register))
      throw malformedCfi(`rules for more than ${MAX_RULES} registers`, this.at(cursor));
    rules.set(register, rule);
    return null;
  }

  private restore(register: number): null {
    const rule = this.initial.get(register);
    if (rule === undefined) this.state.rules.delete(register);
    else this.state.rules.set(register, rule);
    return null;
  }

  private remember(cursor: Cursor): null {
    if (this.remembered.length >= MAX_REMEMBERED)
      throw malformedCfi(`more than ${MAX_REMEMBERED} remembered states`, this.at(cursor));
    this.remembered.push({ ...this.state, rules: new Map(this.state.rules) });
    return null;
  }

  private recall(cursor: Cursor): null {
    const state = this.remembered.pop();
    if (state === undefined) throw malformedCfi('a state restored that was never remembered', this.at(cursor));
    this.state = state;
    return null;
  }

  private setCfa(register: number, offset: number, cursor: Cursor): null {
    if (!Number.isSafeInteger(offset)) throw malformedCfi('a CFA offset beyond 53 bits', this.at(cursor));
    this.state.cfaOffset = offset;
    this.state.cfa = { kind: 'register', register, offset };
    return null;
  }
  /**
   * DWARF wants a CFA of a register here, and one before DW_CFA_def_cfa_register too. Seen otherwise: OCaml 5's caml_c_call_stack_args
   * changes the offset while an expression gives the CFA, and gas for RISC-V opens every CIE with a lone def_cfa_register sp. gdb,
   * readelf and libgcc keep the expression in the one case and take the offset for 0 in the other. Test: test/dwarf/cfi-oracle.test.ts.
   */
  private setCfaOffset(offset: number, cursor: Cursor): null {
    const { cfa } = this.state;
    if (cfa === null) throw malformedCfi('a CFA offset changed where the CFA has none', this.at(cursor));
    if (cfa.kind === 'register') return this.setCfa(cfa.register, offset, cursor);
    if (!Number.isSafeInteger(offset)) throw malformedCfi('a CFA offset beyond 53 bits', this.at(cursor));
    this.state.cfaOffset = offset;
    return null;
  }
}
