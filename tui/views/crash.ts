// The crash panel: what happened, frames over source (or instructions) on the left, registers on the right.

import type { Crash } from '../../src/model/crash.ts';
import type { Frame } from '../../src/model/frame.ts';
import type { Machine } from '../../src/model/machine.ts';
import type { Registers } from '../../src/model/registers.ts';
import { roleNames } from '../../src/model/registers.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { ScreenState } from '../state.ts';
import type { Line } from '../text.ts';
import { fit, padEnd, span, textWidth, truncate, wrap } from '../text.ts';
import { addressDigits, frameLine, frameText } from './frame-line.ts';
import type { Row } from './list.ts';
import { drawList, fillRows, resolvePosition } from './list.ts';
import { listingAround } from './listing.ts';

/** A row of the frame list. */
export interface FrameRow extends Row {
  readonly frame: Frame;
}

interface Area {
  readonly width: number;
  readonly height: number;
}

/** Two columns of registers from this width on. */
const ROOMY = 104;

const ORDER: Readonly<Record<Machine, readonly string[]>> = {
  x86_64: ['rip', 'rsp', 'rbp', 'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', ...numbered('r', 8, 15), 'eflags', 'cr2', 'cr3'],
  i386: ['eip', 'esp', 'ebp', 'eax', 'ebx', 'ecx', 'edx', 'esi', 'edi', 'eflags', 'cr2', 'cr3'],
  aarch64: ['pc', 'sp', ...numbered('x', 0, 30), 'cpsr'],
  riscv64: ['pc', 'ra', 'sp', 'gp', 'tp', ...numbered('a', 0, 7), ...numbered('s', 0, 11), ...numbered('t', 0, 6)],
};

function numbered(prefix: string, from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => `${prefix}${from + index}`);
}

/** The crash on display: the one chosen by `p`, else the newest. */
export function findShownCrash(snapshot: Snapshot, state: ScreenState): Crash | null {
  const index = state.crash ?? snapshot.crashes.length - 1;
  return snapshot.crashes[index] ?? snapshot.crashes.at(-1) ?? null;
}

/** Frames of the crash on display. */
export function crashRows(snapshot: Snapshot, state: ScreenState): readonly FrameRow[] {
  const frames = findShownCrash(snapshot, state)?.frames ?? [];
  const digits = addressDigits(frames.map((frame) => frame.pc));
  return frames.map((frame) => ({
    key: String(frame.index),
    frame,
    text: frameText(frame),
    draw: (width) => frameLine(frame, digits, width),
  }));
}

/** The selected frame, or null. */
export function findSelectedFrame(snapshot: Snapshot, state: ScreenState): Frame | null {
  const rows = crashRows(snapshot, state);
  return rows[resolvePosition(state.lists.crash, rows, rows.length).index]?.frame ?? null;
}

/** The body of the panel. */
export function drawCrash(snapshot: Snapshot, state: ScreenState, area: Area, focused: boolean): readonly Line[] {
  const crash = findShownCrash(snapshot, state);
  if (crash === null) return fillRows([[span('no crash so far', 'good')]], area);
  const head = headLines(crash, area.width);
  const height = Math.max(0, area.height - head.length);
  const registers = crash.registers === null ? [] : registerLines(crash.registers, crash.faultAddress, area, height);
  const registerWidth = registers.length === 0 ? 0 : registerColumnWidth(crash.registers!, area.width);
  const leftWidth = registerWidth === 0 ? area.width : area.width - registerWidth - 3;
  const left = framesAndSource(snapshot, state, { width: leftWidth, height }, focused);
  const body =
    registerWidth === 0 ? left : left.map((line, row): Line => [...line, span(' │ ', 'rule'), ...(registers[row] ?? [])]);
  return fillRows([...head, ...body], area);
}

function headLines(crash: Crash, width: number): readonly Line[] {
  const facts = [
    ...(crash.vcpu === null ? [] : [`vcpu ${crash.vcpu}`]),
    ...(crash.faultAddress === null ? [] : [`fault address 0x${crash.faultAddress.toString(16)}`]),
    crash.consoleLines === null
      ? `seen by ${crash.witness === 'vm' ? "the VM's state" : 'guest memory'}`
      : `console lines ${crash.consoleLines.first}–${crash.consoleLines.last}`,
    ...[crash.unikernel, crash.runtime].filter((name) => name !== null),
    crash.signature,
  ];
  return [
    [span(`✖ ${crash.kind} `, 'bad'), span(crash.title, 'strong')],
    ...wrap(crash.message, width, 2).map((text): Line => [span(text)]),
    [span(facts.join(' · '), 'dim')],
    ...(crash.corrupted === null ? [] : [[span(`! text in doubt: ${crash.corrupted}`, 'warning')]]),
  ].map((line) => fit(line, width));
}

function framesAndSource(snapshot: Snapshot, state: ScreenState, area: Area, focused: boolean): readonly Line[] {
  const rows = crashRows(snapshot, state);
  const frameHeight = crashFrameHeight(rows.length, area.height);
  const frames = drawList(rows, state.lists.crash, { width: area.width, height: frameHeight }, focused, [
    [span('no frame is known', 'dim')],
  ]);
  const selected = findSelectedFrame(snapshot, state);
  const sourceHeight = Math.max(0, area.height - frameHeight - 1);
  const { listing } = snapshot;
  const loaded = listing !== null && selected !== null && listing.pc === selected.pc ? listing.listing : null;
  const title = loaded === null ? (selected === null ? 'source' : 'reading the source …') : `${loaded.kind}: ${loaded.title}`;
  const name = truncate(title, area.width - 4);
  const rule: Line = [
    span('── ', 'rule'),
    span(name, 'tab-shown'),
    span(` ${'─'.repeat(Math.max(0, area.width - 4 - textWidth(name)))}`, 'rule'),
  ];
  const source = loaded === null ? [] : listingAround(loaded, sourceHeight);
  return [
    ...frames,
    ...(area.height > frameHeight ? [rule] : []),
    ...fillRows(source, { width: area.width, height: sourceHeight }),
  ];
}

/** Rows of the frame list: all frames where they leave half of the place to the source. */
export function crashFrameHeight(frames: number, height: number): number {
  return Math.max(1, Math.min(Math.max(frames, 1), Math.floor((height - 1) / 2)));
}

function digitsOf(registers: Registers): number {
  return registers.machine === 'i386' ? 8 : 16;
}

function nameWidthOf(registers: Registers): number {
  return Object.keys(registers.values).reduce((most, name) => Math.max(most, Math.min(9, name.length)), 3);
}

function registerColumnWidth(registers: Registers, width: number): number {
  const one = nameWidthOf(registers) + 2 + digitsOf(registers);
  return width >= ROOMY ? one * 2 + 2 : one;
}

/** The register grid: pc, sp, fp first; the one that holds the fault address is marked. */
function registerLines(registers: Registers, faultAddress: bigint | null, area: Area, height: number): readonly Line[] {
  const names = orderedNames(registers);
  const columns = area.width >= ROOMY ? 2 : 1;
  const perColumn = Math.min(height, Math.ceil(names.length / columns));
  const cell = (name: string | undefined): Line => (name === undefined ? [] : registerCell(registers, name, faultAddress));
  const lines = Array.from({ length: perColumn }, (_, row): Line => {
    const cells = Array.from({ length: columns }, (_unused, column) => cell(names[row + column * perColumn]));
    return cells.flatMap((line, column) => (column === 0 ? line : [span('  '), ...line]));
  });
  const hidden = names.length - perColumn * columns;
  return hidden > 0 ? [...lines.slice(0, -1), [span(`… ${hidden + columns} more: y`, 'dim')]] : lines;
}

function registerCell(registers: Registers, name: string, faultAddress: bigint | null): Line {
  const value = registers.values[name]!;
  const { pc, sp, fp } = roleNames(registers.machine);
  const faulted = faultAddress !== null && value === faultAddress;
  const text = value.toString(16).padStart(digitsOf(registers), '0').slice(-digitsOf(registers));
  return [
    span(padEnd(name, nameWidthOf(registers)), name === pc || name === sp || name === fp ? 'strong' : 'dim'),
    span(faulted ? '▸' : ' ', 'bad'),
    span(text, faulted ? 'bad' : name === pc ? 'strong' : /^0+$/.test(text) ? 'dim' : 'plain'),
    span(' '),
  ];
}

function orderedNames({ machine, values }: Registers): readonly string[] {
  const known = ORDER[machine].filter((name) => values[name] !== undefined);
  const others = Object.keys(values).filter((name) => !ORDER[machine].includes(name));
  return [...known, ...others].slice(0, 128);
}

/** Right end of the title. */
export function crashRemark(snapshot: Snapshot, state: ScreenState): Line {
  const { length } = snapshot.crashes;
  if (length < 2) return [];
  const index = Math.min(state.crash ?? length - 1, length - 1);
  return [span(` ${index + 1} of ${length} · p earlier `, 'dim')];
}

/** The whole crash as text, for copies. */
export function crashText(crash: Crash): string {
  const registers =
    crash.registers === null
      ? []
      : orderedNames(crash.registers).map((name) => `${name} 0x${crash.registers!.values[name]!.toString(16)}`);
  return [`${crash.kind}: ${crash.title}`, crash.message, ...crash.frames.map((frame) => frameText(frame)), ...registers].join(
    '\n',
  );
}
