// HMP `info registers -a` → all of a vCPU's state that QEMU's own core dumps hold: beyond register files (../registers.ts) the segments
// with their hidden halves. The text is target/i386/cpu-dump.c's: `CS =0008 00000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]`.
//
// Folklore: of the flags, the upper half of the descriptor, the text leaves out what of the base is in them (cpu_x86_dump_seg_cache prints
// `flags & 0x00ffff00`; QEMU 7.2 and 10). For TR, which is only ever loaded from a descriptor, the base tells it; test/live/dump.test.ts.

import type { Machine } from '../../model/machine.ts';
import type { Registers } from '../../model/registers.ts';
import { parseRegisters } from '../registers.ts';

/** A segment register; `flags` as QEMU keeps them: the descriptor's upper half. */
export interface SegmentState {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly flags: number;
}

/** One vCPU. `segments` by QEMU's names in lower case: cs ss ds es fs gs ldt tr gdt idt; empty off x86. */
export interface VcpuState {
  readonly vcpu: number;
  readonly registers: Registers;
  readonly segments: ReadonlyMap<string, SegmentState>;
}

/** All vCPUs, in the order printed. */
export function parseVcpuStates(text: string, machine: Machine): VcpuState[] {
  const bodies = text.split(/^(?=\*?\s*CPU\s*#\s*\d{1,5})/m).filter((part) => /[A-Za-z]/.test(part));
  return parseRegisters(text, machine).map(({ vcpu, registers }, index) => ({
    vcpu,
    registers,
    segments: parseSegments(bodies[index] ?? ''),
  }));
}

function parseSegments(body: string): Map<string, SegmentState> {
  const segments = new Map<string, SegmentState>();
  const pattern = /^(CS|SS|DS|ES|FS|GS|LDT|TR) *=([0-9a-f]{1,4}) ([0-9a-f]{1,16}) ([0-9a-f]{1,8}) ([0-9a-f]{1,8})/gm;
  for (const [, name, selector, base, limit, flags] of body.matchAll(pattern)) {
    const segment = { selector: hex(selector), base: BigInt(`0x${base!}`), limit: hex(limit), flags: hex(flags) };
    const baseInFlags = name === 'TR' ? Number((segment.base & 0xff00_0000n) | ((segment.base >> 16n) & 0xffn)) : 0;
    segments.set(name!.toLowerCase(), { ...segment, flags: (segment.flags | baseInFlags) >>> 0 });
  }
  for (const [, name, base, limit] of body.matchAll(/^(GDT|IDT) *= *([0-9a-f]{1,16}) ([0-9a-f]{1,8})/gm)) {
    segments.set(name!.toLowerCase(), { selector: 0, base: BigInt(`0x${base!}`), limit: hex(limit), flags: 0 });
  }
  return segments;
}

function hex(digits: string | undefined): number {
  return Number.parseInt(digits ?? '0', 16);
}
