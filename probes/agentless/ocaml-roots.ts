// What holds OCaml's heap (runtime/roots_nat.c, globroots.c): the values of modules, in caml_globals, and the stack. A block is told once,
// for the first that reaches it: modules in the order of linking, the program's last, come after each other backwards, then the stack. A word
// of the stack is taken for a value when it points behind a header in the heap; fields of blocks are values.

import type { HeapRow } from '../../src/model/heap.ts';
import type { ProbeGuest } from '../../src/model/probe.ts';
import { RowTally } from './census-rows.ts';
import { type HeapPart, headerAt, TAG, WORD } from './ocaml-blocks.ts';
import { readWordAt } from './typed.ts';

/** A stack: from its pointer to its end. */
export type StackPart = HeapPart;

const MAX_MODULES = 4096;
const MAX_FIELDS = 4096;
const MAX_STACK = 1024 * 1024;
/** Blocks that are followed, and bytes of them that are read. */
const MAX_BLOCKS = 3_000_000;
const MAX_READ = 256 * 1024 * 1024;
const PIECE = 64 * 1024;
/** Marks are kept for so many bytes of heap at once. */
const MARKED_BYTES = 65_536;

/** Roots of `allocated` bytes, the one that holds most first; null with why. */
export function findOcamlRoots(
  guest: ProbeGuest,
  parts: readonly HeapPart[],
  stacks: readonly StackPart[],
  allocated: number,
): { readonly roots: readonly HeapRow[] | null; readonly rootsAbsent: string | null } {
  const globals = guest.symbols.findSymbol('caml_globals');
  if (globals === null) return { roots: null, rootsAbsent: 'no symbol caml_globals says where the values of modules are' };
  const heap = new Marker(guest, parts);
  const tally = new RowTally();
  const reach = (name: string, from: number, bytes: number): void => {
    const { count, bytes: held } = heap.reachFrom(from, bytes);
    if (count > 0) tally.add(name, held, count);
  };
  for (const { name, start, words } of modulesOf(guest, globals.address).toReversed()) reach(name, start, words * WORD);
  for (const { start, end } of stacks) reach('the stack', start, Math.min(end - start, MAX_STACK));
  if (heap.isExhausted)
    return { roots: tally.rows(), rootsAbsent: 'the heap is too large to walk to its end: what is told is a part' };
  if (allocated > tally.bytes)
    tally.add(
      'nothing: garbage that is not swept yet, or what a function held that an exception has ended',
      allocated - tally.bytes,
      null,
    );
  return { roots: tally.rows(), rootsAbsent: null };
}

interface Module {
  readonly name: string;
  readonly start: number;
  readonly words: number;
}

/** caml_globals[i] is an array of blocks, both end with 0. */
function modulesOf({ memory, symbols }: ProbeGuest, globals: bigint): readonly Module[] {
  const modules: Module[] = [];
  for (const roots of pointersAt(memory, globals, MAX_MODULES)) {
    for (const block of pointersAt(memory, roots, MAX_FIELDS)) {
      const header = memory.read(block - BigInt(WORD), WORD);
      if (header === null || block >= 2n ** 48n || modules.length >= MAX_MODULES) continue;
      const { words } = headerAt(new DataView(header.buffer, header.byteOffset, WORD), 0);
      const symbol = symbols.findObject?.(block)?.name ?? null;
      const name = symbol === null ? 'a module without a symbol' : `module ${moduleName(symbol)}`;
      modules.push({ name, start: Number(block), words: Math.min(words, MAX_FIELDS) });
    }
  }
  return modules;
}

function* pointersAt(memory: ProbeGuest['memory'], start: bigint, most: number): Generator<bigint> {
  for (let index = 0; index < most; index += 1) {
    const word = readWordAt(memory, BigInt.asUintN(64, start + BigInt(index * WORD)));
    if (word === null || word === 0n) return;
    yield word;
  }
}

/** `camlStdlib__Hashtbl` → `Stdlib.Hashtbl`; OCaml 5.1 and later have a dot. */
function moduleName(symbol: string): string {
  return symbol
    .replace(/^caml/, '')
    .replace(/(?:__gc_roots|\.gc_roots.*)$/, '')
    .replaceAll('__', '.');
}

/** Which blocks of the heap were reached. */
class Marker {
  isExhausted = false;
  private readonly memory: ProbeGuest['memory'];
  private readonly parts: readonly HeapPart[];
  private readonly marks = new Map<number, Uint8Array>();
  private blocks = 0;
  private bytesRead = 0;

  constructor({ memory }: ProbeGuest, parts: readonly HeapPart[]) {
    this.memory = memory;
    const sorted = parts.toSorted((a, b) => a.start - b.start);
    this.parts = sorted.filter(({ start }, index) => start >= (sorted[index - 1]?.end ?? 0));
  }

  /** What values in `bytes` bytes at `from` reach that was not reached before. */
  reachFrom(from: number, bytes: number): { readonly count: number; readonly bytes: number } {
    const left: number[] = [];
    const push = (value: number): void => {
      if (this.partOf(value) !== null) left.push(value);
    };
    this.scan(from, bytes, push);
    let [count, held] = [0, 0];
    for (let value = left.pop(); value !== undefined; value = left.pop()) {
      const block = this.enter(value);
      if (block === null) continue;
      count += 1;
      held += (block.words + 1) * WORD;
      if (block.tag < TAG.abstract) this.scan(block.at, block.words * WORD, push);
    }
    return { count, bytes: held };
  }

  /** The block of a value that was not entered before; a function inside a closure is its closure. */
  private enter(value: number): { readonly at: number; readonly words: number; readonly tag: number } | null {
    const part = this.partOf(value);
    const bytes = part === null || value - WORD < part.start ? null : this.memory.read(BigInt(value - WORD), WORD);
    if (part === null || bytes === null) return null;
    const { words, tag } = headerAt(new DataView(bytes.buffer, bytes.byteOffset, WORD), 0);
    if (tag === TAG.infix)
      return words > 0 && value - words * WORD > part.start ? this.enterOnce(value - words * WORD, part) : null;
    return this.enterOnce(value, part);
  }

  private enterOnce(at: number, part: HeapPart): ReturnType<Marker['enter']> {
    if (this.isMarked(at)) return null;
    if (this.blocks >= MAX_BLOCKS) {
      this.isExhausted = true;
      return null;
    }
    this.blocks += 1;
    const bytes = this.memory.read(BigInt(at - WORD), WORD);
    if (bytes === null) return null;
    const { words, tag } = headerAt(new DataView(bytes.buffer, bytes.byteOffset, WORD), 0);
    return words > 0 && tag !== TAG.infix && at + words * WORD <= part.end ? { at, words, tag } : null;
  }

  private isMarked(at: number): boolean {
    const page = Math.floor(at / MARKED_BYTES);
    const marks = this.marks.get(page) ?? new Uint8Array(MARKED_BYTES / WORD);
    this.marks.set(page, marks);
    const index = (at % MARKED_BYTES) / WORD;
    if (marks[index] === 1) return true;
    marks[index] = 1;
    return false;
  }

  private scan(from: number, size: number, onValue: (value: number) => void): void {
    for (let done = 0; done < size; done += PIECE) {
      const length = Math.min(PIECE, size - done);
      this.bytesRead += length;
      if (this.bytesRead > MAX_READ) this.isExhausted = true;
      const bytes = this.isExhausted ? null : this.memory.read(BigInt(from + done), length);
      if (bytes === null) continue;
      const view = new DataView(bytes.buffer, bytes.byteOffset, length);
      for (let at = 0; at + WORD <= length; at += WORD) {
        const high = view.getUint32(at + 4, true);
        const low = view.getUint32(at, true);
        // Odd words are integers.
        if (high <= 0xffff && (low & 7) === 0) onValue(high * 2 ** 32 + low);
      }
    }
  }

  private partOf(value: number): HeapPart | null {
    let [low, high] = [0, this.parts.length];
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.parts[middle]!.start <= value) low = middle;
      else high = middle;
    }
    const part = this.parts[low];
    return part !== undefined && part.start <= value && value < part.end ? part : null;
  }
}
