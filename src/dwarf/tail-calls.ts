// Whether a frame's return address tells who called it with what. A function that is reached again by jumps of its own callees
// (tail calls) returns to the first caller with the last caller's arguments: gdb's func_verify_no_selftailcall, as data.

import { callSitesOf } from './call-site.ts';
import { AT } from './constants.ts';
import { readReference } from './forms.ts';
import { attributesOf, type DebugInfo, type Die } from './info.ts';
import { visitAttributes } from './unit.ts';
import { type DwarfVariables, keyOf } from './variables.ts';

/** Functions that are followed from jump to jump; a longer chain counts as one that may come back. */
const MAX_FUNCTIONS = 32;
const MAX_HOPS = 16;

/** Where functions are looked up. */
export interface FunctionSource {
  readonly variables: DwarfVariables;
  readonly findFunctionAddress: (name: string) => bigint | null;
}

/** Whether jumps out of `die` may lead back into it; true also when a jump goes where nobody can see. */
export function mayReenter(die: Die, source: FunctionSource): boolean {
  const start = keyOf(die);
  const seen = new Set<string>([start]);
  const open = [die];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const site of callSitesOf(next)) {
      if (!site.isTailCall) continue;
      const declared = site.origin === null ? null : source.variables.info.follow(site.die.unit, site.origin);
      const target = declared === null ? null : definitionOf(declared, source);
      if (target === null || keyOf(target) === start || seen.size > MAX_FUNCTIONS) return true;
      if (seen.has(keyOf(target))) continue;
      seen.add(keyOf(target));
      open.push(target);
    }
  }
  return false;
}

/** The entry with the code of a function that is called by its declaration or abstract instance. */
function definitionOf(die: Die, { variables, findFunctionAddress }: FunctionSource): Die | null {
  if (die.entry.abbrev.attributes.some(({ name }) => name === AT.low_pc || name === AT.ranges)) return die;
  const name = variables.info.nameOf(die)?.name ?? null;
  const address = name === null ? null : findFunctionAddress(name);
  if (address === null) return null;
  const offset = Number(address - variables.info.sections.file.origin);
  const found = variables.findFunction(offset);
  return found?.entry === offset ? found.die : null;
}

/** Whether the entry a call names and the entry whose code runs are one function: the same entry, or the same linker name. */
export function sameFunction(called: Die, running: Die, callerInfo: DebugInfo, info: DebugInfo): boolean {
  if (callerInfo === info) {
    const one = new Set(chainOf(callerInfo, called));
    if (chainOf(info, running).some((key) => one.has(key))) return true;
  }
  const [theirs, ours] = [callerInfo.nameOf(called), info.nameOf(running)];
  return theirs !== null && ours !== null && theirs.name === ours.name && theirs.isLinkerName && ours.isLinkerName;
}

/** An entry and all that it completes. */
function chainOf(info: DebugInfo, die: Die): string[] {
  const keys: string[] = [];
  for (let at: Die | null = die; at !== null && keys.length < MAX_HOPS; at = completed(info, at)) keys.push(keyOf(at));
  return keys;
}

function completed(info: DebugInfo, { unit, entry }: Die): Die | null {
  const cursor = attributesOf({ unit, entry });
  let next: Die | null = null;
  visitAttributes(cursor, entry.abbrev, unit.encoding, ({ name, form }) => {
    if (name !== AT.abstract_origin && name !== AT.specification) return;
    const reference = readReference(cursor, form, unit.encoding);
    next = reference === null ? null : info.follow(unit, reference);
  });
  return next;
}
