// The protocols in which the guest asks and somebody ought to answer, as a bystander hears them: DNS, DHCP, ARP.

import type { FlowRemark } from '../model/flow.ts';
import { ByteStream } from './byte-stream.ts';
import type { ArpPacket } from './decode.ts';
import type { DhcpMessage } from './decode-dhcp.ts';
import { type DnsMessage, decodeDns } from './decode-dns.ts';
import type { TcpSegment } from './decode-tcp.ts';
import type { FlowRecord } from './flow-record.ts';
import { failure, note, Questions } from './questions.ts';

type Word = Omit<FlowRemark, 'at'>;

/** Resolvers ask again after 5 s (resolv.conf(5)); ARP after 1 s; DHCP after 4 s (RFC 2131 §4.1). */
const DNS_PATIENCE_MS = 5000;
const ARP_PATIENCE_MS = 3000;
const DHCP_PATIENCE_MS = 5000;

/** Counters of DNS. */
export interface DnsTotals {
  queries: number;
  failures: number;
}

/** DNS over UDP and TCP. */
export class DnsWatch {
  readonly totals: DnsTotals = { queries: 0, failures: 0 };
  private readonly open = new Questions<{ readonly flow: FlowRecord; readonly question: string }>(DNS_PATIENCE_MS);

  /** Takes a message of a flow. */
  hear(message: DnsMessage | null, flow: FlowRecord, at: number): void {
    if (message?.question == null) return;
    const question = `${message.question.type} ${message.question.name}`;
    const key = `${flow.ends.id} ${String(message.id)} ${question.toLowerCase()}`;
    if (!message.isResponse) {
      if (this.open.ask(key, { flow, question }, at)) this.totals.queries += 1;
      return;
    }
    const asked = this.open.answer(key, at);
    const failed = message.code !== 'NOERROR';
    if (failed) this.totals.failures += 1;
    const took = asked === null ? '' : ` (${asked.ms.toFixed(asked.ms < 10 ? 1 : 0)} ms)`;
    const result = failed ? message.code : answerText(message);
    flow.remark([(failed ? failure : note)('dns', `${question} → ${result}${took}`)], at);
  }

  /** Remarks upon what nobody answered; says how many that are. */
  tick(now: number): number {
    const overdue = this.open.takeOverdue(now);
    for (const { flow, question } of overdue) {
      this.totals.failures += 1;
      const text = `${question} → no answer for ${String(DNS_PATIENCE_MS / 1000)} s from ${flow.ends.remote.address}`;
      flow.remark([failure('dns', text)], now);
    }
    return overdue.length;
  }
}

function answerText({ answers, truncated }: DnsMessage): string {
  if (truncated) return 'cut short, to be asked again over TCP';
  return answers.length === 0 ? 'no such record' : answers.join(', ');
}

/** Messages longer than a resolver of a unikernel sends are passed by. */
const MAX_TCP_MESSAGE = 16 * 1024;

/** One direction of DNS over TCP (RFC 1035 §4.2.2): messages with their length before them. */
export class DnsStream {
  private readonly stream = new ByteStream();
  private pending = Buffer.alloc(0);

  /** Takes a segment; returns the messages that are whole now. */
  push(segment: TcpSegment): readonly (DnsMessage | null)[] {
    const messages: (DnsMessage | null)[] = [];
    for (const bytes of this.stream.push(segment)) this.pending = Buffer.concat([this.pending, bytes]);
    while (!this.stream.lost && this.pending.length >= 2) {
      const length = this.pending.readUInt16BE();
      if (length > MAX_TCP_MESSAGE) this.stream.lost = true;
      if (this.pending.length < 2 + length || this.stream.lost) break;
      messages.push(decodeDns(this.pending.subarray(2, 2 + length)));
      this.pending = this.pending.subarray(2 + length);
    }
    if (this.stream.lost) this.pending = Buffer.alloc(0);
    return messages;
  }
}

/** DHCP: whether the guest gets an address. */
export class DhcpWatch {
  private readonly open = new Questions<FlowRecord>(DHCP_PATIENCE_MS);

  hear(message: DhcpMessage, flow: FlowRecord, at: number): void {
    const key = `${flow.ends.device} ${String(message.transaction)} ${message.clientMac}`;
    if (message.kind === 'DISCOVER') this.open.ask(key, flow, at);
    if (message.kind === 'OFFER') this.open.answer(key, at);
    const word = dhcpWord(message);
    if (word !== null) flow.remark([word], at);
  }

  tick(now: number): number {
    const overdue = this.open.takeOverdue(now);
    for (const flow of overdue) {
      const text = `no offer for ${String(DHCP_PATIENCE_MS / 1000)} s: there is no DHCP server on ${flow.ends.device}`;
      flow.remark([failure('dhcp', text)], now);
    }
    return overdue.length;
  }
}

function dhcpWord({ kind, yourAddress, server }: DhcpMessage): Word | null {
  const by = server === null ? '' : ` from ${server}`;
  if (kind === 'NAK') return failure('dhcp', `address refused${by}`);
  if (kind === 'DECLINE') return failure('dhcp', 'the guest declines its address: somebody else has it');
  return kind === 'ACK' && yourAddress !== null ? note('dhcp', `${yourAddress}${by}`) : null;
}

/** ARP: whether somebody has the address that is looked for. */
export class ArpWatch {
  private readonly open = new Questions<{ readonly flow: FlowRecord; readonly address: string }>(ARP_PATIENCE_MS);

  hear({ operation, senderAddress, targetAddress }: ArpPacket, flow: FlowRecord, at: number): void {
    const { device } = flow.ends;
    // Whoever speaks is there, also when it asks something itself.
    this.open.answer(`${device} ${senderAddress}`, at);
    // An announcement (RFC 5227) asks for its own address, a probe has none yet: silence is the good answer to both.
    const wantsAnswer = operation === 'request' && senderAddress !== targetAddress && senderAddress !== '0.0.0.0';
    if (wantsAnswer) this.open.ask(`${device} ${targetAddress}`, { flow, address: targetAddress }, at);
  }

  tick(now: number): number {
    const overdue = this.open.takeOverdue(now);
    for (const { flow, address } of overdue) {
      const text = `nobody says to have ${address} for ${String(ARP_PATIENCE_MS / 1000)} s: wrong network, or it is down`;
      flow.remark([failure('arp', text)], now);
    }
    return overdue.length;
  }
}
