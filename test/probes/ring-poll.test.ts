// How often the probe's ring is read: by how full it was found, and never so often that it takes all our time.

import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { UnidbgError } from '../../src/model/error.ts';
import type { ProbeRing, RingProgress } from '../../src/model/guest-probe.ts';
import type { Registers } from '../../src/model/registers.ts';
import { RingPoll, type RingPollInput } from '../../src/session/ring-poll.ts';
import type { LiveTarget } from '../../src/targets/live.ts';

const polls: RingPoll[] = [];
afterEach(() => {
  for (const poll of polls.splice(0)) poll.close();
});

const SPACE = {} as Registers;

/** A poll of a ring whose readings are made up; `count` is how many there were. */
function openPoll(
  read: () => Promise<RingProgress | null>,
  input: Partial<RingPollInput> = {},
): { poll: RingPoll; count: () => number } {
  let count = 0;
  const ring = {
    read: () => {
      count += 1;
      return read();
    },
  } as unknown as ProbeRing;
  const poll = new RingPoll({
    target: { state: () => ({ status: 'running' }), memory: () => null } as unknown as LiveTarget,
    findRing: () => ring,
    findAddress: () => 0x1000n,
    keyOfAddress: () => SPACE,
    ...input,
  });
  polls.push(poll);
  return { poll, count: () => count };
}

describe('a ring in RAM', () => {
  it('that says nothing is read ten times a second', async () => {
    const { poll, count } = openPoll(() => Promise.resolve({ records: 0, slots: 1024 }));
    await poll.read(SPACE);
    await sleep(350);
    expect(count()).toBeGreaterThanOrEqual(2);
    expect(count()).toBeLessThanOrEqual(4);
  });

  it('that fills fast is read much more often', async () => {
    // 100,000 records a second in 1,024 slots.
    let before = performance.now();
    const { poll, count } = openPoll(() => {
      const records = Math.round((performance.now() - before) * 100);
      before = performance.now();
      return Promise.resolve({ records, slots: 1024 });
    });
    await poll.read(SPACE);
    await sleep(400);
    expect(count()).toBeGreaterThan(12);
  });

  it('that takes long to read leaves us half of our time', async () => {
    const { poll, count } = openPoll(async () => {
      await sleep(60);
      return { records: 1024, slots: 1024 };
    });
    await poll.read(SPACE);
    await sleep(600);
    expect(count()).toBeLessThanOrEqual(1 + 600 / 120);
  });

  it('is left alone when it is closed, while something else is heard, and where nobody knows it', async () => {
    const read = (): Promise<null> => Promise.resolve(null);
    const silent = [openPoll(read, { findRing: () => null }), openPoll(read, { findAddress: () => null })];
    for (const { poll } of silent) await poll.read(SPACE);
    const closed = openPoll(read);
    await closed.poll.read(null);
    await closed.poll.read(SPACE);
    closed.poll.close();
    await sleep(250);
    expect(silent.map(({ count }) => count())).toEqual([0, 0]);
    expect(closed.count()).toBe(1);
  });

  it('whose address was found is not looked for again until other code is there', async () => {
    let [looked, code] = [0, {}];
    const { poll } = openPoll(() => Promise.resolve(null), {
      keyOfAddress: () => code,
      findAddress: () => {
        looked += 1;
        return 0x1000n;
      },
    });
    await poll.read(SPACE);
    await poll.read(SPACE);
    expect(looked).toBe(1);
    code = {};
    await poll.read(SPACE);
    expect(looked).toBe(2);
  });

  it('that cannot be read just now is read again at the next sample, which also hears why', async () => {
    let broken = true;
    const { poll, count } = openPoll(() =>
      broken ? Promise.reject(new UnidbgError('MEMORY_UNREADABLE', 'gone')) : Promise.resolve(null),
    );
    await expect(poll.read(SPACE)).rejects.toMatchObject({ code: 'MEMORY_UNREADABLE' });
    broken = false;
    await poll.read(SPACE);
    expect(count()).toBe(2);
  });
});
