import { describe, expect, it } from 'vitest';
import { dumpName } from '../../src/cli/dump-name.ts';
import { progressLine } from '../../src/cli/dump-progress.ts';

const AT = Date.parse('2026-01-02T03:04:05.678Z');

describe('the name of a dump', () => {
  it('is the name of the VM and the time, and leads nowhere else', () => {
    expect(dumpName('web-1', AT)).toBe('web-1-20260102T030405Z');
    expect(dumpName('../../etc/passwd', AT)).toBe('etc-passwd-20260102T030405Z');
    expect(dumpName('\u001b[31m', AT)).toBe('31m-20260102T030405Z');
    expect(dumpName('', AT)).toBe('vm-20260102T030405Z');
    expect(dumpName('x'.repeat(500), AT)).toHaveLength(117);
  });
});

describe('the progress of a dump', () => {
  it('says how far it is, how fast, and how long it takes yet', () => {
    const gib = 1024 ** 3;
    expect(progressLine({ done: gib, total: 4 * gib, written: 1024 ** 2 }, 1000)).toBe(
      '[######------------------] 25 %  1.00 GiB of 4.00 GiB  1.00 GiB/s  3.0s left  1.00 MiB written',
    );
    expect(progressLine({ done: 0, total: 0, written: 0 }, 0)).toContain('100 %');
  });
});
