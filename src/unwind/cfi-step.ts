// One step by call frame information (DWARF 5 section 6.4.3): the row that holds at the pc, applied to registers and memory.

import type { CfiMatch } from '../dwarf/cfi-index.ts';
import type { CfaRule, RegisterRule } from '../dwarf/cfi-row.ts';
import { type ExpressionContext, evaluateExpression } from '../dwarf/expression.ts';
import { errorCode } from '../model/error.ts';
import type { StackEnd } from '../model/frame.ts';
import { findCallBefore } from './code.ts';
import { findModule, type UnwindModule } from './module.ts';
import {
  type Caller,
  lookupAddress,
  makeCaller,
  preservedRegisters,
  type RawFrame,
  readUnsigned,
  type WalkContext,
} from './walk.ts';

/** The caller by CFI; why the stack ends here; or null when CFI has nothing to say (no row, or a register it needs is not known). */
export function stepByCfi(context: WalkContext, frame: RawFrame): Caller | StackEnd | null {
  const address = lookupAddress(frame);
  const module = findModule(context.modules, address);
  const match = module?.cfi?.find(address - module.loadBias) ?? null;
  if (module === null || match === null) return null;
  try {
    return new RowApplication(context, frame, module, match).caller();
  } catch (error) {
    // A row whose expressions are nonsense is as good as none.
    if (errorCode(error) !== 'CFI_MALFORMED') throw error;
    return null;
  }
}

/** The CFA of a frame that has no caller: its variables are counted from there all the same. Null when CFI does not say. */
export function findCfa(context: WalkContext, frame: RawFrame): bigint | null {
  if (frame.trust === 'scan') return null;
  const address = lookupAddress(frame);
  const module = findModule(context.modules, address);
  const match = module?.cfi?.find(address - module.loadBias) ?? null;
  if (module === null || match?.row.cfa == null) return null;
  try {
    return new RowApplication(context, frame, module, match).cfa(match.row.cfa);
  } catch (error) {
    if (errorCode(error) !== 'CFI_MALFORMED') throw error;
    return null;
  }
}

class RowApplication {
  private readonly context: WalkContext;
  private readonly frame: RawFrame;
  private readonly match: CfiMatch;
  private readonly expressions: ExpressionContext;

  constructor(context: WalkContext, frame: RawFrame, module: UnwindModule, match: CfiMatch) {
    this.context = context;
    this.frame = frame;
    this.match = match;
    this.expressions = {
      addressSize: match.fde.cie.addressSize,
      register: (number) => this.register(number),
      readMemory: (address, size) => readUnsigned(context.memory, address, size),
      loadBias: module.loadBias,
      cfa: null,
    };
  }

  caller(): Caller | StackEnd | null {
    const { architecture } = this.context;
    const { row, fde } = this.match;
    const cfa = row.cfa === null ? null : this.cfa(row.cfa);
    if (cfa === null) return null;
    const column = fde.cie.returnAddressColumn;
    const values = this.callerValues(cfa);
    const returnRule = row.rules.get(column);
    if (returnRule?.kind === 'undefined') return 'outermost';
    const returned = this.returnAddress(returnRule, column, cfa);
    if (returned === null) return isInMemory(returnRule) ? 'unreadable' : null;
    const pc = architecture.stripPointer(returned);
    const exactPc = fde.cie.signalFrame;
    if (pc === 0n && !exactPc) return 'outermost';
    // A return address that is none was smashed, or the CFI is wrong: shown, as it may be where the code will go, but not believed.
    const trust = exactPc || isCode(this.context, pc) ? 'cfi' : 'scan';
    return makeCaller(architecture, values, { pc, cfa, trust, exactPc });
  }

  private callerValues(cfa: bigint): Record<string, bigint> {
    const { architecture } = this.context;
    const values = preservedRegisters(architecture, this.frame.registers.values);
    const lost: string[] = [];
    for (const [number, rule] of this.match.row.rules) {
      const name = number === this.match.fde.cie.returnAddressColumn ? undefined : architecture.dwarfRegisters[number];
      if (name === undefined) continue;
      const value = this.value(rule, number, cfa);
      if (value === null) lost.push(name);
      else values[name] = value;
    }
    return lost.length === 0 ? values : Object.fromEntries(Object.entries(values).filter(([name]) => !lost.includes(name)));
  }

  cfa(rule: CfaRule): bigint | null {
    if (rule.kind === 'expression') return evaluateExpression(rule.expression, this.expressions);
    const value = this.register(rule.register);
    return value === null ? null : this.wrap(value + BigInt(rule.offset));
  }

  /** Without a rule the return address is where the call left it: in the link register, while the code that runs has it. */
  private returnAddress(rule: RegisterRule | undefined, column: number, cfa: bigint): bigint | null {
    if (rule !== undefined) return this.value(rule, column, cfa);
    return this.context.architecture.linkRegister === null ? null : this.register(column);
  }

  private value(rule: RegisterRule, number: number, cfa: bigint): bigint | null {
    switch (rule.kind) {
      case 'undefined':
        return null;
      case 'same-value':
        return this.register(number);
      case 'offset':
        return this.word(cfa + BigInt(rule.offset));
      case 'val-offset':
        return this.wrap(cfa + BigInt(rule.offset));
      case 'register':
        return this.register(rule.register);
      case 'expression': {
        const address = evaluateExpression(rule.expression, { ...this.expressions, cfa }, [cfa]);
        return address === null ? null : this.word(address);
      }
      case 'val-expression':
        return evaluateExpression(rule.expression, { ...this.expressions, cfa }, [cfa]);
    }
  }

  private register(number: number): bigint | null {
    const name = this.context.architecture.dwarfRegisters[number];
    return name === undefined ? null : (this.frame.registers.values[name] ?? null);
  }

  private word(address: bigint): bigint | null {
    return readUnsigned(this.context.memory, this.wrap(address), this.expressions.addressSize);
  }

  private wrap(value: bigint): bigint {
    return BigInt.asUintN(this.expressions.addressSize * 8, value);
  }
}

/**
 * Whether a return address may be one: code of an image, or behind a call where no image is (what a just-in-time compiler made).
 * Seen: OCaml 4's caml_raise_exception, whose CFI does not say that it takes the handler's stack pointer, so that the handler
 * before it, an address on the stack, passes for a return address; gdb shows it as a frame. Test: test/unwind/unwinder.test.ts.
 */
function isCode(context: WalkContext, pc: bigint): boolean {
  return findModule(context.modules, pc - 1n) !== null || findCallBefore(context, pc) !== null;
}

function isInMemory(rule: RegisterRule | undefined): boolean {
  return rule?.kind === 'offset' || rule?.kind === 'expression';
}
