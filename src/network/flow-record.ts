// One flow while it is being counted; a `Flow` of the model is taken from it when somebody looks.

import type { Flow, FlowRemark, Traffic } from '../model/flow.ts';
import type { NetworkEnd } from '../model/socket.ts';
import type { TcpSegment } from './decode-tcp.ts';
import { type Side, type TcpNews, TcpTrack } from './tcp-track.ts';
import { TlsWatch, type Words } from './tls-watch.ts';

/** The parts of a flow that never change. */
export type FlowEnds = Pick<Flow, 'id' | 'device' | 'protocol' | 'guest' | 'remote'>;

/** A flow keeps its newest remarks. */
const MAX_REMARKS = 16;
/** The client's SYN is sent again after 1 s, 3 s, 7 s: by then it is not just slow. */
const SYN_PATIENCE_MS = 3000;

/** Counts one flow. */
export class FlowRecord {
  readonly ends: FlowEnds;
  readonly firstAt: number;
  readonly tcp: TcpTrack | null;
  lastAt: number;
  openedBy: Side | null;
  private readonly traffic: Record<Side, { -readonly [K in keyof Traffic]: Traffic[K] }> = {
    guest: { packets: 0, bytes: 0, retransmits: 0 },
    remote: { packets: 0, bytes: 0, retransmits: 0 },
  };
  private readonly tls: TlsWatch | null;
  private remarks: readonly FlowRemark[] = [];
  private toldUnanswered = false;

  constructor(ends: FlowEnds, openedBy: Side | null, at: number) {
    this.ends = ends;
    this.openedBy = openedBy;
    this.firstAt = this.lastAt = at;
    this.tcp = ends.protocol === 'tcp' ? new TcpTrack() : null;
    this.tls = ends.protocol === 'tcp' ? new TlsWatch() : null;
  }

  count(from: Side, bytes: number, at: number): void {
    const traffic = this.traffic[from];
    traffic.packets += 1;
    traffic.bytes += bytes;
    this.lastAt = at;
  }

  /** Takes a segment: what it means for the connection, and what it says that is worth a remark. */
  takeSegment(segment: TcpSegment, from: Side, at: number): TcpNews & { readonly words: Words } {
    const news = this.tcp!.push(segment, from, at);
    if (news.isRetransmit) this.traffic[from].retransmits += 1;
    this.openedBy = this.tcp!.opener;
    const words = [...this.tls!.push(segment, from), ...this.endingWords(news.ended, from)];
    return { ...news, words };
  }

  remark(words: Words, at: number): void {
    if (words.length === 0) return;
    this.remarks = [...this.remarks, ...words.map((word) => ({ at, ...word }))].slice(-MAX_REMARKS);
  }

  /** Remarks upon a SYN that nobody answers, once: 1 then, else 0. */
  tick(now: number): number {
    const unanswered = this.tcp?.unanswered ?? null;
    if (unanswered === null || this.toldUnanswered || now - unanswered.since < SYN_PATIENCE_MS) return 0;
    this.toldUnanswered = true;
    const who = this.tcp!.opener === 'guest' ? nameOf(this.ends.remote) : 'the guest';
    const text = `no answer to SYN for ${(SYN_PATIENCE_MS / 1000).toFixed(0)} s: ${who} is not there, or a filter drops it`;
    this.remark([{ protocol: 'tcp', failure: true, text }], now);
    return 1;
  }

  toFlow(): Flow {
    const { guest, remote } = this.traffic;
    return {
      ...this.ends,
      openedBy: this.openedBy,
      state: this.tcp?.state() ?? null,
      reset: this.tcp?.reset ?? false,
      received: { ...remote },
      sent: { ...guest },
      rttMs: this.tcp === null ? { remote: null, guest: null } : { ...this.tcp.rttMs },
      ...{ firstAt: this.firstAt, lastAt: this.lastAt, remarks: this.remarks },
    };
  }

  private endingWords(ended: TcpNews['ended'], from: Side): Words {
    if (ended === null) return [];
    const who = from === 'guest' ? 'the guest' : nameOf(this.ends.remote);
    const text = ended === 'refused' ? `connection refused by ${who}: nobody listens there` : `reset by ${who}`;
    return [{ protocol: 'tcp', failure: true, text }];
  }
}

function nameOf({ address, port }: NetworkEnd): string {
  return port === null ? address : `${address.includes(':') ? `[${address}]` : address}:${String(port)}`;
}
