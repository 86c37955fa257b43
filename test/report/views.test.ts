// ps, free, gc, net and top as text and as documents, on snapshots made by hand.

import { describe, expect, it } from 'vitest';
import type { Flow } from '../../src/model/flow.ts';
import type { Frame } from '../../src/model/frame.ts';
import { encodeJson } from '../../src/model/json.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { GuestThread } from '../../src/model/thread.ts';
import { VIEWS } from '../../src/report/views/index.ts';
import { EMPTY_SNAPSHOT } from '../../src/session/reduce.ts';
import { NO_SHARES } from '../../src/vitals/cpu-shares.ts';
import { snapshotOf } from '../support/snapshots.ts';

const MiB = 1024 ** 2;

const lines = (name: string, snapshot: Snapshot, shares = NO_SHARES): readonly string[] =>
  VIEWS.find((view) => view.name === name)!.lines({ snapshot, shares });

function frame(index: number, name: string, file: string | null, line: number): Frame {
  return {
    ...{
      index,
      pc: 0x1000n + BigInt(index),
      trust: 'cfi',
      cfa: null,
      functionOffset: 4,
      column: null,
      inlined: false,
      module: null,
    },
    ...{ function: name, file, line: file === null ? null : line, status: 'symbolicated' },
  };
}

const THREAD: GuestThread = {
  ...{
    id: '1',
    name: 'main',
    state: 'waiting',
    waitingFor: null,
    blockedBy: null,
    registers: null,
    stack: null,
    cpuTimeNs: null,
  },
};

function withThreads(threads: readonly (readonly [GuestThread, readonly Frame[]])[]): Snapshot {
  return {
    ...EMPTY_SNAPSHOT,
    threads: threads.map(([thread]) => thread),
    stacks: threads.map(([{ id, name, state }, frames]) => ({
      ...{ kind: 'thread', id, name, state, frames, end: 'outermost', torn: false },
    })),
  };
}

describe('ps', () => {
  const snapshot = withThreads([
    [
      { ...THREAD, id: '7', name: 'worker', state: 'blocked', waitingFor: 'mutex accounts', blockedBy: '8', cpuTimeNs: 2.5e9 },
      [
        frame(0, 'ctx_switch', 'switch.S', 3),
        frame(1, 'uk_sched_yield', 'sched.c', 9),
        frame(2, 'app_transfer', '/src/app.c', 41),
      ],
    ],
    [
      { ...THREAD, id: '8', name: 'audit', cpuTimeNs: 1e6 },
      [
        frame(0, 'runtime.gopark', 'proc.go', 363),
        frame(1, 'runtime.bgsweep', 'mgcsweep.go', 278),
        frame(2, 'runtime.goexit', 'asm.s', 1),
      ],
    ],
  ]);
  const shares = { at: 0, times: new Map(), shares: new Map([['7', 0.25]]) };

  it('tells who waits for whom, and the function that is not a scheduler’s', () => {
    expect(lines('ps', snapshot, shares)).toEqual([
      'ID  NAME    STATE     CPU   TIME  WAITS FOR                     WHERE',
      ' 7  worker  blocked  25 %   2.5s  mutex accounts held by audit  app_transfer (app.c:41)',
      ' 8  audit   waiting     –  1.0ms                                runtime.bgsweep (mgcsweep.go:278)',
    ]);
  });

  it('leaves out CPU where no scheduler counts it, and lists vCPUs where none is known', () => {
    expect(lines('ps', withThreads([[THREAD, []]]))[0]).toBe('ID  NAME  STATE    WAITS FOR  WHERE');
    const stacks = [
      {
        kind: 'vcpu',
        id: '0',
        name: 'vcpu 0',
        state: 'running',
        frames: [frame(0, 'spin', 'a.c', 1)],
        end: 'outermost',
        torn: false,
      },
    ] as const;
    const shown = lines('ps', { ...EMPTY_SNAPSHOT, stacks });
    expect(shown[1]).toBe(' 0  vcpu 0  running             spin (a.c:1)');
    expect(shown.at(-1)).toMatch(/^No scheduler of this guest is known/);
  });
});

describe('free', () => {
  it('keeps apart what the guest uses, what the VM was given and what is resident', () => {
    const snapshot = snapshotOf([
      [
        ['unikernel.memory.used', 100 * MiB, 'By'],
        ['unikernel.memory.limit', 400 * MiB, 'By'],
        ['unikernel.memory.allocated', 512 * MiB, 'By'],
        ['unikernel.memory.resident', 200 * MiB, 'By'],
        ['unikernel.memory.exhaustion.time', 90, 's'],
        ['go.memory.heap.live', 20 * MiB, 'By'],
        ['go.memory.heap.size', 30 * MiB, 'By'],
      ],
    ]);
    expect(lines('free', snapshot)).toEqual([
      '            LIMIT      USED      FREE  PEAK  LIVE',
      'guest     400 MiB   100 MiB   300 MiB     –     –  25 %',
      'Go heap  30.0 MiB  20.0 MiB  10.0 MiB     –     –  67 %',
      '',
      'given to the VM 512 MiB · resident on the host 200 MiB',
      'used up in 90 s if it goes on like this',
    ]);
  });

  it('says why nothing is known', () => {
    expect(lines('free', snapshotOf([[['unikernel.memory.used', null]]]))[0]).toBe('guest: it is not kept');
    expect(lines('free', EMPTY_SNAPSHOT)[0]).toMatch(/^guest: no probe knows its allocator/);
  });
});

describe('gc', () => {
  it('tells the pace, the pauses and the heap of each collector', () => {
    const row = (second: number) =>
      [
        ['go.memory.gc.cycles', 10 + second],
        ['go.memory.gc.pause.time', (5 + second * 10) * 1e6, 'ns'],
        ['go.memory.gc.pause.last', 250_000, 'ns'],
        ['go.memory.gc.pause{quantile=1}', 9e6, 'ns'],
        ['go.memory.gc.pause{quantile=0.5}', 2e5, 'ns'],
        ['go.memory.heap.live', 12 * MiB, 'By'],
        ['go.memory.gc.goal', null],
        ['go.memory.allocated', second * MiB, 'By'],
      ] as const;
    expect(lines('gc', snapshotOf([row(0), row(1), row(2)]))).toEqual([
      'Go              12 collections (60/min)',
      '        pauses  last 250.0µs · p50 200.0µs · max 9.0ms · all 25.0ms · 1.0 % of the time',
      '        heap    used 12.0 MiB · no goal: it is not kept',
      '                allocating 1.00 MiB/s',
    ]);
  });

  it('says why there is none', () => {
    expect(lines('gc', snapshotOf([[['ocaml.gc.major.cycles', null]]]))).toEqual(['OCaml: it is not kept']);
    expect(lines('gc', EMPTY_SNAPSHOT)[0]).toMatch(/^no garbage collector is known/);
  });
});

describe('net', () => {
  const traffic = { packets: 3, bytes: 2048, retransmits: 1 };
  const flow: Flow = {
    ...{
      id: '1',
      device: 'n0',
      protocol: 'tcp',
      openedBy: 'guest',
      state: 'established',
      reset: false,
      received: traffic,
      sent: traffic,
    },
    guest: { address: '10.0.2.15', port: 4000 },
    remote: { address: 'fe80::2', port: 443 },
    ...{ rttMs: { remote: 1.5, guest: null }, firstAt: 0, lastAt: 0 },
    remarks: [{ at: 0, protocol: 'tls', failure: true, text: 'handshake ended by the guest: unknown CA' }],
  };
  const network = { since: 0, how: 'filter-dump on n0', flows: [flow], forgotten: 2, malformed: 0, lost: 0 };

  it('tells flows with what failed in them, and the sockets of the guest', () => {
    const sockets = [
      {
        protocol: 'tcp',
        state: 'listen',
        local: { address: '*', port: 80 },
        remote: null,
        receiveQueue: null,
        sendQueue: 0,
        retransmits: null,
      },
    ] as const;
    expect(
      lines('net', { ...snapshotOf([[['system.network.io{device=n0,direction=receive}', 5 * MiB, 'By']]]), network, sockets }),
    ).toEqual([
      'CARD        WHAT    SO FAR  RATE  COUNTED BY',
      'n0 receive  io    5.00 MiB     –  test',
      '',
      'flows (filter-dump on n0):',
      'PROTO  GUEST              REMOTE         STATE        RECEIVED      SENT     RTT  AGAIN  SAYS',
      'tcp    10.0.2.15:4000  →  [fe80::2]:443  established  2.00 KiB  2.00 KiB  1.50ms      2  handshake ended by the guest: unknown CA',
      '2 older flows are no longer kept',
      '',
      'failures:',
      '  TLS handshake ended by the guest: unknown CA',
      '',
      "sockets in the guest's own tables:",
      'PROTO  LOCAL  REMOTE  STATE   RECV-Q  SEND-Q  AGAIN',
      'tcp    *:80   *       listen       –       0      –',
    ]);
  });

  it('hides troubles that did not happen', () => {
    const counted = snapshotOf([
      [
        ['system.network.errors{device=n0}', 0],
        ['system.network.dropped{device=n0}', 4],
      ],
    ]);
    expect(lines('net', counted).filter((line) => line.startsWith('n0'))).toEqual(['n0    dropped       4     –  test']);
  });
});

describe('every view', () => {
  it.each(VIEWS.map((view) => [view.name, view] as const))(
    '%s has lines and a document of a guest of which nothing is known',
    (_name, view) => {
      const seen = { snapshot: EMPTY_SNAPSHOT, shares: NO_SHARES };
      expect(view.lines(seen).every((line) => !line.includes('undefined') && !line.includes('NaN'))).toBe(true);
      expect(() => encodeJson(view.document(seen))).not.toThrow();
      expect(Object.values(view.document(seen))).not.toContain(undefined);
    },
  );
});
