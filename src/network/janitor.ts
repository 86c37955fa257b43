// A program of its own: keeps a capture's files small while unidbg reads, stands still or is slow, and takes the filters out of
// QEMU when unidbg is gone, however it went; what unidbg was writing ends with a whole block. Started by open-janitor.ts; ends when
// its standard input does and all is clean.

import { closeSync, existsSync, openSync, readSync, statSync, truncateSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { openMonitor } from '../qemu/monitor.ts';
import { findStartTime } from '../qemu/process.ts';
import { parseEndpoint } from '../qemu/qmp/endpoint.ts';
import { punchHole, removeFolder } from './capture-folder.ts';
import { writeDiscard } from './discards.ts';
import { DUMP_HEADER_BYTES, RECORD_HEADER_BYTES, readByteOrder } from './dump-reader.ts';
import { type JanitorOrder, type Progress, parseProgress, parseWritten } from './janitor-order.ts';
import { trimPcapng } from './pcapng.ts';

const LOOK_EVERY_MS = 200;
/** So much is read before it is freed: fallocate is a process. */
const FREE_BYTES = 32 * 1024 * 1024;
const RETRY_MS = 500;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
if (first.done !== true) await serve(JSON.parse(first.value) as JanitorOrder);

async function serve(order: JanitorOrder): Promise<void> {
  const qemuBorn = findStartTime(order.qemuPid);
  const files = order.files.map((path, file) => ({ path, read: { file, offset: 0, packets: 0 }, freed: 0 }));
  const looking = setInterval(() => {
    for (const file of files) keepSmall(order, file);
  }, LOOK_EVERY_MS);
  const written: string[] = [];
  for (;;) {
    const line = await lines.next();
    if (line.done === true) break;
    const path = parseWritten(line.value);
    if (path !== null) written.push(path);
    const progress = parseProgress(line.value);
    const file = progress === null ? undefined : files[progress.file];
    // What was discarded meanwhile is further than a reader that has not heard of it.
    if (file !== undefined && progress !== null && progress.offset > file.read.offset) file.read = progress;
  }
  clearInterval(looking);
  // Whoever ends well has removed the folder.
  if (existsSync(order.folder)) for (const path of written) repair(path);
  await cleanUp(order, qemuBorn);
}

function keepSmall(order: JanitorOrder, file: { readonly path: string; read: Progress; freed: number }): void {
  try {
    const { size } = statSync(file.path);
    if (size - file.read.offset > order.keepBytes) {
      file.read = countOn(file.path, file.read, size);
      writeDiscard(order.folder, { file: file.read.file, end: file.read.offset, packets: file.read.packets });
    } else if (file.read.offset - file.freed < Math.min(FREE_BYTES, order.keepBytes / 2)) {
      return;
    }
    punchHole(file.path, file.read.offset);
    file.freed = file.read.offset;
  } catch {
    // The file is gone: unidbg has tidied up itself, and our input ends any moment.
  }
}

/** Walks the headers of records from `from` to the last whole one below `size`. */
function countOn(path: string, from: Progress, size: number): Progress {
  const descriptor = openSync(path, 'r');
  try {
    const header = Buffer.alloc(DUMP_HEADER_BYTES);
    readSync(descriptor, header, 0, DUMP_HEADER_BYTES, 0);
    const little = readByteOrder(header) !== 'big';
    let { offset, packets } = { offset: Math.max(from.offset, DUMP_HEADER_BYTES), packets: from.packets };
    while (offset + RECORD_HEADER_BYTES <= size) {
      readSync(descriptor, header, 0, RECORD_HEADER_BYTES, offset);
      const end = offset + RECORD_HEADER_BYTES + (little ? header.readUInt32LE(8) : header.readUInt32BE(8));
      if (end > size) break;
      offset = end;
      packets += 1;
    }
    return { file: from.file, offset, packets };
  } finally {
    closeSync(descriptor);
  }
}

function repair(path: string): void {
  try {
    trimPcapng(path);
  } catch {
    // Moved or removed: its owner's business.
  }
}

/** A monitor serves one client, and may be somebody else's by now: as long as QEMU lives, this tries again. */
async function cleanUp(order: JanitorOrder, qemuBorn: string | null): Promise<void> {
  while (existsSync(order.folder) && qemuBorn !== null && findStartTime(order.qemuPid) === qemuBorn) {
    if (await removeFilters(order)) break;
    for (const path of order.files) if (existsSync(path)) truncateSync(path, 0);
    await sleep(RETRY_MS);
  }
  removeFolder(order.folder);
}

async function removeFilters(order: JanitorOrder): Promise<boolean> {
  try {
    const monitor = await openMonitor([parseEndpoint(order.monitor)]);
    for (const id of order.filters) await monitor.hmp(`object_del ${id}`);
    monitor.close();
    return true;
  } catch {
    return false;
  }
}
