// How a crash's stack is walked in a guest that is dead, or whose vCPU sits in its last halt.

import type { Frame } from '../model/frame.ts';
import type { Registers } from '../model/registers.ts';
import type { OpenTarget } from '../targets/target.ts';
import type { Code } from './code.ts';
import { walkFrames } from './sampler.ts';

/** How to walk stacks in this guest, now. Null = its memory cannot be read. */
export interface StackWalker {
  /** Frames from these registers, innermost first. */
  walk(registers: Registers): Promise<readonly Frame[]>;
  /** All vCPUs as they are now: of a dead guest, as it died. */
  vcpus(): Promise<readonly { readonly vcpu: number; readonly registers: Registers }[]>;
}

/** Walks in an open target; `code` is asked at each walk. */
export function walkerOf(target: OpenTarget, code: () => Code): StackWalker {
  return {
    walk: async (registers) => {
      const known = await withControlRegisters(target, registers);
      return (await walkFrames(target, code(), known, { withArguments: true })).frames;
    },
    vcpus: () => target.allRegisters(),
  };
}

const CONTROL = ['cr0', 'cr3', 'cr4', 'efer'];

// What the console printed lacks the registers that say how memory is mapped. They are a vCPU's: a unikernel has one mapping.
async function withControlRegisters(target: OpenTarget, { machine, values }: Registers): Promise<Registers> {
  const vcpu = (await target.allRegisters())[0]?.registers.values ?? {};
  return {
    machine,
    values: { ...Object.fromEntries(Object.entries(vcpu).filter(([name]) => CONTROL.includes(name))), ...values },
  };
}
