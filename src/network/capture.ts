// Packets of a running VM, by QEMU's own filter-dump objects, put in and taken out at run time. Why not filter-mirror to a socket:
// it writes with qemu_chr_fe_write_all, which sleeps and tries again under QEMU's global lock while the reader is slow
// (chardev/char.c): a reader that is stopped stops the guest. A file never does. See janitor.ts for how the file stays small.

import { errorCode, UnidbgError } from '../model/error.ts';
import type { Monitor } from '../qemu/monitor.ts';
import { CaptureClock } from './capture-clock.ts';
import { CaptureFile } from './capture-file.ts';
import {
  type CaptureFolder,
  captureName,
  isLeftOver,
  makeCaptureFile,
  openCaptureFolder,
  removeFolder,
} from './capture-folder.ts';
import type { CapturedPacket } from './flows.ts';
import { type NetworkCard, type NetworkSetup, readNetworkSetup } from './network-cards.ts';
import { type Janitor, openJanitor } from './open-janitor.ts';
import { VnetHeader } from './vnet-header.ts';

/** A monitor of either kind. */
type Asked = Pick<Monitor, 'hmp' | 'where'>;

/** Who hears of packets. Called in order for each card; never after `close` has resolved. */
export interface CaptureSink {
  readonly onPacket: (packet: CapturedPacket) => void;
  /** Packets that went by and are not known. */
  readonly onLost: (packets: number) => void;
  readonly onRemark: (code: string, message: string) => void;
}

/** How to capture. */
export interface CaptureOptions {
  /** QEMU's process on this machine; null = not known, and then nothing can be captured. */
  readonly pid: number | null;
  /** Bytes of each frame that are kept; 65536 unless told: whole frames, also those that segmentation offload made long. */
  readonly snapLength?: number;
  /** Bytes of packets that may wait for us; 128 MiB unless told. Beyond it they are thrown away and counted. */
  readonly keepBytes?: number;
}

/** A running capture. */
export interface Capture {
  /** The cards whose packets are seen. */
  readonly cards: readonly NetworkCard[];
  /** `filter-dump on n0, n1`. */
  readonly how: string;
  /** Cards that could not be captured, and why. */
  readonly refused: readonly { readonly netdev: string; readonly reason: string }[];
  readonly janitorPid: number;
  /** Tells of a pcapng file (absolute path) that its packets are written to: should unidbg be killed, it ends with a whole block. */
  entrust(path: string): void;
  /** Takes the filters out, reads what they still wrote, removes every trace. */
  close(): Promise<void>;
}

const POLL_MS = 50;
/** Longest piece of work between two turns of the event loop: a screen must stay alive. */
const BUSY_MS = 20;
const SNAP_LENGTH = 65536;

/** Captures of this process so far: no two filters of one QEMU may have one id. */
let captures = 0;

/** Begins to capture all cards of a VM. Throws CAPTURE_REFUSED with the reasons when there is none that can be. */
export async function openCapture(monitor: Asked, options: CaptureOptions, sink: CaptureSink): Promise<Capture> {
  const setup = await readNetworkSetup(monitor);
  await removeLeftFilters(monitor, setup);
  if (setup.cards.length === 0) {
    throw refusal(
      'the VM has no network card, or none that is connected: start it with -netdev user,id=n0 -device virtio-net-pci,netdev=n0',
    );
  }
  const folder = options.pid === null ? NOT_HERE : openCaptureFolder(options.pid, options.keepBytes);
  if (typeof folder === 'string') throw refusal(folder);
  const capture = new RunningCapture(monitor, folder, sink);
  try {
    await capture.start(setup.cards, options);
    return capture;
  } catch (error) {
    await capture.close();
    throw error;
  }
}

const NOT_HERE = 'QEMU is not on this machine: packets go through a file that both it and unidbg can open';

function refusal(why: string): UnidbgError {
  return new UnidbgError('CAPTURE_REFUSED', `the network cannot be captured: ${why}`);
}

// A dead unidbg's filter does no harm but to write; two of them live side by side.
async function removeLeftFilters(monitor: Asked, { filters }: NetworkSetup): Promise<void> {
  for (const id of filters.filter(isLeftOver)) await monitor.hmp(`object_del ${id}`);
}

interface Attached {
  readonly card: NetworkCard;
  readonly filter: string;
  readonly file: CaptureFile;
  readonly vnet: VnetHeader;
  told: number;
}

class RunningCapture implements Capture {
  readonly refused: { readonly netdev: string; readonly reason: string }[] = [];
  private readonly monitor: Asked;
  private readonly folder: CaptureFolder;
  private readonly sink: CaptureSink;
  private readonly clock = new CaptureClock();
  private readonly attached: Attached[] = [];
  private readonly filters: string[] = [];
  private janitor: Janitor | null = null;
  private timer: NodeJS.Timeout | null = null;
  private closing: Promise<void> | null = null;

  constructor(monitor: Asked, folder: CaptureFolder, sink: CaptureSink) {
    this.monitor = monitor;
    this.folder = folder;
    this.sink = sink;
  }

  get cards(): readonly NetworkCard[] {
    return this.attached.map(({ card }) => card);
  }

  get how(): string {
    return `filter-dump on ${this.cards.map(({ netdev }) => netdev).join(', ')}`;
  }

  get janitorPid(): number {
    return this.janitor?.pid ?? 0;
  }

  entrust(path: string): void {
    this.janitor?.entrust(path);
  }

  async start(cards: readonly NetworkCard[], { pid, snapLength = SNAP_LENGTH }: CaptureOptions): Promise<void> {
    // The janitor first: from the first filter on there is somebody who will take it out.
    captures += 1;
    const name = `${captureName()}${String(captures)}`;
    const filters = cards.map((_card, index) => `${name}-${String(index)}`);
    this.janitor = openJanitor({
      ...{ monitor: this.monitor.where, qemuPid: pid ?? 0, filters, folder: this.folder.here },
      files: cards.map((_card, index) => `${this.folder.here}/${String(index)}.pcap`),
      keepBytes: this.folder.keepBytes,
    });
    for (const [index, card] of cards.entries()) await this.attach(card, index, filters[index]!, snapLength);
    if (this.attached.length === 0) {
      throw refusal(this.refused.map(({ netdev, reason }) => `${netdev}: ${reason}`).join('; '));
    }
    // Not at once: whoever opens this learns first which cards there are.
    this.schedule(0);
  }

  close(): Promise<void> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  private async attach(card: NetworkCard, index: number, filter: string, snapLength: number): Promise<void> {
    const file = `${String(index)}.pcap`;
    const here = makeCaptureFile(this.folder, file);
    // In QEMU's options a comma is written twice.
    const there = `${this.folder.there}/${file}`.replaceAll(',', ',,');
    const said = await this.monitor.hmp(
      `object_add filter-dump,id=${filter},netdev=${card.netdev},file=${there},maxlen=${String(snapLength)}`,
    );
    if (said.trim() !== '') {
      this.refused.push({ netdev: card.netdev, reason: explainRefusal(said.trim(), card) });
      return;
    }
    const source = new CaptureFile(here, { folder: this.folder.here, index, clock: this.clock });
    // QEMU has written the header by now, if that is the file it opened.
    if (!source.isDump()) {
      source.close();
      await this.monitor.hmp(`object_del ${filter}`);
      this.refused.push({
        netdev: card.netdev,
        reason: 'QEMU writes its file where unidbg does not see it: it has another root',
      });
      return;
    }
    this.filters.push(filter);
    this.attached.push({ card, filter, told: 0, file: source, vnet: new VnetHeader(card.cards.map(({ mac }) => mac)) });
  }

  private poll(): void {
    const deadline = performance.now() + BUSY_MS;
    let more = true;
    while (more && performance.now() < deadline) more = this.readAll();
    this.schedule(more ? 0 : POLL_MS);
  }

  private schedule(inMs: number): void {
    this.timer = setTimeout(() => {
      this.poll();
    }, inMs);
    this.timer.unref();
  }

  /** Reads once from each file; true when one has more. */
  private readAll(): boolean {
    let more = false;
    for (const one of this.attached) {
      const wasBroken = one.file.broken;
      const { records, lost, more: again } = one.file.read();
      if (lost > 0) this.sink.onLost(lost);
      for (const { stamp, length, bytes } of records) {
        const skip = one.vnet.lengthIn(bytes);
        const at = this.clock.toEpochMs(stamp);
        this.sink.onPacket({ device: one.card.netdev, at, length: length - skip, bytes: bytes.subarray(skip) });
      }
      if (one.file.broken && !wasBroken) {
        this.sink.onRemark('capture-broken', `QEMU's capture of ${one.card.netdev} cannot be read any further`);
      }
      if (one.file.offset > one.told) {
        this.janitor?.tell({ file: one.file.index, offset: one.file.offset, packets: one.file.packets });
        one.told = one.file.offset;
      }
      more ||= again;
    }
    return more;
  }

  private async closeAll(): Promise<void> {
    if (this.timer !== null) clearTimeout(this.timer);
    const isRemoved = await this.removeFilters();
    while (this.readAll());
    for (const { file } of this.attached) file.close();
    // What could not be taken out now, the janitor will.
    if (isRemoved) removeFolder(this.folder.here);
    const ended = this.janitor?.dismiss();
    if (isRemoved) await ended;
  }

  private async removeFilters(): Promise<boolean> {
    try {
      for (const filter of this.filters) await this.monitor.hmp(`object_del ${filter}`);
      return true;
    } catch (error) {
      if (errorCode(error) === null) throw error;
      return false;
    }
  }
}

/** QEMU's reasons (net/filter.c), and what to do about them. */
function explainRefusal(said: string, { type }: NetworkCard): string {
  const text = said.replace(/^Error:\s*/, '');
  if (/vhost/i.test(text))
    return 'its packets go past QEMU, through the kernel (vhost=on) or another process: start it with vhost=off';
  if (/multiqueue/i.test(text)) return 'QEMU captures no card of many queues: start it with queues=1';
  if (/filter-dump/.test(text)) return `this QEMU was built without filter-dump (${text})`;
  return `${text} (-netdev ${type})`;
}
