// Where the variables of a frame are, from what the unwinder recovered of its registers: frame base, registers that a callee
// kept, and what the caller passed (DW_OP_entry_value, section 2.5.1.7) where the frame itself has forgotten it.

import type { Architecture } from '../arch/architecture.ts';
import { getArchitecture } from '../arch/machines.ts';
import type { Memory } from '../model/target.ts';
import { type CallParameter, callParametersOf, callSitesOf, type EntryRegister, entryRegisterOf } from './call-site.ts';
import { attemptDwarf } from './children.ts';
import { AT, ATE, TAG } from './constants.ts';
import { type Contents, contentsAt, missingContents, registerContents, valueContents } from './contents.ts';
import { findIndexedAddress, type Reference } from './forms.ts';
import { FrameRegisters, type FrameState } from './frame-registers.ts';
import { attributesOf, type Complain, type Die } from './info.ts';
import { bytesOf, evaluateLocation, type Location, type LocationContext, NOT_SAVED, OPTIMIZED_OUT, wordOf } from './location.ts';
import { findInLocationList, type LocationAttribute, readLocationAttribute } from './location-list.ts';
import type { ScalarType } from './scalar.ts';
import { mayReenter, sameFunction } from './tail-calls.ts';
import { readType } from './type-attributes.ts';
import { type Unit, visitAttributes } from './unit.ts';
import { type Activation, type DwarfVariables, readVariable, type Variable } from './variables.ts';

/** An image's variables, and where it lies. */
export interface PlacedVariables {
  readonly variables: DwarfVariables;
  readonly loadBias: bigint;
  /** Link address of a function by its linker name. */
  readonly findFunctionAddress: (name: string) => bigint | null;
  readonly complain: Complain;
}

/** A stack to ask for values. `find` gives the image that a run-time address is in. */
export interface ValueStack {
  /** Innermost first. */
  readonly frames: readonly FrameState[];
  readonly memory: Memory;
  readonly find: (address: bigint) => PlacedVariables | null;
}

/** What leads from one variable to the next: pointers that are gone, calls of callers. */
const MAX_DEPTH = 8;

/** The variables of frame `index` of `stack`; null when no image knows of it, or it was only guessed. */
export function openFrameValues(stack: ValueStack, index: number): FrameValues | null {
  const frame = stack.frames[index];
  if (frame === undefined || frame.trust === 'scan' || frame.trust === 'reported') return null;
  const address = frame.exactPc ? frame.pc : frame.pc - 1n;
  const placed = stack.find(address);
  return placed === null ? null : new FrameValues(stack, index, frame, placed, address);
}

/** One frame's variables. */
export class FrameValues {
  readonly placed: PlacedVariables;
  readonly memory: Memory;
  readonly architecture: Architecture;
  private readonly stack: ValueStack;
  private readonly index: number;
  private readonly frame: FrameState;
  private readonly origin: bigint;
  /** Where the frame is, as an offset from the image's origin. */
  private readonly address: number;
  private readonly registers: FrameRegisters;
  private found: readonly Activation[] | null = null;
  private depth = 0;

  constructor(stack: ValueStack, index: number, frame: FrameState, placed: PlacedVariables, address: bigint) {
    this.stack = stack;
    this.index = index;
    this.frame = frame;
    this.placed = placed;
    this.memory = stack.memory;
    this.architecture = getArchitecture(frame.registers.machine);
    this.origin = placed.variables.info.sections.file.origin + placed.loadBias;
    this.address = Number(address - this.origin);
    this.registers = new FrameRegisters({
      frames: stack.frames,
      index,
      architecture: this.architecture,
      unit: () => this.activations.at(-1)?.die.unit ?? null,
      isCode: (pc) => stack.find(pc) !== null,
    });
  }

  /** Innermost inlined call first, the real function last. */
  get activations(): readonly Activation[] {
    this.found ??= this.placed.variables.find(this.address);
    return this.found;
  }

  /** Where a variable's value is. Never throws: a location that is damaged is told, and is no location. */
  contentsOf(variable: Variable): Contents {
    const { constant, location } = variable;
    if (location !== null) return this.contentsAt(location, variable.die.unit);
    if (typeof constant === 'bigint') return valueContents(bytesOf(BigInt.asUintN(128, constant), 16));
    return constant === null ? missingContents(OPTIMIZED_OUT) : valueContents(constant);
  }

  /** What an expression of `unit` gives, as a number: an array's bound, a value that was passed. */
  evaluate(expression: Uint8Array, unit: Unit): bigint | null {
    const location = this.attempt(() => evaluateLocation(expression, this.contextOf(unit)));
    return location === null ? null : this.valueOf(location);
  }

  /** The value of the integer variable that `reference`, read in `unit`, means: the bound of an array; null when it cannot be had. */
  integerAt(reference: Reference, unit: Unit): bigint | null {
    const { info } = this.placed.variables;
    return this.attempt(() => {
      const die = info.follow(unit, reference);
      const variable = die === null ? null : readVariable(info, die);
      const type = variable?.type == null ? null : info.follow(variable.type.unit, variable.type.reference);
      const scalar = scalarTypeOf(type);
      if (variable === null || scalar === null) return null;
      const bytes = this.contentsOf(variable).read(0, scalar.size);
      if (typeof bytes === 'string') return null;
      return scalar.signed ? BigInt.asIntN(scalar.size * 8, wordOf(bytes)) : wordOf(bytes);
    });
  }

  private contentsAt(attribute: LocationAttribute, unit: Unit): Contents {
    if (this.depth >= MAX_DEPTH) return missingContents(OPTIMIZED_OUT);
    this.depth += 1;
    const location = this.attempt(() => {
      const expression = this.expressionAt(attribute, unit);
      return expression === null ? null : evaluateLocation(expression, this.contextOf(unit));
    });
    this.depth -= 1;
    if (location === null) return missingContents(OPTIMIZED_OUT);
    return contentsAt(location, {
      memory: this.stack.memory,
      registerBytes: (number) => this.registerBytes(number),
      implicitTarget: (offset) => this.implicitTarget(offset),
    });
  }

  private expressionAt(attribute: LocationAttribute, unit: Unit): Uint8Array | null {
    if (attribute.kind === 'expression') return attribute.expression;
    return findInLocationList(unit, attribute.offset, this.address, this.isAtEntry());
  }

  private isAtEntry(): boolean {
    return this.frame.exactPc && this.placed.variables.findFunction(this.address)?.entry === this.address;
  }

  private contextOf(unit: Unit): LocationContext {
    const { info } = this.placed.variables;
    const { addressSize, offsetSize, version } = unit.encoding;
    return {
      addressSize,
      offsetSize,
      referenceSize: version <= 2 ? addressSize : offsetSize,
      loadBias: this.placed.loadBias,
      cfa: this.frame.cfa,
      register: (number) => {
        const bytes = this.registerBytes(number);
        return typeof bytes === 'string' ? null : wordOf(bytes);
      },
      readMemory: (address, size) => {
        const bytes = this.stack.memory.read(address, size);
        return bytes === null ? null : wordOf(bytes);
      },
      frameBase: () => this.frameBase(),
      indexedAddress: (index) => this.indexed(index, unit, this.origin),
      indexedConstant: (index) => this.indexed(index, unit, info.sections.file.origin),
      scalarType: (offset) => scalarTypeOf(info.findEntryIn(unit, unit.header.offset + offset)),
      entryValue: (expression) => this.entryValue(expression),
      parameterValue: (offset) => this.passed((parameter) => parameter.parameter === unit.header.offset + offset, false),
      expressionOf: (offset, isInUnit) => {
        const die = isInUnit ? info.findEntryIn(unit, unit.header.offset + offset) : info.findEntry(offset);
        const attribute = die === null ? null : locationOf(die, AT.location);
        return die === null || attribute === null ? null : this.expressionAt(attribute, die.unit);
      },
    };
  }

  private indexed(index: number, unit: Unit, origin: bigint): bigint | null {
    const offset = findIndexedAddress(index, unit);
    return offset === null || !Number.isSafeInteger(offset) ? null : origin + BigInt(offset);
  }

  /** DW_AT_frame_base of the real function: a value, or the register that holds it. */
  private frameBase(): bigint | null {
    const die = this.activations.at(-1)?.die;
    if (die === undefined) return null;
    const attribute = locationOf(die, AT.frame_base);
    const expression = attribute === null ? null : this.expressionAt(attribute, die.unit);
    if (expression === null) return null;
    return this.valueOf(evaluateLocation(expression, { ...this.contextOf(die.unit), frameBase: () => null }));
  }

  /** A result where a number is meant: what is left on the stack, or what the register holds. */
  private valueOf(location: Location): bigint | null {
    if (location.kind === 'memory') return location.address;
    if (location.kind === 'value') return wordOf(location.bytes);
    if (location.kind !== 'register') return null;
    const bytes = this.registerBytes(location.register);
    return typeof bytes === 'string' ? null : wordOf(bytes);
  }

  private registerBytes(number: number): Uint8Array | string {
    const { architecture } = this;
    const name = architecture.dwarfRegisters[number];
    const value = name === undefined ? null : this.attempt(() => this.registers.find(name));
    if (name !== undefined && value !== null) return registerContents(name, value, architecture.addressSize);
    return this.index === 0 ? 'unavailable' : NOT_SAVED;
  }

  private entryValue(expression: Uint8Array): bigint | null {
    const wanted = entryRegisterOf(expression);
    return wanted === null ? null : this.passed((parameter) => isPassedIn(parameter, wanted), wanted.dereferenced);
  }

  /** What the caller passed, if the caller and its call of this very function are known beyond doubt. */
  private passed(isIt: (parameter: CallParameter) => boolean, dereferenced: boolean): bigint | null {
    const caller = this.frame.trust === 'scan' || this.depth >= MAX_DEPTH ? null : openFrameValues(this.stack, this.index + 1);
    const callee = this.activations.at(-1)?.die ?? null;
    if (caller === null || callee === null || caller.frame.exactPc) return null;
    caller.depth = this.depth + 1;
    const site = caller.callSite();
    if (site === null || !this.isCalledBy(site, caller) || mayReenter(callee, this.placed)) return null;
    for (const parameter of callParametersOf(caller.placed.variables.info, site)) {
      if (!isIt(parameter)) continue;
      const value = dereferenced ? parameter.dataValue : parameter.value;
      return value === null ? null : caller.evaluate(value, site.die.unit);
    }
    return null;
  }

  /** The call that this frame is waiting for. */
  private callSite(): ReturnType<typeof callSitesOf>[number] | null {
    const die = this.activations.at(-1)?.die;
    if (die === undefined) return null;
    const returnAddress = Number(this.frame.pc - this.origin);
    return callSitesOf(die).find((site) => site.returnAddress === returnAddress && !site.isTailCall) ?? null;
  }

  private isCalledBy(site: ReturnType<typeof callSitesOf>[number], caller: FrameValues): boolean {
    const callee = this.placed.variables.findFunction(this.address);
    if (callee === null) return false;
    if (site.origin !== null) {
      const target = caller.placed.variables.info.follow(site.die.unit, site.origin);
      return target !== null && sameFunction(target, callee.die, caller.placed.variables.info, this.placed.variables.info);
    }
    const target = site.target === null ? null : caller.evaluate(site.target, site.die.unit);
    return target !== null && callee.entry !== null && target === this.origin + BigInt(callee.entry);
  }

  private implicitTarget(offset: number): Contents {
    const { info } = this.placed.variables;
    const variable = this.attempt(() => {
      const die = info.findEntry(offset);
      return die === null ? null : readVariable(info, die);
    });
    return variable === null || this.depth >= MAX_DEPTH ? missingContents(OPTIMIZED_OUT) : this.contentsOf(variable);
  }

  private attempt<T>(body: () => T): T | null {
    return attemptDwarf(body, this.placed.complain);
  }
}

function isPassedIn(parameter: CallParameter, wanted: EntryRegister): boolean {
  const passed = parameter.location === null ? null : entryRegisterOf(parameter.location);
  return passed !== null && passed.register === wanted.register;
}

function locationOf({ unit, entry }: Die, attribute: number): LocationAttribute | null {
  const cursor = attributesOf({ unit, entry });
  let found: LocationAttribute | null = null;
  visitAttributes(cursor, entry.abbrev, unit.encoding, ({ name, form }) => {
    if (name === attribute) found = readLocationAttribute(cursor, form, unit);
  });
  return found;
}

/** A DW_TAG_base_type as expressions see it; null for what they cannot compute with. */
function scalarTypeOf(die: Die | null): ScalarType | null {
  if (die?.entry.abbrev.tag !== TAG.base_type) return null;
  const { encoding, byteSize } = readType(die);
  if (byteSize === null || byteSize < 1 || byteSize > 16) return null;
  if (encoding === ATE.float) return { kind: 'float', signed: true, size: byteSize };
  const signed = encoding === ATE.signed || encoding === ATE.signed_char;
  return { kind: 'integer', signed, size: byteSize };
}
