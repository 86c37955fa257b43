// A crash's facts for tests: a null dereference in `handle`, called by `main`, of a system whose machinery is known.

import type { Frame } from '../../src/model/frame.ts';
import type { CrashFacts } from '../../src/session/title.ts';

export const MACHINERY = { functions: [/^panic$/, /^trap_/, /^abort$/], files: [/^node:/] };

/** A frame of that function. */
export function frame(name: string | null, line: number | null = null, pc = 0x1000n): Frame {
  return {
    index: 0,
    pc,
    trust: 'cfi',
    cfa: null,
    function: name,
    functionOffset: 4,
    file: line === null ? null : `demo/${name ?? 'x'}.c`,
    line,
    column: null,
    inlined: false,
    module: 'demo.elf',
    status: name === null ? 'no-symbol' : 'symbolicated',
  };
}

/** The facts, some of them other ones. */
export const facts = (over: Partial<CrashFacts>): CrashFacts => ({
  kind: 'fault',
  message: 'page fault (#PF)',
  faultAddress: 0x10n,
  pc: 0x1000n,
  sp: null,
  location: null,
  frames: [frame('trap_14', 9), frame('handle', 41), frame('main', 7)],
  unikernel: 'demo',
  runtime: null,
  ...over,
});
