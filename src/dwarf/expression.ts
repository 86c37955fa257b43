// DWARF expressions (DWARF 5 section 2.5) as call frame information uses them: a stack machine over unsigned words of
// the target's size. Operators that name variables, types or pieces are not allowed there (6.4.2) and are malformed.

import { Cursor } from '../bytes/cursor.ts';
import { errorCode, UnidbgError } from '../model/error.ts';

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
  const machine = new StackMachine(expression, context, initial);
  try {
    return machine.run();
  } catch (error) {
    if (error === UNKNOWN) return null;
    if (errorCode(error) === 'BYTES_OUT_OF_RANGE') throw malformed('cut short in the middle of an operator', expression.length);
    throw error;
  }
}

/** Thrown through the machine when a value cannot be had; never leaves this file. */
const UNKNOWN = new Error('unknown value');

function malformed(message: string, offset: number): UnidbgError {
  return new UnidbgError('CFI_MALFORMED', `DWARF expression, byte ${offset}: ${message}`, { facts: { offset } });
}

type Unary = (value: bigint, bits: number) => bigint;
type Binary = (left: bigint, right: bigint, bits: number) => bigint;

const UNARY: Readonly<Record<number, Unary>> = {
  0x19: (value, bits) => (BigInt.asIntN(bits, value) < 0n ? -value : value), // abs
  0x1f: (value) => -value, // neg
  0x20: (value) => ~value, // not
};

const BINARY: Readonly<Record<number, Binary>> = {
  0x1a: (left, right) => left & right,
  0x1b: (left, right, bits) => BigInt.asIntN(bits, left) / BigInt.asIntN(bits, right),
  0x1c: (left, right) => left - right,
  0x1d: (left, right) => left % right,
  0x1e: (left, right) => left * right,
  0x21: (left, right) => left | right,
  0x22: (left, right) => left + right,
  0x24: (left, right, bits) => (right >= BigInt(bits) ? 0n : left << right),
  0x25: (left, right, bits) => (right >= BigInt(bits) ? 0n : left >> right),
  0x26: (left, right, bits) => BigInt.asIntN(bits, left) >> (right >= BigInt(bits) ? BigInt(bits - 1) : right),
  0x27: (left, right) => left ^ right,
  0x29: (left, right) => (left === right ? 1n : 0n),
  0x2a: (left, right, bits) => (BigInt.asIntN(bits, left) >= BigInt.asIntN(bits, right) ? 1n : 0n),
  0x2b: (left, right, bits) => (BigInt.asIntN(bits, left) > BigInt.asIntN(bits, right) ? 1n : 0n),
  0x2c: (left, right, bits) => (BigInt.asIntN(bits, left) <= BigInt.asIntN(bits, right) ? 1n : 0n),
  0x2d: (left, right, bits) => (BigInt.asIntN(bits, left) < BigInt.asIntN(bits, right) ? 1n : 0n),
  0x2e: (left, right) => (left !== right ? 1n : 0n),
};

const DIVISIONS = [0x1b, 0x1d];

class StackMachine {
  private readonly cursor: Cursor;
  private readonly context: ExpressionContext;
  private readonly bits: number;
  private readonly stack: bigint[] = [];

  constructor(expression: Uint8Array, context: ExpressionContext, initial: readonly bigint[]) {
    this.cursor = new Cursor(expression);
    this.context = context;
    this.bits = context.addressSize * 8;
    for (const value of initial) this.push(value);
  }

  run(): bigint {
    for (let steps = 0; !this.cursor.atEnd; steps += 1) {
      if (steps >= MAX_STEPS) throw malformed(`still running after ${MAX_STEPS} operators`, this.cursor.offset);
      this.execute(this.cursor.u8());
    }
    return this.pop();
  }

  private execute(opcode: number): void {
    const unary = UNARY[opcode];
    const binary = BINARY[opcode];
    if (binary !== undefined) this.binary(opcode, binary);
    else if (unary !== undefined) this.push(unary(this.pop(), this.bits));
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
      case 0x12: // DW_OP_dup
        return this.peek(0);
      case 0x14: // DW_OP_over
        return this.peek(1);
      case 0x15: // DW_OP_pick
        return this.peek(cursor.u8());
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

  /** The operators that push nothing. */
  private rearrange(opcode: number): void {
    const { cursor } = this;
    switch (opcode) {
      case 0x13: // DW_OP_drop
        this.pop();
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
      case 0x9f: // DW_OP_stack_value: says that the result is a value, which it is here anyway
        break;
      default:
        throw malformed(
          `operator 0x${opcode.toString(16)} is unknown or not allowed in call frame information`,
          cursor.offset - 1,
        );
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

  private binary(opcode: number, operate: Binary): void {
    const right = this.pop();
    const left = this.pop();
    if (right === 0n && DIVISIONS.includes(opcode)) throw malformed('a division by zero', this.cursor.offset - 1);
    this.push(operate(left, right, this.bits));
  }

  private derefSize(size: number): bigint {
    if (size < 1 || size > this.context.addressSize) throw malformed(`a value of ${size} bytes`, this.cursor.offset - 1);
    return this.memory(this.pop(), size);
  }

  private branch(distance: number, taken: boolean): void {
    if (!taken) return;
    const target = this.cursor.offset + distance;
    if (target < 0 || target > this.cursor.length) throw malformed('a branch out of the expression', this.cursor.offset);
    this.cursor.seek(target);
  }

  /** Moves the top entry below the `count - 1` entries under it. */
  private rotate(count: number): void {
    const top = this.pop();
    this.peek(count - 2);
    this.stack.splice(this.stack.length - (count - 1), 0, top);
  }

  private register(dwarfNumber: number): bigint {
    return this.known(this.context.register(dwarfNumber));
  }

  private memory(address: bigint, size: number): bigint {
    return this.known(this.context.readMemory(address, size));
  }

  private known(value: bigint | null): bigint {
    if (value === null) throw UNKNOWN;
    return value;
  }

  private push(value: bigint): void {
    if (this.stack.length >= MAX_STACK) throw malformed(`more than ${MAX_STACK} entries on the stack`, this.cursor.offset);
    this.stack.push(BigInt.asUintN(this.bits, value));
  }

  private pop(): bigint {
    const value = this.stack.pop();
    if (value === undefined) throw malformed('an empty stack where a value is needed', this.cursor.offset);
    return value;
  }

  private peek(depth: number): bigint {
    const value = this.stack[this.stack.length - 1 - depth];
    if (value === undefined)
      throw malformed(`an entry ${depth} below the top of a stack of ${this.stack.length}`, this.cursor.offset);
    return value;
  }
}
