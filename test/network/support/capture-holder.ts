// A program that captures, to be stopped and killed by tests and benches: capture-holder.ts QMP-SOCKET PID [KEEP-BYTES] [PCAPNG].
// Prints what it has, as JSON, ten times a second; ends by SIGTERM as a capture should.

import { openCapture } from '../../../src/network/capture.ts';
import { encodePacket, PcapngFile } from '../../../src/network/pcapng.ts';
import { openMonitor } from '../../../src/qemu/monitor.ts';

const [path, pid, keepBytes, pcap] = process.argv.slice(2);
const file = pcap === undefined ? null : new PcapngFile(pcap, [{ name: 'n0', description: '', snapLength: 65536 }]);
const counts = { packets: 0, bytes: 0, lost: 0, janitor: 0 };
const monitor = await openMonitor([{ kind: 'unix', path: path! }]);
const capture = await openCapture(
  monitor,
  { pid: Number(pid), ...(keepBytes === undefined ? {} : { keepBytes: Number(keepBytes) }) },
  {
    onPacket: (packet) => {
      counts.packets += 1;
      counts.bytes += packet.length;
      file?.write(encodePacket({ interface: 0, ...packet, from: null }));
    },
    onLost: (packets) => {
      counts.lost += packets;
    },
    onRemark: () => undefined,
  },
);
counts.janitor = capture.janitorPid;
if (pcap !== undefined) capture.entrust(pcap);
const tell = (): void => void process.stdout.write(`${JSON.stringify(counts)}\n`);
setInterval(tell, 100);
process.once('SIGTERM', () => {
  void capture.close().then(() => {
    file?.close();
    tell();
    process.exit(0);
  });
});
