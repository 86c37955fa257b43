// FUNCDATA_InlTree (runtime/symtabinl.go; before 1.20 runtime/symtab.go inlinedCall): for each call that was inlined into a function,
// the called function's name and an instruction whose position is the call's.

import type { CodeLocation } from '../../model/code-table.ts';
import { errorCode } from '../../model/error.ts';
import type { FunctionRecord, Pclntab } from './pclntab.ts';

/** Calls inlined into one another: the compiler's budget ends long before. */
const MAX_DEPTH = 128;
/** Functions whose trees are read to find what funcdata are offsets from. */
const SAMPLES = 64;
const MAX_FUNCTIONS_TRIED = 4096;

/** Where inline trees are: the base of funcdata (0 for pointers), and the tree's index among them. */
export interface InlineTrees {
  readonly base: bigint;
  readonly index: number;
}

/** The activations at `pc` (offset from text), innermost first; the function itself last. */
export function locateInFunction(
  table: Pclntab,
  trees: InlineTrees | null,
  fn: FunctionRecord,
  pc: number,
): readonly CodeLocation[] {
  const entry = table.text + BigInt(fn.start);
  const locations: CodeLocation[] = [];
  const push = (name: string, inlined: boolean, at: number): void => {
    const place = table.placeOf(fn, at);
    const line = place === null || place.line === 0 ? null : place.line;
    locations.push({ function: name === '' ? null : name, entry, file: place?.file ?? null, line, column: null, inlined });
  };
  let at = pc;
  for (let depth = 0; trees !== null && depth < MAX_DEPTH; depth += 1) {
    const call = readCall(table, trees, fn, at);
    if (call === null) break;
    push(table.nameAt(call.name), true, at);
    at = fn.start + call.parentPc;
  }
  push(table.nameOf(fn), false, at);
  return locations;
}

/** The innermost inlined call that the instruction at `pc` belongs to, or null. */
function readCall(
  table: Pclntab,
  trees: InlineTrees,
  fn: FunctionRecord,
  pc: number,
): { readonly name: number; readonly parentPc: number } | null {
  const index = table.pcdata(fn, table.layout.inlineIndexTable, pc);
  if (index === null || index < 0) return null;
  const tree = table.funcdata(fn, trees.index);
  if (tree === null) return null;
  const { size, name, parentPc } = table.layout.inlineCall;
  const at = table.window.offsetOf(trees.base + tree) + size * index;
  const call = { name: table.window.i32(at + name), parentPc: table.window.i32(at + parentPc) };
  return call.parentPc >= 0 && call.parentPc < fn.end - fn.start ? call : null;
}

/** Where the image's inline trees are; null when none of `bases` and indices gives trees that hold together. */
export function findInlineTrees(table: Pclntab, bases: readonly bigint[]): InlineTrees | null {
  const samples = sampleFunctions(table);
  for (const index of table.layout.inlineTreeIndices) {
    const having = samples.filter(({ fn }) => isReadable(() => table.funcdata(fn, index) !== null)).slice(0, SAMPLES);
    if (having.length === 0) continue;
    for (const base of new Set(table.layout.funcdataAreOffsets ? bases : [0n])) {
      if (having.every(({ fn, pc }) => isTree(table, { base, index }, fn, pc))) return { base, index };
    }
  }
  return null;
}

/** Functions in which something is inlined, each with the pc of such a place. */
function sampleFunctions(table: Pclntab): readonly { readonly fn: FunctionRecord; readonly pc: number }[] {
  const found: { fn: FunctionRecord; pc: number }[] = [];
  const stride = Math.max(1, Math.floor(table.count / MAX_FUNCTIONS_TRIED));
  for (let index = 0; index < table.count && found.length < 4 * SAMPLES; index += stride) {
    const fn = table.functionAt(index);
    const pc = (fn.start + fn.end) >>> 1;
    if (isReadable(() => (table.pcdata(fn, table.layout.inlineIndexTable, pc) ?? -1) >= 0)) found.push({ fn, pc });
  }
  return found;
}

function isTree(table: Pclntab, trees: InlineTrees, fn: FunctionRecord, pc: number): boolean {
  return isReadable(() => {
    const call = readCall(table, trees, fn, pc);
    // A name begins behind the end of another.
    if (call === null || call.name < 0 || table.nameAt(call.name) === '') return false;
    return call.name === 0 || table.window.u8(table.parts.names + call.name - 1) === 0;
  });
}

function isReadable(test: () => boolean): boolean {
  try {
    return test();
  } catch (error) {
    if (errorCode(error) === null) throw error;
    return false;
  }
}
