// Call sites (DWARF 5 section 3.4; GNU's form of them before DWARF 5): what a caller passed, for values that a function knew
// when it was entered and has not kept (DW_OP_entry_value).

import { childrenOf } from './children.ts';
import { AT, TAG } from './constants.ts';
import { type Reference, readAddress, readBlock, readFlag, readReference } from './forms.ts';
import { attributesOf, type DebugInfo, type Die } from './info.ts';
import { visitAttributes } from './unit.ts';

/** A call. */
export interface CallSite {
  readonly die: Die;
  /** Where it returns to, as an offset from the image's origin. */
  readonly returnAddress: number | null;
  /** What is called, when the call says so. */
  readonly origin: Reference | null;
  /** An expression for the address that is called, when it goes through a pointer. */
  readonly target: Uint8Array | null;
  /** A jump in place of a call: the callee returns to the caller's caller. */
  readonly isTailCall: boolean;
}

/** What a call passes in one place. */
export interface CallParameter {
  /** Where the callee finds it, as a location expression. */
  readonly location: Uint8Array | null;
  /** The parameter's own entry, as an offset in .debug_info. */
  readonly parameter: number | null;
  /** Expressions for what is passed, and for what lies where it points. */
  readonly value: Uint8Array | null;
  readonly dataValue: Uint8Array | null;
}

/** Bounds for hostile files. */
const MAX_CALL_SITES = 65_536;
const MAX_DEPTH = 256;

const HOLDERS: ReadonlySet<number> = new Set([
  TAG.lexical_block,
  TAG.inlined_subroutine,
  TAG.try_block,
  TAG.catch_block,
  TAG.with_stmt,
]);

/** All calls of a function, inlined ones' too. */
export function callSitesOf(die: Die): CallSite[] {
  const sites: CallSite[] = [];
  const walk = (parent: Die, depth: number): void => {
    for (const child of childrenOf(parent)) {
      const { tag } = child.entry.abbrev;
      if (sites.length >= MAX_CALL_SITES) return;
      if (tag === TAG.call_site || tag === TAG.GNU_call_site) sites.push(readCallSite(child));
      else if (HOLDERS.has(tag) && depth < MAX_DEPTH) walk(child, depth + 1);
    }
  };
  walk(die, 0);
  return sites;
}

function readCallSite(die: Die): CallSite {
  const { unit, entry } = die;
  const { encoding } = unit;
  const cursor = attributesOf(die);
  const site = { returnAddress: null as number | null, origin: null as Reference | null, target: null as Uint8Array | null };
  let isTailCall = false;
  visitAttributes(cursor, entry.abbrev, encoding, ({ name, form }) => {
    if (name === AT.call_return_pc || name === AT.low_pc) site.returnAddress = readAddress(cursor, form, unit);
    else if (name === AT.call_origin || name === AT.abstract_origin) site.origin = readReference(cursor, form, encoding);
    else if (name === AT.call_target || name === AT.GNU_call_site_target) site.target = readBlock(cursor, form, encoding);
    else if (name === AT.call_tail_call || name === AT.GNU_tail_call) isTailCall = readFlag(cursor, form, encoding);
  });
  return { die, ...site, isTailCall };
}

/** What is passed at a call site. */
export function* callParametersOf(info: DebugInfo, site: CallSite): Generator<CallParameter> {
  for (const child of childrenOf(site.die)) {
    const { unit, entry } = child;
    if (entry.abbrev.tag !== TAG.call_site_parameter && entry.abbrev.tag !== TAG.GNU_call_site_parameter) continue;
    const cursor = attributesOf(child);
    const out = { location: null, value: null, dataValue: null } as Record<'location' | 'value' | 'dataValue', Uint8Array | null>;
    const of = { parameter: null as Reference | null };
    visitAttributes(cursor, entry.abbrev, unit.encoding, ({ name, form }) => {
      const block = (): Uint8Array | null => readBlock(cursor, form, unit.encoding);
      if (name === AT.location) out.location = block();
      else if (name === AT.call_value || name === AT.GNU_call_site_value) out.value = block();
      else if (name === AT.call_data_value || name === AT.GNU_call_site_data_value) out.dataValue = block();
      else if (name === AT.call_parameter || name === AT.abstract_origin)
        of.parameter = readReference(cursor, form, unit.encoding);
    });
    const parameter = of.parameter === null ? null : info.follow(unit, of.parameter);
    yield { ...out, parameter: parameter?.entry.offset ?? null };
  }
}

/** A register as an entry value names it: itself (`DW_OP_reg5`; `DW_OP_regval_type` of a vector register), or what lies where it points (`DW_OP_breg5 0; DW_OP_deref`). */
export interface EntryRegister {
  readonly register: number;
  readonly dereferenced: boolean;
}

/** The register that an expression names, or null: no producer passes anything else. */
export function entryRegisterOf(expression: Uint8Array): EntryRegister | null {
  const [operator, ...rest] = expression;
  if (operator === undefined) return null;
  if (operator >= 0x50 && operator <= 0x6f) return rest.length === 0 ? { register: operator - 0x50, dereferenced: false } : null;
  if (operator === 0xa5 || operator === 0xf5) return rest[0]! < 0x80 ? { register: rest[0]!, dereferenced: false } : null;
  if (operator === 0x90) return rest.length === 1 && rest[0]! < 0x80 ? { register: rest[0]!, dereferenced: false } : null;
  if (operator < 0x70 || operator > 0x8f || rest[0] !== 0) return null;
  const register = operator - 0x70;
  if (rest.length === 1) return { register, dereferenced: false };
  return rest.length === 2 && rest[1] === 0x06 ? { register, dereferenced: true } : null;
}
