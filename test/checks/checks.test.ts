// The built-in checks: when they speak, and when they must not.

import { describe, expect, it } from 'vitest';
import { gcNeverRuns } from '../../src/checks/gc-never-runs.ts';
import { gcThrash } from '../../src/checks/gc-thrash.ts';
import { CHECKS } from '../../src/checks/index.ts';
import { memoryFull } from '../../src/checks/memory-full.ts';
import { networkFailures } from '../../src/checks/network-failures.ts';
import type { Flow } from '../../src/model/flow.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { EMPTY_SNAPSHOT } from '../../src/session/reduce.ts';
import { type Given, snapshotOf } from '../support/snapshots.ts';

const MiB = 1024 ** 2;

/** Readings of Go's collector, one a second: cycles, heap, goal in MiB. */
function go(readings: readonly (readonly [cycles: number, heap: number, goal: number | null])[], gogc = 100): Snapshot {
  return snapshotOf(
    readings.map(([cycles, heap, goal]): readonly Given[] => [
      ['go.memory.gc.cycles', cycles],
      ['go.memory.heap.live', heap * MiB, 'By'],
      ['go.memory.gc.goal', goal === null ? null : goal * MiB, 'By'],
      ['go.config.gogc', gogc, '%'],
    ]),
  );
}

describe('gc-never-runs', () => {
  it('speaks at the third reading of a heap that grows with the collector off', () => {
    expect(
      gcNeverRuns.find(
        go(
          [
            [0, 10, null],
            [0, 20, null],
          ],
          -1,
        ),
      ),
    ).toBeNull();
    expect(
      gcNeverRuns.find(
        go(
          [
            [0, 10, null],
            [0, 20, null],
            [0, 31, null],
          ],
          -1,
        ),
      ),
    ).toEqual({
      severity: 'warning',
      message:
        "Go's garbage collector has not run for 2.0s while its heap grew from 10.0 MiB to 31.0 MiB: it is switched off (go.config.gogc is negative)",
    });
  });

  it('speaks when the heap has passed its goal and goes on', () => {
    expect(
      gcNeverRuns.find(
        go([
          [5, 40, 30],
          [5, 50, 30],
          [5, 60, 30],
        ]),
      )?.message,
    ).toContain('one was due at 30.0 MiB');
  });

  it.each([
    [
      'grows towards its goal',
      [
        [5, 10, 64],
        [5, 20, 64],
        [5, 30, 64],
        [5, 50, 64],
      ],
    ],
    [
      'is collected while it grows',
      [
        [5, 40, 30],
        [6, 50, 30],
        [7, 60, 30],
      ],
    ],
    [
      'was collected a moment ago',
      [
        [5, 40, 30],
        [5, 50, 30],
        [6, 60, 30],
      ],
    ],
    [
      'stands still above its goal',
      [
        [5, 40, 30],
        [5, 40, 30],
        [5, 40, 30],
      ],
    ],
    [
      'grows a little over its goal while a collection is under way',
      [
        [5, 29, 30],
        [5, 30, 30],
        [5, 31, 30],
      ],
    ],
  ] as const)('is silent while the heap %s', (_name, readings) => {
    expect(gcNeverRuns.find(go(readings))).toBeNull();
  });

  it('is silent with GOGC=off below a memory limit, which makes it run', () => {
    expect(
      gcNeverRuns.find(
        go(
          [
            [0, 10, 100],
            [0, 20, 100],
            [0, 31, 100],
          ],
          -1,
        ),
      ),
    ).toBeNull();
  });

  const demo = (readings: readonly (readonly [number, number])[]): Snapshot =>
    snapshotOf(
      readings.map(([cycles, heap]) => [
        ['unikernel.gc.cycles', cycles],
        ['unikernel.gc.heap.used', heap * MiB, 'By'],
      ]),
    );

  it('waits, without a goal, until the heap has doubled', () => {
    expect(
      gcNeverRuns.find(
        demo([
          [3, 10],
          [3, 12],
          [3, 14],
        ]),
      ),
    ).toBeNull();
    expect(
      gcNeverRuns.find(
        demo([
          [3, 10],
          [3, 12],
          [3, 14],
          [3, 21],
        ]),
      )?.message,
    ).toContain('more than doubled');
  });
});

describe('gc-thrash', () => {
  const pauses = (share: number, count: number): Snapshot =>
    snapshotOf(Array.from({ length: count }, (_, s) => [['go.memory.gc.pause.time', s * share * 1e9, 'ns']] as const));

  it('speaks when pauses take a third of the time, over five readings', () => {
    expect(gcThrash.find(pauses(0.4, 6))?.message).toMatch(/^Go stands still for garbage collection 40 % of the time/);
    expect(gcThrash.find(pauses(0.4, 5))).toBeNull();
    expect(gcThrash.find(pauses(0.1, 60))).toBeNull();
  });
});

describe('memory-full', () => {
  const used = (share: number): Snapshot =>
    snapshotOf([
      [
        ['unikernel.memory.used', share * MiB, 'By'],
        ['unikernel.memory.limit', MiB, 'By'],
      ],
    ]);

  it('speaks above 95 %', () => {
    expect(memoryFull.find(used(0.97))).toEqual({ severity: 'critical', message: 'memory is 97 % full: 993 KiB of 1.00 MiB' });
    expect(memoryFull.find(used(0.9))).toBeNull();
  });
});

describe('network-failures', () => {
  const failed = (at: number, failure: boolean): Snapshot => {
    const traffic = { packets: 1, bytes: 60, retransmits: 0 };
    const flow: Flow = {
      ...{
        id: '1',
        device: 'n0',
        protocol: 'udp',
        openedBy: 'guest',
        state: null,
        reset: false,
        received: traffic,
        sent: traffic,
      },
      guest: { address: '10.0.2.15', port: 4000 },
      remote: { address: '10.0.2.3', port: 53 },
      ...{ rttMs: { remote: null, guest: null }, firstAt: 0, lastAt: 0 },
      remarks: [{ at, protocol: 'dns', failure, text: 'A shop.example → NXDOMAIN' }],
    };
    return {
      ...EMPTY_SNAPSHOT,
      at: 100_000,
      network: { since: 0, how: 'test', flows: [flow], forgotten: 0, malformed: 0, lost: 0 },
    };
  };

  it('speaks for a minute', () => {
    expect(networkFailures.find(failed(90_000, true))?.message).toBe('the network failed it: DNS A shop.example → NXDOMAIN');
    expect(networkFailures.find(failed(30_000, true))).toBeNull();
    expect(networkFailures.find(failed(90_000, false))).toBeNull();
  });
});

describe('all checks', () => {
  it.each(CHECKS.map((check) => [check.name, check] as const))('%s has nothing to say of nothing', (_name, check) => {
    expect(check.find(EMPTY_SNAPSHOT)).toBeNull();
    expect(check.doc).toMatch(/\w+ \w+/);
  });
});
