// The bytes panel: a hex dump of guest memory read on request. What cannot be read is `??`, never zero.

import type { MemoryWindow } from '../../src/model/event.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { ScreenState } from '../state.ts';
import type { Line, Span } from '../text.ts';
import { span } from '../text.ts';
import { fillRows } from './list.ts';

/** How bytes are set in rows at a width: per row, and whether pairs stand together (`4889 e541`, as xxd does). */
export interface DumpShape {
  readonly perRow: 8 | 16;
  readonly paired: boolean;
}

const ADDRESS_DIGITS = 16;

/** The widest dump that fits: 16 bytes apart, 16 in pairs, or 8. */
export function dumpShape(width: number): DumpShape {
  const sixteen = (bytes: number): boolean => width >= ADDRESS_DIGITS + 2 + bytes + 2 + 16;
  if (sixteen(16 * 3)) return { perRow: 16, paired: false };
  return sixteen(16 * 2 + 7) ? { perRow: 16, paired: true } : { perRow: 8, paired: false };
}

/** The body of the panel. */
export function drawBytes(snapshot: Snapshot, size: { readonly width: number; readonly height: number }): readonly Line[] {
  const { memory } = snapshot;
  if (memory === null) return fillRows(emptyBytes(snapshot), size);
  return fillRows(dumpLines(memory, size.width, size.height), size);
}

function emptyBytes(snapshot: Snapshot): readonly Line[] {
  const stops = snapshot.identity?.readStopsGuest ?? false;
  const how = stops ? 'reading stops the guest for a moment' : 'reading does not stop the guest';
  const isReplay = snapshot.identity?.kind === 'replay';
  return [
    [
      span('x ', 'key'),
      span('and an address, a register or a symbol shows memory: '),
      span(':x rsp  :x 0x104000 256  :x counter', 'dim'),
    ],
    [span(isReplay ? 'in a replay only a bundle has memory: that of its dump' : how, stops && !isReplay ? 'warning' : 'dim')],
  ];
}

/** Rows of `address  bytes  text`. */
export function dumpLines(window: MemoryWindow, width: number, height: number): readonly Line[] {
  const { perRow } = dumpShape(width);
  const rows = Math.min(height, Math.ceil(window.bytes.length / perRow));
  return Array.from({ length: rows }, (_, row) => dumpLine(window, row * perRow, width));
}

function dumpLine(window: MemoryWindow, from: number, width: number): Line {
  const { perRow, paired } = dumpShape(width);
  const hex: Span[] = [];
  const text: Span[] = [];
  for (let index = from; index < from + perRow; index += 1) {
    const byte = readByte(window, index);
    const gap = index === from ? '' : paired ? (index % 2 === 0 ? ' ' : '') : index % 8 === 0 ? '  ' : ' ';
    hex.push(
      span(gap),
      span(byte === null ? '??' : byte === undefined ? '  ' : byte.toString(16).padStart(2, '0'), styleOf(byte)),
    );
    text.push(byte === undefined ? span(' ') : span(glyphOf(byte), styleOf(byte)));
  }
  return [
    span(`${(window.address + BigInt(from)).toString(16).padStart(ADDRESS_DIGITS, '0')}  `, 'dim'),
    ...hex,
    span('  '),
    ...text,
  ];
}

/** Null where memory could not be read; undefined behind the window's end. */
function readByte({ bytes, unreadable }: MemoryWindow, index: number): number | null | undefined {
  if (unreadable.some(({ start, end }) => index >= start && index < end)) return null;
  return bytes[index];
}

function styleOf(byte: number | null | undefined): 'dim' | 'plain' {
  return byte === null || byte === 0 ? 'dim' : 'plain';
}

function glyphOf(byte: number | null): string {
  if (byte === null) return '?';
  return byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : '·';
}

/** Right end of the title. */
export function bytesRemark(snapshot: Snapshot, { playback }: ScreenState): Line {
  if (snapshot.memory === null) return [];
  const size = span(` ${snapshot.memory.bytes.length} bytes · j/k moves `, 'dim');
  if (playback?.dump == null) return [size];
  const { at } = playback.dump;
  return [span(` as of the dump${at === null ? '' : `, ${new Date(at).toISOString().slice(11, 19)}`} `, 'badge-warning'), size];
}

/** The dump as text, for copies. */
export function bytesText(window: MemoryWindow): string {
  return dumpLines(window, 100, Math.ceil(window.bytes.length / 16))
    .map((line) => line.map(({ text }) => text).join(''))
    .join('\n');
}
