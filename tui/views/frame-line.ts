// A frame as one row, the same in every panel: trust, index, address, function, file and line.

import { type Frame, type FrameTrust, formatArguments, type StackEnd } from '../../src/model/frame.ts';
import type { Line, Span } from '../text.ts';
import { padEnd, span, textWidth, truncate, truncateStart } from '../text.ts';

/** The letter each trust is shown by, best first, with its meaning for the help. */
export const TRUST_MARKS: Readonly<Record<FrameTrust, { readonly mark: string; readonly meaning: string }>> = {
  registers: { mark: 'r', meaning: 'frame read from registers: where the CPU is' },
  cfi: { mark: 'c', meaning: 'frame found by call frame information: certain' },
  'frame-pointer': { mark: 'f', meaning: 'frame found by frame pointers: right where the code keeps them' },
  scan: { mark: 's', meaning: 'likely return address found by scanning the stack, may be stale' },
  reported: { mark: 'g', meaning: 'frame the guest itself printed' },
};

/** Why a stack ended where it did; null where that is as it should be. */
export const END_REMARKS: Readonly<Record<StackEnd, string | null>> = {
  outermost: null,
  unreadable: 'the stack below is not readable',
  'no-rule': 'no unwind rule for this address',
  loop: 'the stack loops',
  limit: 'more frames than shown',
};

/** Hex digits that hold all of `addresses` without waste: 8, 12 or 16. */
export function addressDigits(addresses: readonly bigint[]): number {
  const longest = addresses.reduce((most, address) => Math.max(most, address.toString(16).length), 1);
  return longest <= 8 ? 8 : longest <= 12 ? 12 : 16;
}

/** `handle_request+0x1c`, `demo.elf: no symbol`, `no image`. */
export function functionText(frame: Pick<Frame, 'function' | 'functionOffset' | 'module' | 'status' | 'inlined'>): string {
  if (frame.function !== null) {
    const offset = frame.functionOffset === null || frame.inlined ? '' : `+0x${frame.functionOffset.toString(16)}`;
    return `${frame.function}${offset}`;
  }
  return frame.status === 'no-image' ? '?? no image here' : `?? in ${frame.module ?? 'an image'}`;
}

/** `server.c:41`, without folders; empty when unknown. */
export function placeText(frame: Pick<Frame, 'file' | 'line'>): string {
  if (frame.file === null) return '';
  const name = frame.file.slice(frame.file.lastIndexOf('/') + 1);
  return frame.line === null ? name : `${name}:${frame.line}`;
}

/** Cells below which arguments are left out. */
const LEAST_ARGUMENTS = 24;

/** One row of `width` cells: `r #0 00104f2e cpu_halt+0x4   idle.c:41`. The address gives way first, then the place. */
export function frameLine(frame: Frame, digits: number, width: number): Line {
  const index = padEnd(`#${frame.index}`, 3);
  const address = frame.inlined ? padEnd('inlined', digits) : (frame.pc & ((1n << 64n) - 1n)).toString(16).padStart(digits, '0');
  const name = functionText(frame);
  const place = placeText(frame);
  const head: Span[] = [
    span(`${TRUST_MARKS[frame.trust].mark} `, frame.trust === 'scan' ? 'warning' : 'dim'),
    span(`${index} `, 'dim'),
  ];
  const withAddress = width >= 2 + 4 + digits + 1 + textWidth(frame.function ?? name) || width >= 64;
  if (withAddress) head.push(span(`${address} `, 'dim'));
  const room = Math.max(0, width - 6 - (withAddress ? digits + 1 : 0));
  const half = Math.floor(room / 2);
  // A place that would be cut down to nothing is better left out.
  const placeRoom = place === '' || (half < 10 && textWidth(place) >= half) ? 0 : Math.min(textWidth(place) + 1, half);
  // The offset gives way before the name does.
  const nameText =
    textWidth(name) > room - placeRoom && frame.function !== null
      ? truncate(frame.function, room - placeRoom)
      : truncate(name, room - placeRoom);
  const named = room - placeRoom - textWidth(nameText);
  // What it was called with, where there is room for something of it.
  const called = frame.arguments === undefined || frame.arguments.length === 0 ? '' : ` (${formatArguments(frame.arguments)})`;
  const argumentsText = named < LEAST_ARGUMENTS ? '' : truncate(called, named);
  const style = frame.status !== 'symbolicated' ? 'dim' : frame.trust === 'scan' ? 'plain' : 'function';
  return [
    ...head,
    ...(argumentsText === ''
      ? [span(padEnd(nameText, room - placeRoom), style)]
      : [span(nameText, style), span(padEnd(argumentsText, named))]),
    ...(placeRoom > 1 ? [span(` ${truncateStart(place, placeRoom - 1)}`, 'source')] : []),
  ];
}

/** A frame as plain text, for copies. */
export function frameText(frame: Frame): string {
  const place = placeText({ file: frame.file, line: frame.line });
  const address = frame.inlined ? 'inlined' : `0x${frame.pc.toString(16).padStart(16, '0')}`;
  return `#${frame.index} ${address} ${functionText(frame)}${place === '' ? '' : ` (${frame.file ?? ''}:${frame.line ?? '?'})`} [${frame.trust}]`;
}
