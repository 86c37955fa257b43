import { describe, expect, it } from 'vitest';
import { ProgressWatch, type Stillness } from '../../../src/cli/ci/progress.ts';
import type { Frame, Stack } from '../../../src/model/frame.ts';
import { Session } from '../../../src/session/session.ts';

function frames(...names: readonly string[]): readonly Frame[] {
  return names.map((name, index) => ({
    ...{ index, pc: 0x1000n, function: name, functionOffset: 0, file: null, line: null, column: null },
    ...{ inlined: false, module: null, status: 'symbolicated', trust: 'cfi', cfa: null },
  }));
}

function stack(kind: Stack['kind'], id: string, ...names: readonly string[]): Stack {
  return {
    name: kind === 'vcpu' ? `vcpu ${id}` : id,
    kind,
    id,
    state: 'waiting',
    frames: frames(...names),
    end: 'outermost',
    torn: false,
  };
}

/** Ten seconds of looks, five a second; `at` says what each look sees. */
function watch(at: (session: Session, look: number) => void): Stillness {
  const session = new Session();
  const progress = new ProgressWatch(0);
  for (let look = 1; look <= 50; look += 1) {
    at(session, look);
    progress.push(session.snapshot(), look * 200);
  }
  return progress.judge(10_000);
}

function see(session: Session, halted: boolean, ...stacks: readonly Stack[]): void {
  session.emit({
    type: 'registers',
    vcpus: [{ vcpu: 0, registers: { machine: 'x86_64', values: { halted: halted ? 1n : 0n } } }],
  });
  session.emit({ type: 'stacks', stacks });
}

function count(session: Session, name: string, value: number, at: number): void {
  const sample = { name, value, attributes: {}, unit: '1', kind: 'counter', absent: null, probe: 'test' } as const;
  session.emit({ type: 'metrics', samples: [sample], at });
}

describe('a guest stands still', () => {
  it('when it idles, though an interrupt is met now and then', () => {
    const seen = watch((session, look) => {
      if (look % 10 === 0) see(session, false, stack('vcpu', '0', 'tick', 'idle'));
      else see(session, true, stack('vcpu', '0', 'idle'));
    });
    expect(seen).toMatchObject({ isStill: true, spinning: [], moved: [] });
  });

  it('when it goes round in one function, interrupts on top of it or not', () => {
    const seen = watch((session, look) => {
      see(
        session,
        false,
        look % 6 === 0 ? stack('vcpu', '0', 'tick', 'irq', 'wait', 'main') : stack('vcpu', '0', 'wait', 'main'),
      );
    });
    expect(seen).toMatchObject({ isStill: true, spinning: [{ vcpu: 'vcpu 0', where: 'wait' }] });
  });

  it('though time and timers are counted', () => {
    const seen = watch((session, look) => {
      see(session, true, stack('vcpu', '0', 'idle'));
      for (const name of ['unikernel.ticks', 'system.cpu.time', 'unikernel.context_switches'])
        count(session, name, look, look * 200);
    });
    expect(seen.isStill).toBe(true);
  });

  it('only when it was looked at often enough', () => {
    const progress = new ProgressWatch(0);
    expect(progress.judge(10_000).isStill).toBe(false);
  });
});

describe('a guest moves', () => {
  const idle = stack('vcpu', '0', 'idle');

  it('by printing, and no longer when that was long ago', () => {
    const print = (last: number) => (session: Session, look: number) => {
      see(session, true, idle);
      const line = { number: look, source: 'console', text: 'working', partial: false, notes: [] };
      if (look <= last) session.emit({ type: 'console', line });
    };
    expect(watch(print(50))).toMatchObject({ isStill: false, moved: ['its console'] });
    expect(watch(print(10)).isStill).toBe(true);
  });

  it('by what its devices and its runtime count', () => {
    for (const name of ['unikernel.virtqueue.buffers', 'go.memory.allocated', 'system.disk.operations']) {
      const seen = watch((session, look) => {
        see(session, true, idle);
        count(session, name, look, look * 200);
      });
      expect(seen).toMatchObject({ isStill: false, moved: [name] });
    }
  });

  it('by its threads, and by vCPUs that are met here and there', () => {
    const threads = watch((session, look) => {
      see(session, true, idle, stack('thread', 'worker', look % 2 === 0 ? 'read' : 'write'));
    });
    expect(threads).toMatchObject({ isStill: false, moved: ['its threads'] });
    const working = watch((session, look) => {
      see(session, false, stack('vcpu', '0', `step_${look % 5}`, 'main'));
    });
    expect(working.isStill).toBe(false);
  });
});
