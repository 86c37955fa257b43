// A ReportedCrash as a person reads it, one fact a line: the expected results of the golden tests.

import { formatAddress } from '../../src/model/address.ts';
import type { ReportedCrash, ReportedFrame } from '../../src/model/console-text.ts';

const PER_ROW = 4;
/** A deep recursion's frames are not all worth a line. */
const FRAMES_SHOWN = 24;

function printFrame(frame: ReportedFrame, index: number): string {
  const offset = frame.functionOffset === null ? '' : `+0x${frame.functionOffset.toString(16)}`;
  const place = [frame.file, frame.line, frame.column].filter((part) => part !== null).join(':');
  const parts = [
    `  #${String(index)}`,
    frame.address === null ? '' : `${formatAddress(frame.address)} ${frame.addressIs}`,
    frame.function === null ? '' : `${frame.function}${offset}`,
    place === '' ? '' : `at ${place}`,
    frame.inlined ? 'inlined' : '',
    frame.trust === 'scan' ? '(scan)' : '',
  ];
  return parts.filter((part) => part !== '').join(' ');
}

function printFrames(frames: readonly ReportedFrame[]): string[] {
  if (frames.length === 0) return [];
  const hidden = frames.length - FRAMES_SHOWN;
  return ['frames', ...frames.slice(0, FRAMES_SHOWN).map(printFrame), ...(hidden > 0 ? [`  … ${String(hidden)} more`] : [])];
}

function printRegisters(registers: NonNullable<ReportedCrash['registers']>): string[] {
  const all = Object.entries(registers.values).map(([name, value]) => `${name}=${formatAddress(value)}`);
  const rows = Array.from({ length: Math.ceil(all.length / PER_ROW) }, (_, row) => all.slice(row * PER_ROW, (row + 1) * PER_ROW));
  return [`registers ${registers.machine}`, ...rows.map((row) => `  ${row.join(' ')}`)];
}

/** One crash. */
export function printCrash(crash: ReportedCrash): string {
  const { location } = crash;
  const lines = [
    `${crash.kind}: ${crash.message.replaceAll('\n', '\n  ')}`,
    `${crash.grammar}, unikernel ${crash.unikernel ?? '-'}, runtime ${crash.runtime ?? '-'}, lines ${String(crash.firstLine)}-${String(crash.lastLine)}`,
    location === null
      ? ''
      : `location ${[location.file, location.line, location.function].filter((part) => part !== null).join(' ')}`,
    crash.vcpu === null ? '' : `vcpu ${String(crash.vcpu)}`,
    crash.faultAddress === null ? '' : `fault address ${formatAddress(crash.faultAddress)}`,
    ...(crash.registers === null ? [] : printRegisters(crash.registers)),
    ...crash.loadOffsets.map(
      ({ module, base, size }) =>
        `loaded ${module ?? 'kernel'} ${formatAddress(base)}${size === null ? '' : ` size ${formatAddress(BigInt(size))}`}`,
    ),
    ...printFrames(crash.frames),
    crash.corrupted === null ? '' : `corrupted: ${crash.corrupted}`,
  ];
  return lines.filter((line) => line !== '').join('\n');
}

/** All crashes of a console, or `none`. */
export function printCrashes(crashes: readonly ReportedCrash[]): string {
  return crashes.length === 0 ? 'none' : crashes.map(printCrash).join('\n\n');
}
