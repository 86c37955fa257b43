// The wire as a source of a session: packets captured on demand, folded into flows, told twice a second, written to a pcapng file
// when one is wanted.

import { resolve } from 'node:path';
import { errorCode, errorMessage } from '../model/error.ts';
import type { NetworkView } from '../model/flow.ts';
import type { Sample } from '../model/metric.ts';
import { type Capture, openCapture } from '../network/capture.ts';
import { type CapturedPacket, FlowTable } from '../network/flows.ts';
import type { NetworkCard } from '../network/network-cards.ts';
import { encodePacket, encodeStatistics, PcapngFile } from '../network/pcapng.ts';
import type { Monitor } from '../qemu/monitor.ts';
import type { Session } from './session.ts';

/** How to capture. */
export interface NetworkOptions {
  /** Writes all packets there as pcapng. */
  readonly pcap?: string;
  /** Bytes of each frame that are kept; whole frames unless told. */
  readonly snapLength?: number;
}

const EMIT_EVERY_MS = 500;
const SNAP_LENGTH = 65536;

/** Captures a VM's packets while it is open. */
export class NetworkSource {
  private readonly session: Session;
  private readonly monitor: Monitor;
  private readonly pid: number | null;
  private opening: Promise<void> | null = null;
  private running: Running | null = null;

  /** `pid`: QEMU's process on this machine, or null. */
  constructor(input: { readonly session: Session; readonly monitor: Monitor; readonly pid: number | null }) {
    this.session = input.session;
    this.monitor = input.monitor;
    this.pid = input.pid;
  }

  get isOpen(): boolean {
    return this.running !== null;
  }

  /** Begins to capture; when it runs already, nothing changes. Throws CAPTURE_REFUSED with the reason, FILE_UNREADABLE for the file. */
  async open(options: NetworkOptions = {}): Promise<void> {
    this.opening ??= this.begin(options).finally(() => {
      this.opening = null;
    });
    await this.opening;
  }

  /** Totals since the capture began; nothing while there is none. */
  samples(): readonly Sample[] {
    return this.running?.flows.samples() ?? [];
  }

  /** What was seen so far; null while nothing is captured. */
  view(): NetworkView | null {
    return this.running?.flows.view() ?? null;
  }

  /** Ends the capture; nothing of it is left in QEMU or on disk but the file that was asked for. */
  async close(): Promise<void> {
    await this.opening?.catch(() => undefined);
    const running = this.running;
    this.running = null;
    await running?.close();
  }

  private async begin({ pcap, snapLength = SNAP_LENGTH }: NetworkOptions): Promise<void> {
    if (this.running !== null) return;
    const running = new Running(this.session);
    const capture = await openCapture(this.monitor, { pid: this.pid, snapLength }, running);
    for (const { netdev, reason } of capture.refused) this.session.remark('card-not-captured', `${netdev}: ${reason}`);
    try {
      running.start(
        capture,
        pcap === undefined
          ? null
          : new PcapngFile(
              pcap,
              capture.cards.map((card) => interfaceOf(card, snapLength)),
            ),
      );
    } catch (error) {
      await capture.close();
      throw error;
    }
    this.running = running;
  }
}

function interfaceOf(
  { netdev, type, cards }: NetworkCard,
  snapLength: number,
): ConstructorParameters<typeof PcapngFile>[1][number] {
  const guests = cards.map(({ name, model, mac }) => `${name} (${model}) ${mac}`).join(', ');
  return { name: netdev, description: `${guests} on -netdev ${type}`, snapLength };
}

/** An open capture: what hears its packets. */
class Running {
  private readonly session: Session;
  private readonly since = Date.now();
  private capture: Capture | null = null;
  private file: PcapngFile | null = null;
  private timer: NodeJS.Timeout | null = null;
  private emitted = -1;
  private lost = 0;
  private readonly received = new Map<string, { readonly interface: number; count: number }>();
  flows = new FlowTable({ devices: [], since: this.since, how: '' });

  constructor(session: Session) {
    this.session = session;
  }

  /** The capture delivers from the next turn of the event loop on, so nothing was missed before this. */
  start(capture: Capture, file: PcapngFile | null): void {
    this.capture = capture;
    this.file = file;
    if (file !== null) capture.entrust(resolve(file.path));
    for (const [index, { netdev }] of capture.cards.entries()) this.received.set(netdev, { interface: index, count: 0 });
    const devices = capture.cards.map(({ netdev, cards }) => ({ name: netdev, macs: cards.map(({ mac }) => mac) }));
    this.flows = new FlowTable({ devices, since: this.since, how: capture.how });
    this.emit();
    this.timer = setInterval(() => {
      this.flows.tick(Date.now());
      this.writing((to) => {
        to.flush();
      });
      this.emit();
    }, EMIT_EVERY_MS);
    this.timer.unref();
  }

  onPacket(packet: CapturedPacket): void {
    const from = this.flows.push(packet);
    const counter = this.received.get(packet.device);
    if (counter === undefined) return;
    counter.count += 1;
    this.writing((to) => {
      to.write(encodePacket({ ...packet, interface: counter.interface, from }));
    });
  }

  onLost(packets: number): void {
    this.lost += packets;
    this.flows.lose(packets);
    this.session.emit({ type: 'lost', what: 'packets', count: packets });
  }

  onRemark(code: string, message: string): void {
    this.session.remark(code, message);
  }

  async close(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    await this.capture?.close();
    this.emit();
    this.writing((to) => {
      const endedAt = Date.now();
      for (const { interface: index, count } of this.received.values()) {
        // Lost packets are not known by card: they stand with the first.
        const dropped = index === 0 ? this.lost : 0;
        const statistics = { interface: index, startedAt: this.since, endedAt, received: count + dropped, dropped };
        to.write(encodeStatistics(statistics));
      }
      to.close();
    });
  }

  private emit(): void {
    if (this.flows.changes === this.emitted) return;
    this.emitted = this.flows.changes;
    this.session.emit({ type: 'network', network: this.flows.view() });
  }

  // A full disk ends the file, not the capture.
  private writing(body: (file: PcapngFile) => void): void {
    if (this.file === null) return;
    try {
      body(this.file);
    } catch (error) {
      if (errorCode(error) === null) throw error;
      this.file = null;
      this.session.remark('pcap-ended', errorMessage(error));
    }
  }
}
