// DWARF expressions (DWARF 5 section 2.5): a stack machine over unsigned words of the target's size. Here as call frame
// information uses them; operators that name variables, types or pieces are not allowed there (6.4.2) and are malformed.
// location.ts builds on the machine for variables, where entries of the stack may have types (2.5.1).

import { Cursor } from '../bytes/cursor.ts';
import { type ErrorCode, errorCode, UnidbgError } from '../model/error.ts';
import { arithmetic, type ScalarType } from './scalar.ts';

/** What an expression may ask for. Null from any of them makes the result null: it cannot be known. */
export interface ExpressionContext {
  /** 4 or 8. */
  readonly addressSize: number;
  /** Value of a register by its DWARF number. */
  readonly register: (dwarfNumber: number) => bigint | null;
  /** An unsigned little-endian value of `size` bytes (1 to 8) in memory. */
  readonly readMemory: (address: bigint, size: number) => bigint | null;
  /** Run-time minus link address, added to DW_OP_addr. */
  readonly loadBias: bigint;
  /** For DW_OP_call_frame_cfa; null where it would be circular. */
  readonly cfa: bigint | null;
}

const MAX_STEPS = 10_000;
const MAX_STACK = 256;

/**
 * The value left on top of the stack, unsigned; null when a register or memory that it needs cannot be had. `initial` is
 * pushed first (register rules start with the CFA). Throws CFI_MALFORMED.
 */
export function evaluateExpression(
  expression: Uint8Array,
  context: ExpressionContext,
  initial: readonly bigint[] = [],
): bigint | null {
  const machine = new StackMachine(expression, context, 'CFI_MALFORMED');
  return machine.attempt(() => machine.run(initial));
}

/** Thrown through the machine when a value cannot be had; never leaves `attempt`. */
const UNKNOWN = new Error('unknown value');

/** An entry of the stack: an unsigned value, of the generic type (2.5.1: a word of the address size) where `type` is null. */
export interface StackEntry {
  readonly value: bigint;
  readonly type: ScalarType | null;
}

/** The machine. What it does not know of is asked of `extension`. */
export class StackMachine {
  protected readonly cursor: Cursor;
  protected readonly stack: StackEntry[] = [];
  private readonly context: ExpressionContext;
  private readonly bits: number;
  private readonly code: ErrorCode;

  constructor(expression: Uint8Array, context: ExpressionContext, code: ErrorCode) {
    this.cursor = new Cursor(expression);
    this.context = context;
    this.bits = context.addressSize * 8;
    this.code = code;
  }

  /** Null when `body` met something that cannot be known; errors are of this machine's code. */
  attempt<T>(body: () => T): T | null {
    try {
      return body();
    } catch (error) {
      if (error === UNKNOWN) return null;
      if (errorCode(error) === 'BYTES_OUT_OF_RANGE') {
        throw this.malformed('cut short in the middle of an operator', this.cursor.length);
      }
      throw error;
    }
  }

  /** Runs to the end and gives the top of the stack; `initial` is pushed first. */
  run(initial: readonly bigint[]): bigint {
    for (const value of initial) this.push(value);
    this.runOperators();
    return this.pop();
  }

  protected runOperators(): void {
    for (let steps = 0; !this.cursor.atEnd; steps += 1) {
      if (steps >= MAX_STEPS) throw this.malformed(`still running after ${MAX_STEPS} operators`);
      this.execute(this.cursor.u8());
    }
  }

  protected malformed(message: string, offset = this.cursor.offset): UnidbgError {
    return new UnidbgError(this.code, `DWARF expression, byte ${offset}: ${message}`, { facts: { offset } });
  }

  /** An operator that call frame information may not have; false when nobody knows it. */
  protected extension(opcode: number): boolean {
    return opcode < 0;
  }

  private execute(opcode: number): void {
    const unary = arithmetic.unary(opcode);
    const binary = arithmetic.binary(opcode);
    if (binary !== null) this.binary(opcode, binary);
    else if (unary !== null) this.unary(unary);
    else if (opcode >= 0x30 && opcode <= 0x4f) this.push(BigInt(opcode - 0x30));
    else if (opcode >= 0x70 && opcode <= 0x8f) this.push(this.register(opcode - 0x70) + this.cursor.slebBig());
    else if (opcode >= 0x08 && opcode <= 0x11) this.push(this.constant(opcode));
    else {
      const value = this.other(opcode);
      if (value !== null) this.push(value);
    }
  }

  /** The operators that are neither arithmetic nor constants; returns what they push. */
  private other(opcode: number): bigint | null {
    const { cursor } = this;
    switch (opcode) {
      case 0x03: // DW_OP_addr
        return (this.context.addressSize === 4 ? BigInt(cursor.u32()) : cursor.u64()) + this.context.loadBias;
      case 0x06: // DW_OP_deref
        return this.memory(this.pop(), this.context.addressSize);
      case 0x23: // DW_OP_plus_uconst
        return this.pop() + cursor.ulebBig();
      case 0x92: // DW_OP_bregx
        return this.register(cursor.uleb()) + cursor.slebBig();
      case 0x94: // DW_OP_deref_size
        return this.derefSize(cursor.u8());
      case 0x9c: // DW_OP_call_frame_cfa
        return this.known(this.context.cfa);
      default:
        this.rearrange(opcode);
        return null;
    }
  }

  /** The operators that only move entries or the place in the expression. */
  private rearrange(opcode: number): void {
    const { cursor } = this;
    switch (opcode) {
      case 0x12: // DW_OP_dup
        this.pushEntry(this.peek(0));
        break;
      case 0x13: // DW_OP_drop
        this.pop();
        break;
      case 0x14: // DW_OP_over
        this.pushEntry(this.peek(1));
        break;
      case 0x15: // DW_OP_pick
        this.pushEntry(this.peek(cursor.u8()));
        break;
      case 0x16: // DW_OP_swap
        this.rotate(2);
        break;
      case 0x17: // DW_OP_rot
        this.rotate(3);
        break;
      case 0x28: // DW_OP_bra
        this.branch(cursor.i16(), this.pop() !== 0n);
        break;
      case 0x2f: // DW_OP_skip
        this.branch(cursor.i16(), true);
        break;
      case 0x96: // DW_OP_nop
        break;
      default:
        if (this.extension(opcode)) break;
        // DW_OP_stack_value: says that the result is a value, which it is in call frame information anyway
        if (opcode === 0x9f) break;
        throw this.malformed(`operator 0x${opcode.toString(16)} is unknown or not allowed here`, cursor.offset - 1);
    }
  }

  private constant(opcode: number): bigint {
    const { cursor } = this;
    switch (opcode) {
      case 0x08:
        return BigInt(cursor.u8());
      case 0x09:
        return BigInt(cursor.i8());
      case 0x0a:
        return BigInt(cursor.u16());
      case 0x0b:
        return BigInt(cursor.i16());
      case 0x0c:
        return BigInt(cursor.u32());
      case 0x0d:
        return BigInt(cursor.i32());
      case 0x0e:
        return cursor.u64();
      case 0x0f:
        return cursor.i64();
      case 0x10:
        return cursor.ulebBig();
      default:
        return cursor.slebBig();
    }
  }

  private unary(operate: NonNullable<ReturnType<typeof arithmetic.unary>>): void {
    const { value, type } = this.popEntry();
    this.pushEntry({ value: this.known(operate(value, type, this.bits)), type });
  }

  private binary(opcode: number, operate: NonNullable<ReturnType<typeof arithmetic.binary>>): void {
    const right = this.popEntry();
    const left = this.popEntry();
    const isShift = opcode >= 0x24 && opcode <= 0x26;
    if (!isShift && !arithmetic.sameType(left.type, right.type)) throw this.malformed('operands of two types');
    if (right.value === 0n && arithmetic.isDivision(opcode) && left.type?.kind !== 'float') {
      throw this.malformed('a division by zero', this.cursor.offset - 1);
    }
    const value = this.known(operate(left.value, right.value, left.type, this.bits));
    // Comparisons give a number of the generic type.
    this.pushEntry({ value, type: opcode >= 0x29 ? null : left.type });
  }

  private derefSize(size: number): bigint {
    if (size < 1 || size > this.context.addressSize) throw this.malformed(`a value of ${size} bytes`, this.cursor.offset - 1);
    return this.memory(this.pop(), size);
  }

  private branch(distance: number, taken: boolean): void {
    if (!taken) return;
    const target = this.cursor.offset + distance;
    if (target < 0 || target > this.cursor.length) throw this.malformed('a branch out of the expression');
    this.cursor.seek(target);
  }

  /** Moves the top entry below the `count - 1` entries under it. */
  private rotate(count: number): void {
    const top = this.popEntry();
    this.peek(count - 2);
    this.stack.splice(this.stack.length - (count - 1), 0, top);
  }

  protected register(dwarfNumber: number): bigint {
    return this.known(this.context.register(dwarfNumber));
  }

  protected memory(address: bigint, size: number): bigint {
    return this.known(this.context.readMemory(address, size));
  }

  protected known<T>(value: T | null): T {
    if (value === null) throw UNKNOWN;
    return value;
  }

  protected push(value: bigint): void {
    this.pushEntry({ value, type: null });
  }

  protected pushEntry({ value, type }: StackEntry): void {
    if (this.stack.length >= MAX_STACK) throw this.malformed(`more than ${MAX_STACK} entries on the stack`);
    this.stack.push({ value: BigInt.asUintN(type === null ? this.bits : type.size * 8, value), type });
  }

  protected pop(): bigint {
    return this.popEntry().value;
  }

  protected popEntry(): StackEntry {
    const entry = this.stack.pop();
    if (entry === undefined) throw this.malformed('an empty stack where a value is needed');
    return entry;
  }

  private peek(depth: number): StackEntry {
    const entry = this.stack[this.stack.length - 1 - depth];
    if (entry === undefined) throw this.malformed(`an entry ${depth} below the top of a stack of ${this.stack.length}`);
    return entry;
  }
}
