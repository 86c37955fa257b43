import { describe, expect, it } from 'vitest';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { initialState } from '../../tui/state.ts';
import { drawStatusBar } from '../../tui/views/status-bar.ts';
import { CRASH, makeSnapshot, NOW } from './guest.ts';

function badgeOf(given: Partial<Snapshot>, eflags: bigint, halted: bigint): string {
  const registers = [{ vcpu: 0, registers: { machine: 'x86_64' as const, values: { eflags, halted } } }];
  const live = makeSnapshot({ vm: { status: 'running', reason: null, since: NOW }, registers, ...given });
  const size = { width: 120, height: 2 };
  const [first] = drawStatusBar(live, initialState({ size: { columns: size.width, rows: size.height }, now: NOW }), size);
  return (first ?? []).map((piece) => piece.text).join('');
}

describe('the state badge', () => {
  it('calls a guest dead that crashed and halts with interrupts off, though QEMU runs it', () => {
    expect(badgeOf({ crashes: [CRASH] }, 0x2n, 1n)).toMatch(/✖ DEAD, halted for ever .*✖ fault/);
  });

  it('calls one running that crashed and goes on, or that is only idle', () => {
    expect(badgeOf({ crashes: [CRASH] }, 0x202n, 1n)).toContain('● RUNNING');
    expect(badgeOf({ crashes: [CRASH] }, 0x2n, 0n)).toContain('● RUNNING');
    expect(badgeOf({ crashes: [] }, 0x2n, 1n)).toContain('● RUNNING');
  });
});
