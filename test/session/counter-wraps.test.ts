import { describe, expect, it } from 'vitest';
import { CounterWraps } from '../../src/session/counter-wraps.ts';

function series(direction: string, probe = 'lwip'): { name: string; attributes: Record<string, string>; probe: string } {
  return { name: 'unikernel.tcp.segments', attributes: { direction }, probe };
}

describe('counters of 16 bits', () => {
  it('go on where they wrap, each series for itself', () => {
    const wraps = new CounterWraps();
    const receive = [65_000, 65_535, 0, 10, 9].map((raw) => wraps.add(series('receive'), raw, 65_536));
    expect(receive).toEqual([65_000, 65_535, 65_536, 65_546, 131_081]);
    expect(wraps.add(series('transmit'), 5, 65_536)).toBe(5);
    expect(wraps.add(series('receive', 'another'), 5, 65_536)).toBe(5);
  });

  it('begin anew when the guest was reset', () => {
    const wraps = new CounterWraps();
    wraps.add(series('receive'), 60_000, 65_536);
    wraps.reset();
    expect(wraps.add(series('receive'), 3, 65_536)).toBe(3);
  });

  it('are not kept without end', () => {
    const wraps = new CounterWraps();
    for (let index = 0; index < 5000; index += 1) wraps.add(series(String(index)), 10, 65_536);
    expect(wraps.add(series('0'), 1, 65_536)).toBe(65_537);
    expect(wraps.add(series('4999'), 1, 65_536)).toBe(1);
  });
});
