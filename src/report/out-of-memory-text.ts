// Why memory ran out, for a person at a terminal.

import { formatAddress } from '../model/address.ts';
import { formatLocation } from '../model/frame.ts';
import type { HeapCensus, OutOfMemory } from '../model/heap.ts';
import { formatSize } from '../model/quantity.ts';

const ROWS_SHOWN = 10;

/** The lines of a post-mortem. */
export function outOfMemoryLines({ allocating, heaps, growth, remarks }: OutOfMemory): readonly string[] {
  const frame = allocating?.asker == null ? undefined : allocating.stack.frames[allocating.asker];
  const asked = allocating?.bytes == null ? '' : ` ${formatSize(allocating.bytes)}`;
  const who =
    allocating === null
      ? []
      : [
          `asked for${asked}: ${allocating.stack.name}${frame === undefined ? '' : `, in ${formatLocation(frame)} ${formatAddress(frame.pc)}`} (${allocating.by})`,
        ];
  const grew = growth.map(
    ({ series, unit, from, to, overMs }) =>
      `grew: ${series} from ${amount(from, unit)} to ${amount(to, unit)} in ${(overMs / 1000).toFixed(1)}s`,
  );
  return ['out of memory:', ...[...who, ...grew, ...heaps.flatMap(heapLines), ...remarks].map((line) => `    ${line}`)];
}

function heapLines({ heap, by, totalBytes, rows, roots, rootsAbsent }: HeapCensus): readonly string[] {
  const total = totalBytes === null ? '' : `, ${formatSize(totalBytes)} in use`;
  const line = ({ name, count, bytes }: HeapCensus['rows'][number]): string =>
    `  ${formatSize(bytes).padStart(9)}  ${count === null ? '' : `${count} × `}${name}`;
  return [
    `${heap}${total}, by ${by}:`,
    ...rows.slice(0, ROWS_SHOWN).map(line),
    ...(rows.length > ROWS_SHOWN ? [`  … ${rows.length - ROWS_SHOWN} more`] : []),
    ...(roots === null
      ? rootsAbsent === null
        ? []
        : [`held by: not known: ${rootsAbsent}`]
      : [`held by${rootsAbsent === null ? '' : ` (${rootsAbsent})`}:`, ...roots.slice(0, ROWS_SHOWN).map(line)]),
  ];
}

function amount(value: number, unit: string): string {
  return unit === 'By' ? formatSize(value) : String(value);
}
