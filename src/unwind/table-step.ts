// One step by a language runtime's own tables (model/code-table.ts): its special frames, which override everything else, since what
// the compiler wrote of them holds only until they switch stacks; and its frame sizes, which are exact, for code without CFI.

import type { StackEnd } from '../model/frame.ts';
import { findFp, findPc, findSp } from '../model/registers.ts';
import { findModule } from './module.ts';
import {
  type Caller,
  lookupAddress,
  makeCaller,
  type RawFrame,
  readUnsigned,
  systemRegisters,
  type WalkContext,
} from './walk.ts';

/** The caller of a runtime's special frame, or why the stack ends in it; null for any other frame. */
export function stepBySpecialFrame(context: WalkContext, frame: RawFrame): Caller | StackEnd | null {
  const address = lookupAddress(frame);
  const module = findModule(context.modules, address);
  if (module?.codeTable == null) return null;
  const { loadBias } = module;
  const found = module.codeTable.findSpecialCaller(
    { registers: frame.registers, pc: address - loadBias, loadBias },
    context.memory,
  );
  if (found === null || typeof found === 'string') return found;
  const pc = findPc(found.registers);
  if (pc === null || pc === 0n) return 'outermost';
  return { pc, cfa: findSp(found.registers), trust: 'cfi', exactPc: found.exactPc, registers: found.registers };
}

/** The caller by the runtime's frame size; null where it knows none. */
export function stepByFrameSize(context: WalkContext, frame: RawFrame): Caller | StackEnd | null {
  const { architecture, memory } = context;
  const cfa = findTableCfa(context, frame);
  const sp = findSp(frame.registers);
  if (cfa === null || sp === null) return null;
  const size = BigInt(architecture.addressSize);
  const { linkRegister } = architecture;
  // Where calls leave the return address in a register, a function with a frame has it at its stack pointer.
  const returnAddressAt = linkRegister === null ? cfa - size : sp;
  const raw =
    linkRegister !== null && cfa === sp
      ? (frame.registers.values[linkRegister] ?? null)
      : readUnsigned(memory, returnAddressAt, architecture.addressSize);
  if (raw === null) return 'unreadable';
  const pc = architecture.stripPointer(raw);
  if (pc === 0n) return 'outermost';
  const values = systemRegisters(frame.registers.values);
  const table = findModule(context.modules, lookupAddress(frame))?.codeTable;
  for (const name of table?.keptRegisters ?? []) {
    const value = frame.registers.values[name];
    if (value !== undefined) values[name] = value;
  }
  const fp = callersFramePointer(context, frame, linkRegister === null ? cfa - 2n * size : sp - size, cfa);
  if (fp !== null) values[architecture.fp] = fp;
  return makeCaller(architecture, values, { pc, cfa, trust: 'cfi', exactPc: false });
}

/** The CFA of a frame by the runtime's frame size; null where it knows none. */
export function findTableCfa(context: WalkContext, frame: RawFrame): bigint | null {
  const address = lookupAddress(frame);
  const module = findModule(context.modules, address);
  const sp = findSp(frame.registers);
  const delta = sp === null ? null : (module?.codeTable?.stackDelta(address - module.loadBias) ?? null);
  return delta === null || sp === null || module === null ? null : sp + BigInt(delta);
}

/** A frame pointer that names this frame's own slot was set up in it; one above the frame is the caller's still. */
function callersFramePointer(context: WalkContext, frame: RawFrame, slot: bigint, cfa: bigint): bigint | null {
  const fp = findFp(frame.registers);
  if (fp === null) return null;
  if (fp === slot) return readUnsigned(context.memory, slot, context.architecture.addressSize);
  return fp >= cfa ? fp : null;
}
