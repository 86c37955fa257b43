import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/model/frame.ts';
import { findResetCause } from '../../src/session/reset-cause.ts';
import type { LiveTarget } from '../../src/targets/live.ts';

/** A reset guest whose one vCPU is at 0x1002; `bytes` are two before that and two from it on. */
function resetAt(bytes: readonly number[] | null, halted = 0n): LiveTarget {
  const registers = { machine: 'x86_64' as const, values: { rip: 0x1002n, halted } };
  const memory = { read: (address: bigint) => (bytes === null || address !== 0x1000n ? null : Uint8Array.from(bytes)) };
  const target: Partial<LiveTarget> = {
    allRegisters: () => Promise.resolve([{ vcpu: 0, registers }]),
    memory: () => ({ walk: (body: (view: typeof memory) => unknown) => Promise.resolve(body(memory)) }) as never,
  };
  return target as LiveTarget;
}

const stackOf =
  (...functions: readonly string[]) =>
  (): Promise<readonly Frame[]> =>
    Promise.resolve(functions.map((name, index) => ({ index, function: name, inlined: false }) as Frame));

const NOPS = [0x90, 0x90, 0x90, 0x90];

describe('a guest that was reset', () => {
  it('by a port write asked for it', async () => {
    const walk = stackOf('reboot', 'main');
    expect(await findResetCause(resetAt([0x90, 0xee, 0x90, 0x90]), walk)).toBeNull();
    expect(await findResetCause(resetAt([0xe6, 0x64, 0x90, 0x90]), walk)).toBeNull();
    expect(await findResetCause(resetAt([0x90, 0x90, 0xef, 0x90]), walk)).toBeNull();
    expect(await findResetCause(resetAt(NOPS, 1n), walk)).toBeNull();
  });

  it('by anything else met a triple fault', async () => {
    const cause = await findResetCause(resetAt(NOPS), stackOf('lidt_nothing', 'main'));
    expect(cause).toEqual({
      vcpu: 0,
      message: 'triple fault: the CPU could not deliver an exception at 0x1002 and the guest was reset',
    });
    expect((await findResetCause(resetAt(null), stackOf()))?.message).toMatch(/^triple fault/);
  });

  it('at the end of a runaway recursion ran off its stack', async () => {
    const cause = await findResetCause(resetAt(NOPS), stackOf(...Array.from({ length: 200 }, () => 'blow'), 'main'));
    expect(cause?.message).toMatch(/^stack overflow\nblow called itself until the stack was used up; .* \(triple fault\)$/);
    const pair = Array.from({ length: 200 }, (_, index) => (index % 2 === 0 ? 'parse' : 'read'));
    expect((await findResetCause(resetAt(NOPS), stackOf(...pair)))?.message).toContain('parse and read called each other');
  });
});
