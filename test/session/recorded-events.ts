// Events for tests of recordings, one maker for each kind.

import type { EventOf, VmStatus } from '../../src/model/event.ts';
import type { Frame } from '../../src/model/frame.ts';

/** When the recordings of these tests begin. */
export const NOON = Date.UTC(2026, 10, 21, 12, 0, 0);

export function statusEvent(at: number, status: VmStatus): EventOf<'vm'> {
  return { at, type: 'vm', status, reason: null };
}

export function consoleEvent(at: number, number: number, text: string, partial = false): EventOf<'console'> {
  return { at, type: 'console', line: { number, source: 'com1', text, partial, notes: [] } };
}

/** A counter and a gauge at the `n`th sampling. */
export function metricsEvent(at: number, n: number): EventOf<'metrics'> {
  const sample = { attributes: {}, absent: null, probe: 'test' };
  return {
    at,
    type: 'metrics',
    samples: [
      { ...sample, name: 'go.memory.gc.cycles', value: n, unit: '{cycle}', kind: 'counter' },
      { ...sample, name: 'unikernel.memory.used', value: 1e6 + (n % 50) * 1000, unit: 'By', kind: 'gauge' },
    ],
  };
}

/** One vCPU that stands in `work_N`. */
export function stacksEvent(at: number, n: number): EventOf<'stacks'> {
  const frame: Frame = {
    ...{ index: 0, pc: 0x1000n + BigInt(n), trust: 'registers' as const, cfa: null, function: `work_${n}`, functionOffset: 4 },
    ...{ file: 'work.c', line: n + 1, column: null, inlined: false, module: 'demo.elf', status: 'symbolicated' as const },
  };
  const stack = {
    name: 'vcpu 0',
    kind: 'vcpu',
    id: '0',
    state: 'running',
    frames: [frame],
    end: 'outermost',
    torn: false,
  } as const;
  return { at, type: 'stacks', stacks: [stack] };
}

export function findingEvent(at: number, active: boolean): EventOf<'finding'> {
  return { at, type: 'finding', finding: { check: 'memory-low', severity: 'warning', message: 'memory runs low', active } };
}

export function crashEvent(at: number, title = 'null dereference in work (work.c:7)'): EventOf<'crash'> {
  return {
    at,
    type: 'crash',
    crash: {
      ...{ kind: 'fault', title, message: title, signature: '0123456789abcdef', alternatives: [] },
      ...{ witness: 'console', unikernel: 'demo', runtime: null, vcpu: 0, faultAddress: 0x10n, registers: null },
      ...{ frames: [], guiltyFrame: null, corrupted: null, consoleLines: null },
    },
  };
}
