// Goroutines of a program without types (stripped): runtime.allgs is found in its data by what it must look like. Each g holds its own
// address in g.sched.g (runtime/runtime2.go: type g, type gobuf), right behind the saved sp and pc; goroutine 1 is the first of allgs
// and no other has its number, so their goid is found too, and the status before it. Nothing is taken from a release's number: what does not fit
// is not shown.

import type { ProbeGuest } from '../../src/model/probe.ts';

/** A goroutine as found: addresses and numbers as its g holds them. */
export interface FoundGoroutine {
  readonly id: number;
  /** atomicstatus. */
  readonly status: number;
  readonly sp: bigint;
  readonly pc: bigint;
  readonly stackLow: bigint;
  readonly stackHigh: bigint;
  /** The text of its wait reason; null where the table of texts was not found. */
  readonly waitReason: string | null;
}

const PAGE = 4096;
/** Data of a program that are searched. */
const MAX_SEARCHED = 8 * 1024 * 1024;
/** Offsets within g that are looked at; it has some 400 bytes. */
const G_BYTES = 320;
const SELF_FROM = 48;
const MAX_SAMPLED = 16;
/** Slices that are looked at, and those of them whose first element could be a goroutine: a guest full of such is not searched to its end. */
const MAX_SLICES = 8192;
const MAX_SHAPES = 256;
/** Pointers of a slice that are read at once. */
const POINTERS_AT_ONCE = 512;
const MAX_ID = 2 ** 40;
const MAX_REASONS = 96;
/** The second and third text of runtime.waitReasonStrings, the first is empty. */
const REASONS = ['GC assist marking', 'IO wait'] as const;

interface Shape {
  /** Where the slice is: pointer, length, capacity. */
  readonly slice: bigint;
  /** Offset of sched.g. */
  readonly self: number;
  /** Offset of goid. */
  readonly id: number;
}

/** What was found in a program; each use is checked again. */
const known = new WeakMap<object, { readonly shape: Shape; readonly reasons: bigint | null }>();

/** All goroutines, at most `most`; null when allgs was not found. Dead ones are left in. */
export function findGoroutines(guest: ProbeGuest, most: number): readonly FoundGoroutine[] | null {
  const found = known.get(guest.symbols);
  const shape = found !== undefined && isShape(guest, found.shape) ? found.shape : findShape(guest);
  if (shape === null) return null;
  const reasons = found === undefined ? findReasons(guest) : found.reasons;
  known.set(guest.symbols, { shape, reasons });
  const texts = new Map<number, string | null>();
  const textOf = (reason: number): string | null => {
    if (!texts.has(reason)) texts.set(reason, reasons === null ? null : readReason(guest, reasons, reason));
    return texts.get(reason) ?? null;
  };
  return pointersOf(guest, shape.slice, most).flatMap((g) => readGoroutine(guest, g, shape, textOf) ?? []);
}

function readGoroutine(
  guest: ProbeGuest,
  g: bigint,
  { self, id }: Shape,
  textOf: (reason: number) => string | null,
): FoundGoroutine | null {
  const view = viewOf(guest, g, G_BYTES);
  if (view?.getBigUint64(self, true) !== g) return null;
  return {
    id: Number(view.getBigUint64(id, true)),
    status: view.getUint32(id - 8, true),
    sp: view.getBigUint64(self - 16, true),
    pc: view.getBigUint64(self - 8, true),
    stackLow: view.getBigUint64(0, true),
    stackHigh: view.getBigUint64(8, true),
    // schedlink and waitsince lie between.
    waitReason: textOf(view.getUint8(id + 24)),
  };
}

function findShape(guest: ProbeGuest): Shape | null {
  let [slices, shapes] = [0, 0];
  for (const [start, view] of pagesOf(guest, 'runtime.bss', 'runtime.ebss')) {
    for (let at = 0; at + 24 <= view.byteLength; at += 8) {
      const count = view.getUint32(at + 8, true);
      if (count < 2 || view.getUint32(at + 12, true) !== 0 || view.getUint32(at, true) % 8 !== 0) continue;
      if (view.getBigUint64(at + 16, true) < BigInt(count) || view.getBigUint64(at, true) < 0x1000n) continue;
      slices += 1;
      if (slices > MAX_SLICES || shapes > MAX_SHAPES) return null;
      if (!isFirst(guest, view.getBigUint64(at, true))) continue;
      shapes += 1;
      const shape = shapeOf(guest, start + BigInt(at));
      if (shape !== null) return shape;
    }
  }
  return null;
}

/** Whether a pointer at `array` leads to something that holds its own address, as goroutines do. */
function isFirst(guest: ProbeGuest, array: bigint): boolean {
  const first = viewOf(guest, array, 8)?.getBigUint64(0, true) ?? 0n;
  const view = first < 0x1000n || first % 8n !== 0n ? null : viewOf(guest, first, G_BYTES);
  if (view === null) return false;
  for (let self = SELF_FROM; self + 8 <= G_BYTES; self += 8) if (view.getBigUint64(self, true) === first) return true;
  return false;
}

/** The shape of what `slice` points at, if they are goroutines. */
function shapeOf(guest: ProbeGuest, slice: bigint): Shape | null {
  const all = pointersOf(guest, slice, MAX_SAMPLED);
  if (all.length < 2 || new Set(all).size !== all.length) return null;
  const views = all.map((g) => viewOf(guest, g, G_BYTES));
  if (views.some((view) => view === null)) return null;
  const whole = views as readonly DataView[];
  for (let self = SELF_FROM; self + 8 <= G_BYTES; self += 8) {
    if (!whole.every((view, index) => view.getBigUint64(self, true) === all[index])) continue;
    for (let id = self + 24; id + 25 <= G_BYTES; id += 8) {
      const ids = new Set(whole.map((view) => view.getBigUint64(id, true)));
      if (ids.size === whole.length && whole.every((view, index) => isNumbered(view, id, index))) return { slice, self, id };
    }
  }
  return null;
}

/** The first goroutine is 1, the others have what numbers their processors gave out; a status before it, and a lock that nobody holds. */
function isNumbered(view: DataView, at: number, index: number): boolean {
  const id = Number(view.getBigUint64(at, true));
  const status = view.getUint32(at - 8, true) & 0xfff;
  if (status > 9 || view.getUint32(at - 4, true) !== 0 || id > MAX_ID) return false;
  return index === 0 ? id === 1 : id > 1;
}

function isShape(guest: ProbeGuest, shape: Shape): boolean {
  const [first] = pointersOf(guest, shape.slice, 1);
  const view = first === undefined ? null : viewOf(guest, first, G_BYTES);
  return view?.getBigUint64(shape.self, true) === first && view !== null && isNumbered(view, shape.id, 0);
}

function pointersOf(guest: ProbeGuest, slice: bigint, most: number): readonly bigint[] {
  const header = viewOf(guest, slice, 16);
  if (header === null) return [];
  const count = Math.min(Number(header.getBigUint64(8, true)), most);
  const array = header.getBigUint64(0, true);
  const pointers: bigint[] = [];
  for (let from = 0; from < count; from += POINTERS_AT_ONCE) {
    const some = Math.min(POINTERS_AT_ONCE, count - from);
    const view = viewOf(guest, array + BigInt(8 * from), 8 * some);
    for (let index = 0; index < some; index += 1) {
      const pointer = view?.getBigUint64(8 * index, true) ?? 0n;
      if (pointer < 0x1000n || pointer % 8n !== 0n) return pointers;
      pointers.push(pointer);
    }
  }
  return pointers;
}

/** Where the texts of wait reasons are: an array of strings in the program's data. */
function findReasons(guest: ProbeGuest): bigint | null {
  for (const [start, view] of pagesOf(guest, 'runtime.data', 'runtime.edata')) {
    for (let at = 0; at + 32 <= view.byteLength; at += 8) {
      if (view.getUint32(at + 8, true) !== REASONS[0].length || view.getUint32(at + 24, true) !== REASONS[1].length) continue;
      const first = start + BigInt(at - 16);
      if (REASONS.every((text, index) => readReason(guest, first, index + 1) === text)) return first;
    }
  }
  return null;
}

function readReason(guest: ProbeGuest, reasons: bigint, index: number): string | null {
  const header = index > 0 && index < MAX_REASONS ? viewOf(guest, reasons + BigInt(16 * index), 16) : null;
  const length = header === null ? 0n : header.getBigUint64(8, true);
  if (header === null || length === 0n || length > 64n) return null;
  const bytes = guest.memory.read(header.getBigUint64(0, true), Number(length));
  return bytes === null
    ? null
    : Buffer.from(bytes)
        .toString('latin1')
        .replace(/[^\x20-\x7e]/g, '?');
}

/** The pages between two symbols that can be read, each with its address; each reaches a little into the next. */
export function* pagesOf(guest: ProbeGuest, from: string, to: string): Generator<readonly [bigint, DataView]> {
  const [start, end] = [guest.symbols.findSymbol(from)?.address, guest.symbols.findSymbol(to)?.address];
  if (start === undefined || end === undefined) return;
  const first = start - (start % 8n);
  const size = Math.min(Number(end - first), MAX_SEARCHED);
  for (let at = 0; at < size; at += PAGE) {
    const view = viewOf(guest, first + BigInt(at), Math.min(PAGE + 24, size - at)) ?? viewOf(guest, first + BigInt(at), PAGE);
    if (view !== null) yield [first + BigInt(at), view];
  }
}

/** Bytes of the guest, or null. */
export function viewOf(guest: ProbeGuest, address: bigint, length: number): DataView | null {
  const bytes = guest.memory.read(BigInt.asUintN(64, address), length);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
