// What `unidbg js` prints for people: heap tables, stacks, the functions that took the time.

import type { CpuProfile, FunctionTime, SeenStack } from '../../inspector/profile.ts';
import type { HeapReading } from '../../inspector/reading.ts';
import type { ReportedFrame } from '../../model/console-text.ts';
import { formatNanoseconds, formatSize } from '../../model/quantity.ts';

const MOST_STACKS = 10;
const MOST_FRAMES = 50;
const NS_PER_MS = 1e6;

/** The heap, its spaces that hold something, and what was collected while it was watched. */
export function heapLines({ statistics, spaces, gc }: HeapReading, watchedMs: number | null): readonly string[] {
  const size = (field: string): string | null => (statistics[field] === undefined ? null : formatSize(statistics[field]));
  const facts = [
    ['used', 'used_heap_size'],
    ['held', 'total_heap_size'],
    ['backed by memory', 'total_physical_size'],
    ['at most', 'heap_size_limit'],
    ['outside of the heap', 'external_memory'],
  ].flatMap(([title = '', field = '']) => (size(field) === null ? [] : [`${title} ${size(field) ?? ''}`]));
  const rows = spaces
    .filter(({ size: held }) => held > 0)
    .map(({ name, used, size: held, available, physical }) => [name, ...[used, held, available, physical].map(formatSize)]);
  const table = rows.length === 0 ? [] : ['', ...tableLines([['space', 'used', 'held', 'free', 'backed'], ...rows])];
  return [
    `heap: ${facts.join(', ')}`,
    ...table,
    ...(gc === null || watchedMs === null ? [] : ['', collectionsLine(gc, watchedMs)]),
  ];
}

function collectionsLine({ totals, recent }: NonNullable<HeapReading['gc']>, watchedMs: number): string {
  const span = formatNanoseconds(watchedMs * NS_PER_MS);
  if (totals.size === 0) return `no garbage collection in ${span}`;
  const counts = [...totals].map(([kind, { count }]) => `${count} ${kind}`).join(', ');
  const all = [...totals.values()].reduce((sum, { ms }) => sum + ms, 0);
  const longest = Math.max(...recent.map(({ ms }) => ms));
  return `collected in ${span}: ${counts}; ${formatNanoseconds(all * NS_PER_MS)} together, the longest ${formatNanoseconds(longest * NS_PER_MS)}`;
}

/** The stacks that were seen, each with its share of the time. */
export function sampledLines({ stacks, durationMs, startMs }: CpuProfile): readonly string[] {
  const script = stacks.filter(isScript);
  const whole = stacks.reduce((sum, { ms }) => sum + ms, 0);
  const busy = script.reduce((sum, { ms }) => sum + ms, 0);
  const held = `switching that on held it up for ${formatNanoseconds(startMs * NS_PER_MS)}`;
  const head = `sampled for ${formatNanoseconds(durationMs * NS_PER_MS)} (${held}): JavaScript ran ${share(busy, whole)} of the time`;
  const shown = script
    .slice(0, MOST_STACKS)
    .flatMap((stack) => ['', `seen ${share(stack.ms, whole)}`, ...stackLines(stack.frames)]);
  const more = script.length > MOST_STACKS ? ['', `${script.length - MOST_STACKS} more stacks were seen; --json has them`] : [];
  return [head, ...shown, ...more];
}

/** V8's own words for what is no JavaScript stand alone. */
function isScript({ frames }: SeenStack): boolean {
  return !(frames.length === 1 && /^\((?:idle|program|garbage collector)\)$/.test(frames[0]?.function ?? ''));
}

/** The frames of one stack, innermost first. */
export function stackLines(frames: readonly ReportedFrame[]): readonly string[] {
  const lines = frames.slice(0, MOST_FRAMES).map((frame, index) => `  #${String(index).padEnd(3)} ${frameText(frame)}`);
  return frames.length > MOST_FRAMES ? [...lines, `  … ${frames.length - MOST_FRAMES} more`] : lines;
}

/** The functions that took most of the time themselves. */
export function rankLines(
  functions: readonly FunctionTime[],
  { durationMs, startMs, stacks }: CpuProfile,
  most = 10,
): readonly string[] {
  const whole = stacks.reduce((sum, { ms }) => sum + ms, 0);
  const rows = functions
    .slice(0, most)
    .map(({ frame, selfMs, totalMs }) => [
      frameText(frame),
      ...[selfMs, totalMs].flatMap((ms) => [formatNanoseconds(ms * NS_PER_MS), share(ms, whole)]),
    ]);
  const table = tableLines([[`of ${formatNanoseconds(durationMs * NS_PER_MS)}`, 'self', '', 'with calls', ''], ...rows]);
  const more = functions.length > most ? [`… ${functions.length - most} more functions`] : [];
  return [...table, ...more, `switching the profiler on held the program up for ${formatNanoseconds(startMs * NS_PER_MS)}`];
}

/** `app.handle (server.ts:12:5)`. */
export function frameText({ function: name, file, line, column }: ReportedFrame): string {
  const place = file === null ? '' : `${file}${line === null ? '' : `:${line}${column === null ? '' : `:${column}`}`}`;
  return place === '' ? (name ?? '<anonymous>') : `${name ?? '<anonymous>'} (${place})`;
}

function share(part: number, whole: number): string {
  return whole === 0 ? '0%' : `${Math.round((part / whole) * 100)}%`;
}

/** The first column left, the others right. */
function tableLines(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_cell, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}
