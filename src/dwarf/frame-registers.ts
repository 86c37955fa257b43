// Which registers of a frame are known: those the unwinder recovered, as far as calls keep them, and those that the frame's
// compiler knows its callees to leave alone.

import type { Architecture } from '../arch/architecture.ts';
import type { FrameTrust } from '../model/frame.ts';
import type { Registers } from '../model/registers.ts';
import { AT } from './constants.ts';
import { readString } from './forms.ts';
import { type Unit, visitAttributes } from './unit.ts';

/** A real (not inlined) frame as the unwinder found it. */
export interface FrameState {
  readonly pc: bigint;
  /** The pc itself and not a return address. */
  readonly exactPc: boolean;
  readonly cfa: bigint | null;
  readonly trust: FrameTrust;
  readonly registers: Registers;
}

/** DW_LANG_Go. */
const GO = 0x16;

/** The registers of frame `index`, whose function is in `unit` (null: not known). `isCode` says whether any image holds an address. */
export class FrameRegisters {
  private readonly frames: readonly FrameState[];
  private readonly index: number;
  private readonly architecture: Architecture;
  private readonly unit: () => Unit | null;
  private readonly areRestored: boolean;

  constructor(input: {
    readonly frames: readonly FrameState[];
    readonly index: number;
    readonly architecture: Architecture;
    readonly unit: () => Unit | null;
    readonly isCode: (address: bigint) => boolean;
  }) {
    this.frames = input.frames;
    this.index = input.index;
    this.architecture = input.architecture;
    this.unit = input.unit;
    this.areRestored = areRestored(input.frames, input.index, input.isCode);
  }

  /** The value of a register by gdb's name; null when nobody kept it. Throws DWARF_* where the unit's root is damaged. */
  find(name: string): bigint | null {
    const frame = this.frames[this.index]!;
    const own = this.isOwn(name, frame) ? frame.registers.values[name] : undefined;
    return own ?? this.keptByCallees(name);
  }

  /** Go's functions keep nothing for their callers but the stack and frame pointers, and its locations do not end at calls. */
  private isOwn(name: string, frame: FrameState): boolean {
    const { pc, sp, fp } = this.architecture;
    if (name === pc || name === sp || name === fp) return true;
    return this.areRestored && (frame.exactPc || this.unit()?.root.language !== GO);
  }

  /**
   * Folklore: GCC knows what its callees leave alone (-fipa-ra, on since -O1), keeps values in such registers over calls, and lets
   * its locations end before a return address where they do not survive. So what it still names there is as the callees have it.
   * clang's locations do not end there: gdb prints stale values of them, we print none. Test: test/symbolize/values-oracle.test.ts.
   */
  private keptByCallees(name: string): bigint | null {
    const { preserved } = this.architecture;
    const unit = this.unit();
    // A register that callees must save and that CFI calls lost is lost.
    if (!this.areRestored || unit === null || preserved.includes(name) || !isFromGcc(unit)) return null;
    for (let at = this.index - 1; at >= 0; at -= 1) {
      const { trust, registers, exactPc } = this.frames[at]!;
      const value = registers.values[name];
      // What an interrupted frame lacks, the handler has overwritten.
      if (value !== undefined || exactPc || trust !== 'cfi') return value ?? null;
    }
    return null;
  }
}

/**
 * A step by frame pointers does not know which other registers the callee saved: from there on they are anybody's. Unless the
 * callee is no code at all, a call through a wild pointer: that saved and changed nothing.
 */
function areRestored(frames: readonly FrameState[], index: number, isCode: (address: bigint) => boolean): boolean {
  for (let at = index; at > 0; at -= 1) {
    const { trust } = frames[at]!;
    const callee = frames[at - 1]!;
    if (trust === 'registers') return true;
    if (trust !== 'cfi' && !(callee.exactPc && !isCode(callee.pc))) return false;
  }
  return true;
}

const fromGcc = new WeakMap<Unit, boolean>();

/** DW_AT_producer: `GNU C17 12.2.0 …`, `GNU GIMPLE …` after link-time optimisation. */
function isFromGcc(unit: Unit): boolean {
  let known = fromGcc.get(unit);
  if (known !== undefined) return known;
  known = false;
  unit.header.section.scan(unit.header.root, (cursor) => {
    const code = cursor.uleb();
    if (code === 0) return;
    visitAttributes(cursor, unit.abbrevs.get(code), unit.encoding, ({ name, form }) => {
      if (name === AT.producer) known = readString(cursor, form, unit)?.startsWith('GNU ') ?? false;
    });
  });
  fromGcc.set(unit, known);
  return known;
}
