// Location descriptions (DWARF 5 section 2.6): where an object is, or what it is worth, as the expression of a variable says:
// memory, a register, a value that is nowhere, pieces of all of these, or nothing. Expressions of DWARF 2 to 5 with the
// GNU operators that GCC wrote before DWARF 5 had them.

import type { ErrorCode } from '../model/error.ts';
import { type ExpressionContext, StackMachine } from './expression.ts';
import { convertScalar, type ScalarType } from './scalar.ts';

/** Where an object is. `missing` says why nobody knows, in a word or two. */
export type Location =
  | { readonly kind: 'memory'; readonly address: bigint }
  | { readonly kind: 'register'; readonly register: number }
  | { readonly kind: 'value'; readonly bytes: Uint8Array }
  /** The pointer itself is gone; what it pointed at is the object of the entry at `target` of .debug_info, `offset` bytes in. */
  | { readonly kind: 'implicit-pointer'; readonly target: number; readonly offset: number }
  | { readonly kind: 'pieces'; readonly pieces: readonly Piece[] }
  | { readonly kind: 'missing'; readonly why: string };

/** A part of an object, in bits: `size` of it, from bit `offset` of what `location` says. */
export interface Piece {
  readonly size: number;
  readonly offset: number;
  readonly location: Location;
}

/** What the expressions of variables may ask for besides. Null makes the location unknown. */
export interface LocationContext extends ExpressionContext {
  /** 4 or 8 as the unit's format is: operands that are offsets. */
  readonly offsetSize: 4 | 8;
  /** Size of DW_OP_implicit_pointer's operand: an address in DWARF 2. */
  readonly referenceSize: number;
  readonly frameBase: () => bigint | null;
  /** Entry of .debug_addr as a run-time address, and as it stands there. */
  readonly indexedAddress: (index: number) => bigint | null;
  readonly indexedConstant: (index: number) => bigint | null;
  /** The base type whose entry is at this offset in the unit. */
  readonly scalarType: (unitOffset: number) => ScalarType | null;
  /** What `expression` gave when the function was entered. */
  readonly entryValue: (expression: Uint8Array) => bigint | null;
  /** What the caller passed for the parameter whose entry is at this offset in the unit. */
  readonly parameterValue: (unitOffset: number) => bigint | null;
  /** The location expression of another entry, by its offset in the unit or in .debug_info. */
  readonly expressionOf: (offset: number, isInUnit: boolean) => Uint8Array | null;
}

/** Words for what is missing, as gdb has them. */
export const OPTIMIZED_OUT = 'optimized out';
export const NOT_SAVED = 'not saved';
export const THREAD_LOCAL = 'thread-local';

/** A piece of an object is never larger: beyond it is nonsense. */
const MAX_PIECE_BITS = 2 ** 32;
const MAX_PIECES = 256;
/** DW_OP_call inside DW_OP_call. */
const MAX_CALLS = 8;

/** Where `expression` says that the object is. `initial` is pushed first. Throws DWARF_MALFORMED. */
export function evaluateLocation(
  expression: Uint8Array,
  context: LocationContext,
  initial: readonly bigint[] = [],
  code: ErrorCode = 'DWARF_MALFORMED',
): Location {
  const machine = new LocationMachine(expression, context, code);
  return machine.attempt(() => machine.locate(initial)) ?? { kind: 'missing', why: machine.why };
}

/** Where one operator put the object; nothing but pieces may follow. */
type Place = Exclude<Location, { kind: 'pieces' }>;

class LocationMachine extends StackMachine {
  /** Why the expression has no answer, when it has none. */
  why = OPTIMIZED_OUT;
  private readonly words: LocationContext;
  private readonly pieces: Piece[] = [];
  private place: Place | null = null;
  private calls = 0;

  constructor(expression: Uint8Array, context: LocationContext, code: ErrorCode) {
    super(expression, context, code);
    this.words = context;
  }

  locate(initial: readonly bigint[]): Location {
    for (const value of initial) this.push(value);
    this.runOperators();
    if (this.pieces.length > 0) return { kind: 'pieces', pieces: this.pieces };
    return this.takePlace();
  }

  protected override register(dwarfNumber: number): bigint {
    this.why = NOT_SAVED;
    return super.register(dwarfNumber);
  }

  protected override memory(address: bigint, size: number): bigint {
    this.why = unreadable(address);
    return super.memory(address, size);
  }

  protected override extension(opcode: number): boolean {
    if (this.place !== null && !MAY_FOLLOW_A_PLACE.has(opcode)) throw this.malformed('an operator behind a finished location');
    if (opcode >= 0x50 && opcode <= 0x6f) this.place = { kind: 'register', register: opcode - 0x50 };
    else return this.describe(opcode) || this.push1(opcode) || this.typed(opcode);
    return true;
  }

  /** The operators that say where or what the object is. */
  private describe(opcode: number): boolean {
    const { cursor } = this;
    switch (opcode) {
      case 0x90: // DW_OP_regx
        this.place = { kind: 'register', register: cursor.uleb() };
        return true;
      case 0x93: // DW_OP_piece
        this.addPiece(cursor.uleb() * 8, 0);
        return true;
      case 0x9d: // DW_OP_bit_piece
        this.addPiece(cursor.uleb(), cursor.uleb());
        return true;
      case 0x9e: // DW_OP_implicit_value
        this.place = { kind: 'value', bytes: cursor.take(cursor.uleb()) };
        return true;
      case 0x9f: // DW_OP_stack_value
        this.place = { kind: 'value', bytes: this.popBytes() };
        return true;
      case 0xa0: // DW_OP_implicit_pointer
      case 0xf2: // DW_OP_GNU_implicit_pointer
        this.place = { kind: 'implicit-pointer', target: this.reference(), offset: cursor.sleb() };
        return true;
      case 0xf0: // DW_OP_GNU_uninit: the value may not have been set yet
        return true;
      default:
        return false;
    }
  }

  /** The operators that push one word of the generic type. */
  private push1(opcode: number): boolean {
    const { cursor, words } = this;
    switch (opcode) {
      case 0x91: // DW_OP_fbreg
        this.push(this.orElse(words.frameBase(), OPTIMIZED_OUT) + cursor.slebBig());
        return true;
      case 0x98: // DW_OP_call2
        return this.call(cursor.u16(), true);
      case 0x99: // DW_OP_call4
        return this.call(cursor.u32(), true);
      case 0x9a: // DW_OP_call_ref
        return this.call(this.reference(), false);
      case 0x9b: // DW_OP_form_tls_address
      case 0xe0: // DW_OP_GNU_push_tls_address
        this.pop();
        this.push(this.orElse<bigint>(null, THREAD_LOCAL));
        return true;
      case 0xa1: // DW_OP_addrx
      case 0xfb: // DW_OP_GNU_addr_index
        this.push(this.orElse(words.indexedAddress(cursor.uleb()), OPTIMIZED_OUT));
        return true;
      case 0xa2: // DW_OP_constx
      case 0xfc: // DW_OP_GNU_const_index
        this.push(this.orElse(words.indexedConstant(cursor.uleb()), OPTIMIZED_OUT));
        return true;
      case 0xa3: // DW_OP_entry_value
      case 0xf3: // DW_OP_GNU_entry_value
        this.push(this.orElse(words.entryValue(cursor.take(cursor.uleb())), OPTIMIZED_OUT));
        return true;
      case 0xfa: // DW_OP_GNU_parameter_ref
        this.push(this.orElse(words.parameterValue(cursor.u32()), OPTIMIZED_OUT));
        return true;
      case 0xfd: // DW_OP_GNU_variable_value
        this.reference();
        return this.orElse<true>(null, OPTIMIZED_OUT);
      default:
        return false;
    }
  }

  /** The operators with types (2.5.1.1 to 2.5.1.6). */
  private typed(opcode: number): boolean {
    const { cursor } = this;
    switch (opcode) {
      case 0xa4: // DW_OP_const_type
      case 0xf4: {
        const type = this.typeAt(cursor.uleb());
        this.pushEntry({ type, value: wordOf(cursor.take(cursor.u8())) });
        return true;
      }
      case 0xa5: // DW_OP_regval_type
      case 0xf5: {
        const value = this.register(cursor.uleb());
        this.pushEntry({ type: this.typeAt(cursor.uleb()), value });
        return true;
      }
      case 0xa6: // DW_OP_deref_type
      case 0xf6: {
        const size = cursor.u8();
        if (size < 1 || size > 8) this.orElse(null, OPTIMIZED_OUT);
        const type = this.typeAt(cursor.uleb());
        this.pushEntry({ type, value: this.memory(this.pop(), size) });
        return true;
      }
      case 0xa8: // DW_OP_convert
      case 0xf7: {
        const type = this.typeAt(cursor.uleb());
        const from = this.popEntry();
        const value = convertScalar(from.value, from.type, type, this.words.addressSize * 8);
        this.pushEntry({ type, value: this.orElse(value, OPTIMIZED_OUT) });
        return true;
      }
      case 0xa9: // DW_OP_reinterpret
      case 0xf9:
        this.pushEntry({ type: this.typeAt(cursor.uleb()), value: this.pop() });
        return true;
      default:
        return false;
    }
  }

  private typeAt(unitOffset: number): ScalarType | null {
    return unitOffset === 0 ? null : this.orElse(this.words.scalarType(unitOffset), OPTIMIZED_OUT);
  }

  private addPiece(size: number, offset: number): void {
    if (!(size >= 0 && size <= MAX_PIECE_BITS && offset <= MAX_PIECE_BITS)) throw this.malformed(`a piece of ${size} bits`);
    if (this.pieces.length >= MAX_PIECES) throw this.malformed(`more than ${MAX_PIECES} pieces`);
    this.pieces.push({ size, offset, location: this.takePlace() });
    this.place = null;
  }

  /** Nothing said is nowhere; what is left on the stack is an address (2.6.1.1.1, 2.6.1.1.2). */
  private takePlace(): Place {
    if (this.place !== null) return this.place;
    if (this.stack.length === 0) return { kind: 'missing', why: OPTIMIZED_OUT };
    return { kind: 'memory', address: this.pop() };
  }

  private popBytes(): Uint8Array {
    const { value, type } = this.popEntry();
    return bytesOf(value, type?.size ?? this.words.addressSize);
  }

  private reference(): number {
    return this.words.referenceSize === 8 ? this.cursor.u64Number() : this.cursor.u32();
  }

  /** Runs another entry's location on this stack; one level deep; compilers do not nest them. */
  private call(offset: number, isInUnit: boolean): true {
    this.calls += 1;
    if (this.calls > MAX_CALLS) throw this.malformed(`more than ${MAX_CALLS} calls`);
    const expression = this.orElse(this.words.expressionOf(offset, isInUnit), OPTIMIZED_OUT);
    const location = evaluateLocation(
      expression,
      { ...this.words, expressionOf: () => null },
      this.stack.splice(0).map(({ value }) => value),
    );
    if (location.kind === 'memory') this.push(location.address);
    else if (location.kind === 'pieces') throw this.malformed('a call of an expression that gives pieces');
    else this.place = location;
    return true;
  }

  private orElse<T>(value: T | null, why: string): T {
    this.why = why;
    return this.known(value);
  }
}

/** Pieces, and what says nothing. */
const MAY_FOLLOW_A_PLACE: ReadonlySet<number> = new Set([0x93, 0x9d, 0xf0]);

/** `unreadable at 0x…`. */
export function unreadable(address: bigint): string {
  return `unreadable at 0x${address.toString(16)}`;
}

/** `size` little-endian bytes of `value`. */
export function bytesOf(value: bigint, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0, rest = value; at < size; at += 1, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  return bytes;
}

/** The unsigned little-endian value of `bytes`. */
export function wordOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let at = bytes.length - 1; at >= 0; at -= 1) value = (value << 8n) | BigInt(bytes[at]!);
  return value;
}
