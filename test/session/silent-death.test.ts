import { describe, expect, it } from 'vitest';
import type { GuestThread } from '../../src/model/thread.ts';
import { findWaitCycle, type Observation, SilentDeathDetector } from '../../src/session/silent-death.ts';

const IF = 0x200n;

function observe(
  at: number,
  values: Record<string, bigint>,
  functionName: string | null,
  threads: readonly GuestThread[] = [],
): Observation {
  return { at, vcpus: [{ vcpu: 0, registers: { machine: 'x86_64', values } }], functions: [functionName], threads };
}

const thread = (id: string, blockedBy: string | null): GuestThread => ({
  id,
  name: `t${id}`,
  state: blockedBy === null ? 'running' : 'blocked',
  waitingFor: blockedBy === null ? null : `lock ${id}`,
  blockedBy,
  registers: null,
  stack: null,
  cpuTimeNs: null,
});

describe('a silent death', () => {
  it('by dead halt is told when every vCPU halts with interrupts off, twice in a row', () => {
    const detector = new SilentDeathDetector({ patienceMs: 1000 });
    const dead = { halted: 1n, eflags: 2n, rip: 1n };
    expect(detector.push(observe(0, dead, 'halt'))).toBeNull();
    expect(detector.push(observe(100, dead, 'halt'))?.message).toBe(
      'dead halt\nEvery vCPU is halted with interrupts off, in halt: nothing but a reset can wake it',
    );
    expect(detector.push(observe(200, dead, 'halt'))).toBeNull();
  });

  it('is not an idle vCPU, which halts with interrupts on', () => {
    const detector = new SilentDeathDetector({ patienceMs: 0 });
    for (let at = 0; at < 10_000; at += 100)
      expect(detector.push(observe(at, { halted: 1n, eflags: IF, rip: 1n }, 'idle'))).toBeNull();
  });

  it('by livelock is told after the patience, not before, and not when the function changes', () => {
    const detector = new SilentDeathDetector({ patienceMs: 1000 });
    const spin = { halted: 0n, eflags: 2n, rip: 1n };
    expect(detector.push(observe(0, spin, 'f'))).toBeNull();
    expect(detector.push(observe(900, spin, 'g'))).toBeNull();
    expect(detector.push(observe(1500, spin, 'g'))).toBeNull();
    expect(detector.push(observe(1900, spin, 'g'))?.message).toBe('vcpu 0 spins with interrupts off\nfor 1 s, always in g');
  });

  it('is not a vCPU that computes with interrupts on', () => {
    const detector = new SilentDeathDetector({ patienceMs: 1000 });
    for (let at = 0; at < 60_000; at += 500)
      expect(detector.push(observe(at, { halted: 0n, eflags: IF, rip: 1n }, 'work'))).toBeNull();
  });

  it('by deadlock names who waits for whom, when the cycle is seen twice', () => {
    const detector = new SilentDeathDetector({ patienceMs: 1000 });
    const threads = [thread('1', '2'), thread('2', '1'), thread('3', null)];
    const idle = { halted: 1n, eflags: IF, rip: 1n };
    expect(detector.push(observe(0, idle, 'idle', threads))).toBeNull();
    expect(detector.push(observe(500, idle, 'idle', threads))?.message).toBe(
      'deadlock between t1 and t2\nt1 waits for lock 1 held by t2\nt2 waits for lock 2 held by t1',
    );
  });

  it('is not a thread that waits for one that runs', () => {
    expect(findWaitCycle([thread('1', '2'), thread('2', null)])).toBeNull();
    expect(findWaitCycle([thread('1', '9')])).toBeNull();
  });
});
