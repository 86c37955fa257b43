// One step out of a Linux signal handler on x86-64: the code it returns to asks for rt_sigreturn, and its stack pointer is at the
// ucontext with the interrupted registers (Linux arch/x86/include/uapi/asm/{ucontext,sigcontext}.h; Nanos makes the same frame).
// Seen: Go's runtime.sigreturn, whose own CFI says that it was called, and restorers without CFI; gdb knows glibc's only.
// Test: test/unwind/unwinder.test.ts.

import { findSp } from '../model/registers.ts';
import { findModule } from './module.ts';
import { type Caller, decodeUnsigned, type RawFrame, type WalkContext } from './walk.ts';

/** mov $15,%rax; syscall, and the same with %eax. */
const RESTORERS = ['48c7c00f0000000f05', 'b80f0000000f05'];
const LONGEST = 9;
/** Of uc_mcontext in a ucontext. */
const REGISTERS_AT = 40;
const REGISTERS = [
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rdi', 'rsi', 'rbp', 'rbx', 'rdx', 'rax', 'rcx', 'rsp', 'rip'],
  'eflags',
];

/** The interrupted code, or null when the frame is not at the start of a signal restorer. */
export function stepBySignal(context: WalkContext, frame: RawFrame): Caller | null {
  const sp = findSp(frame.registers);
  if (sp === null || context.architecture.machine !== 'x86_64' || !mayBeRestorer(context, frame)) return null;
  const code = context.memory.read(frame.pc, LONGEST);
  const hex = code === null ? '' : Buffer.from(code).toString('hex');
  if (!RESTORERS.some((restorer) => hex.startsWith(restorer))) return null;
  const saved = context.memory.read(sp + BigInt(REGISTERS_AT), REGISTERS.length * 8);
  if (saved === null) return null;
  const values: Record<string, bigint> = { ...frame.registers.values };
  REGISTERS.forEach((name, index) => (values[name] = decodeUnsigned(saved, index * 8, 8)));
  const { rip, rsp } = values;
  if (rip === undefined || rsp === undefined) return null;
  return { pc: rip, cfa: rsp, trust: 'registers', exactPc: true, registers: { machine: 'x86_64', values } };
}

/** Nobody calls a restorer: a handler returns to its first instruction. */
function mayBeRestorer(context: WalkContext, frame: RawFrame): boolean {
  if (frame.exactPc) return true;
  const module = findModule(context.modules, frame.pc);
  return module?.cfi?.find(frame.pc - module.loadBias) == null;
}
