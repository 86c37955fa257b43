// A TCP connection from between its ends: states, what is sent again, round trips.

import { describe, expect, it } from 'vitest';
import { decodePacket } from '../../src/network/decode.ts';
import { ACK, FIN, RST, SYN, type TcpSegment } from '../../src/network/decode-tcp.ts';
import { type Side, type TcpNews, TcpTrack } from '../../src/network/tcp-track.ts';
import { tcp } from './support/frames.ts';
import { fieldsOf, withFile } from './support/tshark.ts';

/** One segment: who, flags, sequence, acknowledgment, bytes of data, ms after the one before (1 unless told), window. */
type Step = readonly [Side, number, number, number, number?, number?, number?];

function segmentOf([from, flags, sequence, acknowledgment, length = 0, , window]: Step, guestPort = 40_000): Buffer {
  const data = Buffer.alloc(length, 'x');
  return tcp({
    fromGuest: from === 'guest',
    guestPort,
    flags,
    sequence,
    acknowledgment,
    data,
    ...(window === undefined ? {} : { window }),
  });
}

function run(steps: readonly Step[], track = new TcpTrack()): { track: TcpTrack; news: TcpNews[]; states: (string | null)[] } {
  let at = 1000;
  const states: (string | null)[] = [];
  const news = steps.map((step) => {
    at += step[5] ?? 1;
    const segment = decodePacket(segmentOf(step)).transport as TcpSegment;
    const told = track.push(segment, step[0], at);
    states.push(track.state());
    return told;
  });
  return { track, news, states };
}

const OPEN: readonly Step[] = [
  ['guest', SYN, 100, 0],
  ['remote', SYN | ACK, 500, 101],
  ['guest', ACK, 101, 501],
];

describe('the state of the guest on the wire', () => {
  it('goes through an active open and an active close as RFC 9293 draws it', () => {
    const { states } = run([
      ...OPEN,
      ['guest', FIN | ACK, 101, 501],
      ['remote', ACK, 501, 102],
      ['remote', FIN | ACK, 501, 102],
      ['guest', ACK, 102, 502],
    ]);
    expect(states).toEqual(['syn-sent', 'syn-sent', 'established', 'fin-wait-1', 'fin-wait-2', 'fin-wait-2', 'time-wait']);
  });

  it('goes through a passive open and a passive close', () => {
    const { states, track } = run([
      ['remote', SYN, 500, 0],
      ['guest', SYN | ACK, 100, 501],
      ['remote', ACK, 501, 101],
      ['remote', FIN | ACK, 501, 101],
      ['guest', ACK, 101, 502],
      ['guest', FIN | ACK, 101, 502],
      ['remote', ACK, 502, 102],
    ]);
    expect(states).toEqual([null, 'syn-received', 'established', 'close-wait', 'close-wait', 'last-ack', 'closed']);
    expect(track.opener).toBe('remote');
  });

  it('is closing when both closed at once', () => {
    const { states } = run([
      ...OPEN,
      ['guest', FIN | ACK, 101, 501],
      ['remote', FIN | ACK, 501, 101],
      ['remote', ACK, 502, 102],
      ['guest', ACK, 102, 502],
    ]);
    expect(states.slice(3)).toEqual(['fin-wait-1', 'closing', 'fin-wait-2', 'time-wait']);
  });

  it('tells a refused connection from one that is reset, and from a close by RST', () => {
    const refused = run([OPEN[0]!, ['remote', RST | ACK, 0, 101]]);
    expect(refused.news.at(-1)!.ended).toBe('refused');
    expect(run([...OPEN, ['remote', RST, 501, 0]]).news.at(-1)!.ended).toBe('reset');
    const closed = run([...OPEN, ['guest', FIN | ACK, 101, 501], ['remote', FIN | ACK, 501, 102], ['guest', RST, 102, 0]]);
    expect(closed.news.at(-1)!.ended).toBeNull();
    expect([refused, closed].map(({ track }) => [track.reset, track.state()])).toEqual([
      [true, 'closed'],
      [true, 'closed'],
    ]);
  });

  it('is established, opened by nobody knows whom, when the capture began in the middle', () => {
    const { track } = run([['remote', ACK, 9000, 70, 10]]);
    expect([track.state(), track.opener]).toEqual(['established', null]);
  });

  it('knows a SYN that opens anew on the same ports', () => {
    const { track } = run(OPEN);
    const syn = (sequence: number): TcpSegment => decodePacket(segmentOf(['guest', SYN, sequence, 0])).transport as TcpSegment;
    expect(track.isReplacedBy(syn(100), 'guest')).toBe(false);
    expect(track.isReplacedBy(syn(77_777), 'guest')).toBe(true);
  });
});

const data = (from: Side, sequence: number, length: number, afterMs = 1): Step => [
  from,
  ACK,
  sequence,
  from === 'guest' ? 501 : 101,
  length,
  afterMs,
];

/** Exchanges and which of their segments were sent again: by the definition, and by tshark. */
const EXCHANGES: Readonly<Record<string, { steps: readonly Step[]; again: readonly number[] }>> = {
  'nothing twice': { steps: [...OPEN, data('guest', 101, 10), data('guest', 111, 10)], again: [] },
  'a segment twice': { steps: [...OPEN, data('guest', 101, 10), data('guest', 101, 10, 300)], again: [4] },
  'a segment and more of it': { steps: [...OPEN, data('guest', 101, 10), data('guest', 101, 30, 300)], again: [4] },
  'over the wrap of sequence numbers': {
    steps: [
      ['guest', SYN, 0xfffffff0, 0],
      ['remote', SYN | ACK, 500, 0xfffffff1],
      ['guest', ACK, 0xfffffff1, 501],
      data('guest', 0xfffffff1, 10),
      data('guest', 0xfffffffb, 10),
      data('guest', 0xfffffffb, 10, 300),
      data('guest', 5, 10),
    ],
    again: [5],
  },
  'a SYN twice': { steps: [OPEN[0]!, ['guest', SYN, 100, 0, 0, 1000], ...OPEN.slice(1)], again: [1] },
  'a FIN twice': { steps: [...OPEN, ['guest', FIN | ACK, 101, 501], ['guest', FIN | ACK, 101, 501, 0, 300]], again: [4] },
  'keep-alives, which are not data': {
    steps: [
      ...OPEN,
      data('guest', 101, 10),
      ['remote', ACK, 501, 111],
      data('guest', 110, 1, 60_000),
      data('guest', 110, 0, 60_000),
    ],
    again: [],
  },
  'probes of a window that is shut': {
    steps: [
      ...[...OPEN, data('guest', 101, 10), ['remote', ACK, 501, 111, 0, 1, 0] as const],
      ...[data('guest', 111, 1, 500), ['remote', ACK, 501, 111, 0, 1, 0] as const, ['remote', ACK, 501, 111, 0, 500] as const],
      data('guest', 111, 100),
    ],
    again: [],
  },
  'two that changed places on the way': { steps: [...OPEN, data('remote', 511, 10), data('remote', 501, 10)], again: [] },
  'a hole filled long after': { steps: [...OPEN, data('remote', 511, 10), data('remote', 501, 10, 400)], again: [4] },
  'a hole filled on the third demand': {
    steps: [
      ...OPEN,
      ...[data('remote', 501, 10, 60), ['guest', ACK, 101, 511] as const, data('remote', 521, 10), data('remote', 531, 10)],
      ...[['guest', ACK, 101, 511] as const, ['guest', ACK, 101, 511] as const, data('remote', 511, 10)],
    ],
    again: [9],
  },
};

function timesOf(steps: readonly Step[]): number[] {
  return steps.map((_step, index) => 1000 + steps.slice(0, index + 1).reduce((sum, step) => sum + (step[5] ?? 1), 0));
}

describe('segments that are sent again', () => {
  it.each(Object.entries(EXCHANGES))('are counted and nothing else: %s', (_title, { steps, again }) => {
    expect(run(steps).news.flatMap(({ isRetransmit }, index) => (isRetransmit ? [index] : []))).toEqual(again);
  });

  it('are those that tshark takes for retransmissions', () => {
    const exchanges = Object.values(EXCHANGES);
    // One connection each, on ports of its own, in one file: starting tshark takes a second.
    const frames = exchanges.flatMap(({ steps }, port) => steps.map((step) => segmentOf(step, 40_000 + port)));
    const times = exchanges.flatMap(({ steps }) => timesOf(steps));
    const theirs = withFile(frames, (path) => fieldsOf(path, ['frame.number'], 'tcp.analysis.retransmission'), times);
    const before = exchanges.map((_one, index) => exchanges.slice(0, index).reduce((sum, { steps }) => sum + steps.length, 0));
    const ours = exchanges.flatMap(({ again }, index) => again.map((step) => before[index]! + step + 1));
    expect(theirs.map(([number]) => Number(number))).toEqual(ours);
  });

  it('cost no memory however many holes a hostile end makes', () => {
    const { track } = run(OPEN);
    const started = performance.now();
    for (let index = 0; index < 20_000; index += 1) run([data('remote', 501 + 20 * index, 10)], track);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe('round-trip times', () => {
  it('are those of the handshake, to either side of the card', () => {
    const { track } = run([
      ['guest', SYN, 100, 0],
      ['remote', SYN | ACK, 500, 101, 0, 40],
      ['guest', ACK, 101, 501, 0, 3],
    ]);
    expect(track.rttMs).toEqual({ remote: 40, guest: 3 });
  });

  it('are smoothed over what follows', () => {
    const { track } = run([
      ['guest', SYN, 100, 0],
      ['remote', SYN | ACK, 500, 101, 0, 40],
      ['guest', ACK, 101, 501],
      data('guest', 101, 10),
      ['remote', ACK, 501, 111, 0, 80],
    ]);
    expect(track.rttMs.remote).toBe(45);
  });

  it('are not taken from a segment that was sent twice (Karn)', () => {
    const { track } = run([
      ['guest', SYN, 100, 0],
      ['guest', SYN, 100, 0, 0, 1000],
      ['remote', SYN | ACK, 500, 101, 0, 40],
      ['guest', ACK, 101, 501, 0, 3],
    ]);
    expect(track.rttMs).toEqual({ remote: null, guest: 3 });
  });
});
