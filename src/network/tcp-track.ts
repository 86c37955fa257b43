// One TCP connection seen from between its ends (RFC 9293): state, what was sent again, round-trip times (RFC 6298, with Karn's
// rule). The guesses where a bystander must guess are Wireshark's (packet-tcp.c), so that tshark counts the same.

import type { TcpState } from '../model/socket.ts';
import { ACK, FIN, RST, SYN, type TcpSegment } from './decode-tcp.ts';

/** Which end. */
export type Side = 'guest' | 'remote';

/** What one segment told. */
export interface TcpNews {
  /** It carried bytes that had been sent before. */
  readonly isRetransmit: boolean;
  /** `refused`: a SYN was answered by RST. `reset`: an open connection was. */
  readonly ended: 'refused' | 'reset' | null;
}

/** A hole in what was seen: [from, to) in sequence numbers, and when the segment behind it came. */
interface Gap {
  readonly from: number;
  readonly to: number;
  readonly at: number;
}

/** One direction: what an end sent, and how far the other has acknowledged it. */
interface Half {
  /** The sequence number behind everything seen; null before the first segment. */
  next: number | null;
  gaps: Gap[];
  /** When `next` last grew, in ms. */
  grewAt: number;
  initial: number | null;
  /** Behind the FIN. */
  finEnd: number | null;
  acknowledged: number | null;
  /** When it was last acknowledged, and how often in a row without progress: the other end asks for what is missing. */
  acknowledgedAt: number;
  duplicates: number;
  windowIsZero: boolean;
  /** A segment whose acknowledgment is awaited; null while none is, or it was sent twice (Karn). */
  timed: { readonly end: number; readonly at: number } | null;
}

/** What came out of order within this was reordered, not lost: Wireshark's threshold while no round trip was measured. */
const REORDER_MS = 3;
/** Two duplicate acknowledgments, and the segment they ask for comes within this: a fast retransmission (RFC 5681 §3.2). */
const FAST_MS = 20;
const MAX_GAPS = 64;
/** RFC 6298's alpha. */
const SMOOTHING = 1 / 8;

/** Follows one connection. Times are ms. */
export class TcpTrack {
  readonly rttMs: Record<Side, number | null> = { guest: null, remote: null };
  /** Who sent the SYN; null when it was not seen. */
  opener: Side | null = null;
  reset = false;
  /** When the first SYN went out that nobody has answered, and how often it was sent. */
  unanswered: { readonly since: number; readonly count: number } | null = null;
  private readonly halves: Record<Side, Half> = { guest: openHalf(), remote: openHalf() };
  private firstRttMs: number | null = null;
  private firstClosed: Side | null = null;

  /** Whether a SYN cannot belong to this connection: the ends use their ports again. */
  isReplacedBy(segment: TcpSegment, from: Side): boolean {
    if ((segment.flags & (SYN | ACK)) !== SYN) return false;
    const { initial } = this.halves[from];
    return this.reset || this.isOver() || (initial !== null && initial !== segment.sequence);
  }

  push(segment: TcpSegment, from: Side, at: number): TcpNews {
    const to = other(from);
    const ended = (segment.flags & RST) === 0 ? null : this.takeReset(from);
    const isRetransmit = this.takeSequence(segment, from, at);
    if ((segment.flags & ACK) !== 0) this.takeAcknowledgment(segment, to, from, at);
    this.takeSyn(segment, from, at);
    this.halves[from].windowIsZero = segment.window === 0 && (segment.flags & (SYN | FIN | RST)) === 0;
    return { isRetransmit, ended };
  }

  /** The guest's end as the wire shows it; null before enough was seen. */
  state(): TcpState | null {
    const { guest, remote } = this.halves;
    if (this.reset) return 'closed';
    if (!this.isSynchronised()) {
      if (guest.initial === null) return null;
      return remote.initial === null || this.opener === 'guest' ? 'syn-sent' : 'syn-received';
    }
    const [guestDone, remoteDone] = [isFinAcknowledged(guest), isFinAcknowledged(remote)];
    if (guest.finEnd === null) return remote.finEnd === null ? 'established' : 'close-wait';
    if (remote.finEnd === null) return guestDone ? 'fin-wait-2' : 'fin-wait-1';
    if (this.firstClosed === 'remote') return guestDone ? 'closed' : 'last-ack';
    return guestDone ? (remoteDone ? 'time-wait' : 'fin-wait-2') : 'closing';
  }

  private isOver(): boolean {
    const state = this.state();
    return state === 'closed' || state === 'time-wait';
  }

  // A capture that began in the middle sees an open connection, whoever opened it.
  private isSynchronised(): boolean {
    const { guest, remote } = this.halves;
    if (this.opener === null) return guest.initial === null && remote.initial === null;
    const answer = this.halves[other(this.opener)];
    const counts = this.opener === 'guest' ? answer : guest;
    return counts.initial !== null && counts.acknowledged !== null && compare(counts.acknowledged, counts.initial) > 0;
  }

  private takeSyn({ flags, sequence }: TcpSegment, from: Side, at: number): void {
    if ((flags & SYN) === 0) {
      if (from !== this.opener) this.unanswered = null;
      return;
    }
    this.halves[from].initial ??= sequence;
    if ((flags & ACK) === 0) {
      this.opener ??= from;
      this.unanswered = { since: this.unanswered?.since ?? at, count: (this.unanswered?.count ?? 0) + 1 };
    } else {
      this.opener ??= other(from);
      this.unanswered = null;
    }
  }

  private takeReset(from: Side): TcpNews['ended'] {
    if (this.reset) return null;
    const wasOpening = !this.isSynchronised() && this.opener !== null;
    const wasEnding = this.halves.guest.finEnd !== null && this.halves.remote.finEnd !== null;
    this.reset = true;
    this.unanswered = null;
    if (wasOpening) return from === this.opener ? null : 'refused';
    return wasEnding ? null : 'reset';
  }

  /** Enters a segment's bytes among those seen; true when some had been seen, or must have been sent and lost on their way to us. */
  private takeSequence(segment: TcpSegment, from: Side, at: number): boolean {
    const half = this.halves[from];
    const { sequence, flags, length } = segment;
    const span = length + ((flags & SYN) === 0 ? 0 : 1) + ((flags & FIN) === 0 ? 0 : 1);
    const end = (sequence + span) >>> 0;
    if ((flags & FIN) !== 0 && half.finEnd === null) {
      half.finEnd = end;
      this.firstClosed ??= from;
    }
    if ((flags & RST) !== 0) return false;
    if (half.next === null) {
      half.next = end;
      half.grewAt = at;
      if (span > 0) half.timed = { end, at };
      return false;
    }
    if (span === 0 || isKeepAlive(segment, half.next)) return false;
    // A window probe's byte comes again as data when the window opens: neither counts as sent twice.
    if (length === 1 && span === 1 && sequence === half.next && this.halves[other(from)].windowIsZero) return false;
    if (compare(sequence, half.next) >= 0) {
      this.takeNew(half, sequence, end, at);
      return false;
    }
    return this.takeOld(half, sequence, end, at);
  }

  private takeNew(half: Half, sequence: number, end: number, at: number): void {
    if (sequence !== half.next) {
      half.gaps.push({ from: half.next!, to: sequence, at });
      if (half.gaps.length > MAX_GAPS) half.gaps.shift();
    }
    half.timed ??= { end, at };
    half.next = end;
    half.grewAt = at;
  }

  private takeOld(half: Half, sequence: number, end: number, at: number): boolean {
    const gap = half.gaps.find(({ from, to }) => compare(sequence, from) >= 0 && compare(end, to) <= 0);
    const isAskedFor = half.duplicates >= 2 && half.acknowledged === sequence && at - half.acknowledgedAt < FAST_MS;
    const isLate = isAskedFor || at - half.grewAt >= (this.firstRttMs ?? REORDER_MS);
    half.gaps = half.gaps.flatMap((one) => without(one, sequence, end));
    if (compare(end, half.next!) > 0) half.next = end;
    if (gap !== undefined && !isLate) return false;
    half.timed = null;
    return true;
  }

  /** `acknowledged` is the end whose bytes are, `by` who did. */
  private takeAcknowledgment(segment: TcpSegment, acknowledged: Side, by: Side, at: number): void {
    const { acknowledgment, length, flags } = segment;
    const half = this.halves[acknowledged];
    const isDuplicate = acknowledgment === half.acknowledged && length === 0 && (flags & (SYN | FIN | RST)) === 0;
    half.duplicates = isDuplicate ? half.duplicates + 1 : 0;
    half.acknowledgedAt = at;
    if (half.acknowledged !== null && compare(acknowledgment, half.acknowledged) <= 0) return;
    // Nobody can acknowledge what was not sent: a capture with holes, or a forger.
    if (half.next !== null && compare(acknowledgment, half.next) > 0) half.timed = null;
    half.acknowledged = acknowledgment;
    if (half.timed === null || compare(acknowledgment, half.timed.end) < 0) return;
    const sample = Math.max(0, at - half.timed.at);
    half.timed = null;
    const before = this.rttMs[by];
    this.rttMs[by] = before === null ? sample : before + (sample - before) * SMOOTHING;
    const { guest, remote } = this.rttMs;
    if (this.firstRttMs === null && guest !== null && remote !== null) this.firstRttMs = guest + remote;
  }
}

/** One byte or none, just before what comes next (RFC 9293 §3.8.4). */
function isKeepAlive({ sequence, length, flags }: TcpSegment, next: number): boolean {
  return length <= 1 && (flags & (SYN | FIN | RST)) === 0 && sequence === (next - 1) >>> 0;
}

function isFinAcknowledged({ finEnd, acknowledged }: Half): boolean {
  return finEnd !== null && acknowledged !== null && compare(acknowledged, finEnd) >= 0;
}

function without(gap: Gap, from: number, to: number): Gap[] {
  const before = compare(from, gap.from) > 0 ? [{ ...gap, to: compare(from, gap.to) < 0 ? from : gap.to }] : [];
  const after = compare(to, gap.to) < 0 ? [{ ...gap, from: compare(to, gap.from) > 0 ? to : gap.from }] : [];
  return [...before, ...after].filter((one) => compare(one.to, one.from) > 0);
}

/** Sequence numbers are compared on their circle (RFC 9293 §3.4): the sign of the difference modulo 2^32. */
function compare(left: number, right: number): number {
  return (left - right) | 0;
}

function openHalf(): Half {
  return {
    ...{ next: null, gaps: [], grewAt: 0, initial: null, finEnd: null },
    ...{ acknowledged: null, acknowledgedAt: 0, duplicates: 0, windowIsZero: false, timed: null },
  };
}

function other(side: Side): Side {
  return side === 'guest' ? 'remote' : 'guest';
}
