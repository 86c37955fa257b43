// Folklore. On a tap with vnet_hdr (QEMU's default) a guest's virtio-net driver puts its 10 or 12 bytes of virtio_net_hdr before
// each frame, and QEMU up to 7.2 wrote them into the dump as if they were Ethernet (8.0: "net: Strip virtio-net header when
// dumping"). They are known by where the guest's own address stands. Test: test/network/vnet-header.test.ts.

/** Lengths of the header: none, with and without num_buffers (VIRTIO 1.2 §5.1.6). */
const LENGTHS = [0, 12, 10] as const;

/** Finds how many bytes stand before a card's frames. */
export class VnetHeader {
  private readonly macs: readonly Buffer[];
  /** A frame that is neither from nor to the guest's own address is taken as the one before it. */
  private last: (typeof LENGTHS)[number] = 0;

  /** `macs` as `52:54:00:12:34:56`. */
  constructor(macs: readonly string[]) {
    this.macs = macs.map((mac) => Buffer.from(mac.replaceAll(':', ''), 'hex'));
  }

  lengthIn(frame: Uint8Array): number {
    const bytes = Buffer.from(frame.buffer, frame.byteOffset, Math.min(frame.length, 32));
    const isAt = (offset: number): boolean => this.macs.some((mac) => bytes.subarray(offset, offset + mac.length).equals(mac));
    this.last = LENGTHS.find((length) => isAt(length + 6)) ?? LENGTHS.find(isAt) ?? this.last;
    return this.last;
  }
}
