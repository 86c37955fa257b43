// Parameters and local variables in scope at an address (DWARF 5 sections 3.3, 3.5 and 4.1): one walk over the entries of the
// function there, down its lexical blocks and inlined calls that hold the address. What a concrete entry does not say, its
// abstract origin does (3.3.8.2).

import { attemptDwarf, childrenOf } from './children.ts';
import { AT, TAG } from './constants.ts';
import { type Reference, readBigConstant, readBlock, readConstant, readFlag, readReference, readString } from './forms.ts';
import { attributesOf, type Complain, type DebugInfo, type Die } from './info.ts';
import { type LocationAttribute, readLocationAttribute } from './location-list.ts';

import { finite } from './type-attributes.ts';
import { newPcRange, piecesOf, readPcAttribute, type Unit, visitAttributes } from './unit.ts';

/** A parameter or local variable. */
export interface Variable {
  readonly die: Die;
  readonly name: string;
  readonly kind: 'parameter' | 'local';
  /** Made by the compiler: `this`, a closure's environment, the size of a variable-length array. */
  readonly artificial: boolean;
  /** The line it is declared on. */
  readonly line: number | null;
  /** Its type, as DW_AT_type of `unit`; null is unknown. */
  readonly type: { readonly unit: Unit; readonly reference: Reference } | null;
  /** Where it is; null when the compiler says nothing: optimised out. */
  readonly location: LocationAttribute | null;
  /** Its value where that is a constant: a number, or bytes as they would lie in memory. */
  readonly constant: bigint | Uint8Array | null;
}

/** A function that is active at an address: inlined, or the real one. */
export interface Activation {
  readonly die: Die;
  readonly inlined: boolean;
  /** In the order of the declaration. */
  readonly parameters: readonly Variable[];
  /** Those of the innermost block first; a name that comes twice is shadowed the second time. */
  readonly locals: readonly Variable[];
}

/** Bounds for hostile files; generated code has functions of some thousand locals. */
const MAX_VARIABLES = 16_384;
const MAX_DEPTH = 256;
const MAX_HOPS = 16;

/** The variables of one image. Look-ups never throw for damaged debug info: they say less, and tell `complain`. */
export class DwarfVariables {
  readonly info: DebugInfo;
  private readonly complain: Complain;

  constructor(info: DebugInfo, complain: Complain) {
    this.info = info;
    this.complain = complain;
  }

  /** The entry of the function whose code holds `address` (an offset from the image's origin), and where that function starts. */
  findFunction(address: number): { readonly die: Die; readonly entry: number | null } | null {
    for (const listed of this.info.unitsAt(address)) {
      const unit = this.info.fullUnit(listed);
      const piece = this.attempt(() => this.info.functionAt(unit, address));
      const die = piece === null ? null : this.attempt(() => this.info.findEntryIn(unit, piece.die));
      if (piece !== null && die !== null) return { die, entry: piece.entry };
    }
    return null;
  }

  /** The activations at `address`, innermost first, the real function last; empty where no function is known. */
  find(address: number): readonly Activation[] {
    const found = this.findFunction(address);
    if (found === null) return [];
    return this.attempt(() => new ScopeReader(this.info, address).read(found.die)) ?? [];
  }

  private attempt<T>(body: () => T): T | null {
    return attemptDwarf(body, this.complain);
  }
}

/** The attributes of a variable's entry, or of one that it completes. */
interface VariableAttributes {
  name: string | null;
  artificial: boolean;
  line: number | null;
  type: Reference | null;
  location: LocationAttribute | null;
  constant: bigint | Uint8Array | null;
  origin: Reference | null;
  declaration: boolean;
}

/** Reads a variable, completed from its abstract origin and its specification; null without a name. */
export function readVariable(info: DebugInfo, die: Die): Variable | null {
  const first = readVariableAttributes(die);
  let { name, artificial, line } = first;
  let type = first.type === null ? null : { unit: die.unit, reference: first.type };
  let { constant } = first;
  let origin = first.origin;
  for (let at: Die | null = die, hops = 0; origin !== null && hops < MAX_HOPS; hops += 1) {
    at = info.follow(at.unit, origin);
    if (at === null) break;
    const more = readVariableAttributes(at);
    name ??= more.name;
    line ??= more.line;
    artificial ||= more.artificial;
    constant ??= more.constant;
    if (type === null && more.type !== null) type = { unit: at.unit, reference: more.type };
    origin = more.origin;
  }
  if (name === null) return null;
  const kind = die.entry.abbrev.tag === TAG.formal_parameter ? 'parameter' : 'local';
  return { die, name, kind, artificial, line, type, location: first.location, constant };
}

function readVariableAttributes(die: Die): VariableAttributes {
  const { unit, entry } = die;
  const { encoding } = unit;
  const cursor = attributesOf(die);
  const out: VariableAttributes = {
    ...{ name: null, artificial: false, line: null, type: null, location: null, constant: null, origin: null },
    declaration: false,
  };
  visitAttributes(cursor, entry.abbrev, encoding, (spec) => {
    const { form, implicitConst } = spec;
    switch (spec.name) {
      case AT.name:
        out.name = readString(cursor, form, unit);
        break;
      case AT.artificial:
        out.artificial = readFlag(cursor, form, encoding);
        break;
      case AT.declaration:
        out.declaration = readFlag(cursor, form, encoding);
        break;
      case AT.decl_line:
        out.line = finite(readConstant(cursor, form, implicitConst, encoding));
        break;
      case AT.type:
        out.type = readReference(cursor, form, encoding);
        break;
      case AT.location:
        out.location = readLocationAttribute(cursor, form, unit);
        break;
      case AT.const_value: {
        const start = cursor.offset;
        out.constant = readBigConstant(cursor, spec, encoding, false);
        if (out.constant !== null) break;
        cursor.seek(start);
        out.constant = readBlock(cursor, form, encoding);
        break;
      }
      case AT.abstract_origin:
      case AT.specification:
        out.origin = readReference(cursor, form, encoding);
        break;
    }
  });
  return out;
}

/** An activation while its variables are gathered. */
interface OpenActivation {
  readonly die: Die;
  readonly inlined: boolean;
  readonly parameters: Variable[];
  /** By block, outermost first. */
  readonly blocks: Variable[][];
}

class ScopeReader {
  private readonly info: DebugInfo;
  private readonly address: number;
  private readonly activations: OpenActivation[] = [];
  private count = 0;

  constructor(info: DebugInfo, address: number) {
    this.info = info;
    this.address = address;
  }

  read(die: Die): Activation[] {
    this.open(die, false, 0);
    return this.activations
      .map((open) => ({
        die: open.die,
        inlined: open.inlined,
        parameters: this.completeParameters(open),
        locals: open.blocks.reverse().flat(),
      }))
      .reverse();
  }

  private open(die: Die, inlined: boolean, depth: number): void {
    const activation: OpenActivation = { die, inlined, parameters: [], blocks: [] };
    this.activations.push(activation);
    this.readBlock(die, activation, depth);
  }

  private readBlock(die: Die, activation: OpenActivation, depth: number): void {
    if (depth > MAX_DEPTH) return;
    const block: Variable[] = [];
    activation.blocks.push(block);
    for (const child of childrenOf(die)) {
      switch (child.entry.abbrev.tag) {
        case TAG.formal_parameter:
          this.add(child, activation.parameters);
          break;
        case TAG.variable:
          this.add(child, block);
          break;
        case TAG.lexical_block:
        case TAG.try_block:
        case TAG.catch_block:
        case TAG.with_stmt:
          if (holds(child, this.address)) this.readBlock(child, activation, depth + 1);
          break;
        case TAG.inlined_subroutine:
          if (holds(child, this.address)) this.open(child, true, depth + 1);
          break;
      }
    }
  }

  private add(die: Die, to: Variable[]): void {
    this.count += 1;
    if (this.count > MAX_VARIABLES) return;
    const variable = readVariable(this.info, die);
    if (variable !== null) to.push(variable);
  }

  /** In the order of the abstract instance; those that have no concrete entry are there, and optimised out. */
  private completeParameters({ die, parameters }: OpenActivation): readonly Variable[] {
    const origin = originOf(this.info, die);
    if (origin === null) return parameters;
    const concrete = new Map(parameters.map((parameter) => [abstractKey(this.info, parameter.die), parameter]));
    const complete: Variable[] = [];
    for (const child of childrenOf(origin)) {
      if (child.entry.abbrev.tag !== TAG.formal_parameter || complete.length >= MAX_VARIABLES) continue;
      const key = keyOf(child);
      const variable = concrete.get(key) ?? readVariable(this.info, child);
      if (variable !== null) complete.push(variable);
    }
    const known = new Set(complete);
    return [...complete, ...parameters.filter((parameter) => !known.has(parameter))];
  }
}

/** Whether the entry's code holds `address`; a block without any code of its own is its parent's (old GCC wrote such). */
function holds(die: Die, address: number): boolean {
  const { unit, entry } = die;
  const cursor = attributesOf(die);
  const pc = newPcRange();
  visitAttributes(cursor, entry.abbrev, unit.encoding, (spec) => {
    readPcAttribute(cursor, spec, unit, pc);
  });
  const isUnplaced = pc.rangesOffset === null && pc.low === null;
  if (isUnplaced) return entry.abbrev.tag === TAG.lexical_block;
  const pieces = piecesOf(unit, pc);
  for (let at = 0; at + 1 < pieces.length; at += 2) if (pieces[at]! <= address && address < pieces[at + 1]!) return true;
  return false;
}

/** The entry that this one is an instance of (DW_AT_abstract_origin), or null. */
export function originOf(info: DebugInfo, { unit, entry }: Die): Die | null {
  const cursor = attributesOf({ unit, entry });
  const found = { origin: null as Reference | null };
  visitAttributes(cursor, entry.abbrev, unit.encoding, ({ name, form }) => {
    if (name === AT.abstract_origin) found.origin = readReference(cursor, form, unit.encoding);
  });
  return found.origin === null ? null : info.follow(unit, found.origin);
}

/** What tells entries of one file apart. */
export function keyOf({ unit, entry }: Die): string {
  return `${unit.sections.file.path}:${unit.header.section.name}:${entry.offset}`;
}

function abstractKey(info: DebugInfo, die: Die): string {
  const origin = originOf(info, die);
  return keyOf(origin ?? die);
}
