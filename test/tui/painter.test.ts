import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createPainter } from '../../tui/painter.ts';

describe('the painter', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('paints at most 12 times a second for the guest, however much it says', () => {
    let paints = 0;
    const painter = createPainter(() => (paints += 1));
    for (let elapsed = 0; elapsed < 1000; elapsed += 1) {
      painter.eventually();
      vi.advanceTimersByTime(1);
    }
    expect(paints).toBeLessThanOrEqual(12);
    expect(paints).toBeGreaterThan(8);
  });

  it('answers a key within 25 ms, also just after a paint', () => {
    let paints = 0;
    const painter = createPainter(() => (paints += 1));
    painter.eventually();
    vi.advanceTimersByTime(1);
    painter.eventually();
    painter.soon();
    vi.advanceTimersByTime(25);
    expect(paints).toBe(2);
  });

  it('never paints without a reason, nor after it was stopped', () => {
    let paints = 0;
    const painter = createPainter(() => (paints += 1));
    vi.advanceTimersByTime(5000);
    painter.soon();
    painter.stop();
    painter.soon();
    vi.advanceTimersByTime(5000);
    expect(paints).toBe(0);
  });
});
