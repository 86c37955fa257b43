// How many bytes were asked for: as the guest said, else by the arguments of the allocator that was called.

import type { Crash } from '../model/crash.ts';
import type { ConsoleLine } from '../model/event.ts';
import type { Frame, FrameVariable } from '../model/frame.ts';

const PAGE_BYTES = 4096;
/** Pages of an order, as buddy allocators count. */
const MAX_ORDER = 40;
/** The failed request may be told some lines before the crash is. */
const LINES_BEFORE = 4;
const LINES_AFTER = 8;

/** What guests say. The first group is a number of bytes, or of the power of two of pages. */
const SAID: readonly { readonly pattern: RegExp; readonly unit: 'bytes' | 'order' }[] = [
  // The demo guest; OCaml and others alike.
  { pattern: /out of memory\b.{0,40}?\b(\d{1,18}) bytes\b/i, unit: 'bytes' },
  { pattern: /heap exhausted: (\d{1,18}) bytes/, unit: 'bytes' },
  // runtime/mcache.go, malloc.go.
  { pattern: /cannot allocate (\d{1,18})-byte block/, unit: 'bytes' },
  // Rust's alloc::handle_alloc_error, HotSpot's os::commit_memory, V8, newlib programs.
  { pattern: /\balloc\w*\b(?: of| space for| to allocate)? (\d{1,18}) bytes\b/i, unit: 'bytes' },
  { pattern: /failed to map (\d{1,18}) bytes/, unit: 'bytes' },
  // Unikraft's lib/ukallocbbuddy.
  { pattern: /palloc request of order (\d{1,2})\b/, unit: 'order' },
];

/** Bytes, or null where nothing tells. `asker`: index of the frame that asked. */
export function findBytesAsked(of: {
  readonly crash: Crash;
  readonly console: readonly ConsoleLine[];
  readonly frames: readonly Frame[];
  readonly asker: number | null;
}): number | null {
  return saidIn(of.crash.message) ?? saidAround(of.crash, of.console) ?? byArguments(of.frames.slice(0, of.asker ?? 0));
}

function saidAround({ consoleLines }: Crash, console: readonly ConsoleLine[]): number | null {
  if (consoleLines === null) return null;
  const [from, to] = [consoleLines.first - LINES_BEFORE, consoleLines.first + LINES_AFTER];
  const lines = console.filter(({ number }) => number >= from && number <= to);
  return saidIn(lines.map(({ text }) => text).join('\n'));
}

function saidIn(text: string): number | null {
  for (const { pattern, unit } of SAID) {
    const count = Number(pattern.exec(text)?.[1] ?? Number.NaN);
    if (unit === 'bytes' && Number.isSafeInteger(count) && count > 0) return count;
    if (unit === 'order' && count <= MAX_ORDER) return PAGE_BYTES * 2 ** count;
  }
  return null;
}

/** From the outermost function that the asker called inwards: the first whose arguments tell. */
function byArguments(called: readonly Frame[]): number | null {
  for (const { arguments: variables = [] } of called.toReversed()) {
    const [size, count, pages] = [SIZE, COUNT, PAGES].map((names) => valueOf(variables, names));
    if (size != null) return size * (count ?? 1);
    if (pages != null) return pages * PAGE_BYTES;
  }
  return null;
}

const SIZE = /^(?:size|sz|bytes|nbytes|n_bytes|len|length|req_size|needed)$/;
const COUNT = /^(?:nmemb|nelem|count|nitems)$/;
const PAGES = /^(?:num_pages|npages|pages|nr_pages)$/;

function valueOf(variables: readonly FrameVariable[], names: RegExp): number | null {
  const found = variables.find(({ name, known }) => known && names.test(name));
  const value = found === undefined || !/^(?:\d{1,16}|0x[0-9a-f]{1,13})$/.test(found.value) ? Number.NaN : Number(found.value);
  return Number.isSafeInteger(value) && value > 0 ? value : null;
}
