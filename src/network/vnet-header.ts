// Folklore. On a tap with vnet_hdr (QEMU's default) a guest's virtio-net driver puts its 10 or 12 bytes of virtio_net_hdr before
// each frame, and QEMU up to 7.2 wrote them into the dump as if they were Ethernet (8.0: "net: Strip virtio-net header when
// dumping"). They are known by where the guest's own address stands. Test: test/network/vnet-header.test.ts.

/** Lengths of the header: none, with and without num_buffers (VIRTIO 1.2 §5.1.6). */
const LENGTHS = [0, 12, 10] as const;

/** Finds how many bytes stand before a card's frames. */
export class VnetHeader {
  private readonly macs: readonly Buffer[];
  /** A frame that is neither from nor to the guest's own address is taken as the one before it; null before there was one. */
  private known: number | null = null;

  /** `macs` as `52:54:00:12:34:56`. */
  constructor(macs: readonly string[]) {
    this.macs = macs.map((mac) => Buffer.from(mac.replaceAll(':', ''), 'hex'));
  }

  lengthIn(frame: Uint8Array): number {
    const bytes = Buffer.from(frame.buffer, frame.byteOffset, Math.min(frame.length, 32));
    const isAt = (offset: number): boolean => this.macs.some((mac) => bytes.subarray(offset, offset + mac.length).equals(mac));
    const found = LENGTHS.find((length) => isAt(length + 6)) ?? LENGTHS.find(isAt);
    if (found !== undefined) this.known = found;
    return this.known ?? guess(bytes);
  }
}

// Others speak before the guest does. No frame is from 00:00:00:00:00:00, but the header of a plain frame is all zeros.
function guess(bytes: Buffer): number {
  if (bytes.length < 14 || bytes.subarray(0, 10).some((byte) => byte !== 0)) return 0;
  const buffers = bytes.readUInt16LE(10);
  // One buffer, or the 01:00:5e of a multicast address behind the shorter header.
  return buffers === 0 || (buffers === 1 && bytes[12] !== 0x5e) ? 12 : 10;
}
