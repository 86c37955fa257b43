// Reader (a): guest RAM is a file that we open too (memory-backend-file or -memfd with share=on). About 1 µs per page,
// and no right over the QEMU process is needed beyond opening the file.

import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { errorMessage } from '../model/error.ts';
import { type HostMapping, openMappedFile, readMappings } from './host-mappings.ts';
import type { HostRegion } from './host-regions.ts';
import type { AskMonitor } from './monitor-ask.ts';
import { createFileReader, type FilePiece, type ReaderAttempt } from './physical.ts';
import type { RamRegion } from './ram-layout.ts';

/** The refusal that no other way of finding the file can change. */
export const PRIVATE_RAM =
  'guest RAM is private memory of QEMU; to share it, start QEMU with ' +
  '-object memory-backend-memfd,id=mem,share=on,size=… -machine memory-backend=mem';

/** By QEMU's mappings: the kernel says which file lies at the host address of each region, and at which offset. */
export function openMappedRam(pid: number, regions: readonly HostRegion[]): ReaderAttempt {
  let mappings: HostMapping[];
  try {
    mappings = readMappings(pid);
  } catch (error) {
    return { refused: `the mappings of QEMU (pid ${pid}) may not be read: ${errorMessage(error)}` };
  }
  const files = new Map<number, number | null>();
  const pieces: FilePiece[] = [];
  const names = new Set<string>();
  let sharedSeen = false;
  for (const region of regions) {
    for (const mapping of mappings) {
      const piece = overlap(region, mapping);
      if (piece === null || !mapping.shared) continue;
      sharedSeen = true;
      if (!files.has(mapping.inode)) files.set(mapping.inode, openMappedFile(pid, mapping));
      const fd = files.get(mapping.inode) ?? null;
      if (fd === null) continue;
      names.add(mapping.path);
      pieces.push({ ...piece, fd });
    }
  }
  if (pieces.length > 0) return { reader: createFileReader('ram-file', `shared RAM file ${[...names].join(', ')}`, pieces) };
  if (sharedSeen) return { refused: `the RAM file of QEMU (pid ${pid}) may not be opened` };
  return { refused: PRIVATE_RAM };
}

/** By name: a memory backend's `mem-path`, asked over the monitor. For a QEMU whose /proc entries are closed to us. */
export async function openNamedRam(ask: AskMonitor, regions: readonly RamRegion[]): Promise<ReaderAttempt> {
  const shared = parseSharedBackends(await ask('info memdev'));
  const pieces: FilePiece[] = [];
  const paths: string[] = [];
  let why = 'no memory backend is shared';
  for (const id of new Set(regions.map((region) => region.name).filter((name) => shared.has(name)))) {
    const [path, offset] = [
      parseQomText(await ask(`qom-get /objects/${id} mem-path`)),
      await ask(`qom-get /objects/${id} offset`),
    ];
    if (path === null) {
      why = `memory backend ${id} has no path (a memfd is reached only through /proc; -object memory-backend-file,share=on,mem-path=… in a file that you may read would do)`;
      continue;
    }
    try {
      const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const base = /^\d+/.exec(offset.trim())?.[0] ?? '0';
      const placed = regions.filter((region) => region.name === id);
      if (!fstatSync(fd).isFile()) {
        closeSync(fd);
        why = `${path} is no regular file: QEMU made an unlinked file there`;
        continue;
      }
      paths.push(path);
      pieces.push(...placed.map(({ start, end, offset: inside }) => ({ start, end, fd, position: BigInt(base) + inside })));
    } catch (error) {
      why = `${path} may not be opened: ${errorMessage(error)}`;
    }
  }
  if (pieces.length === 0) return { refused: why };
  return { reader: createFileReader('ram-file', `shared RAM file ${paths.join(', ')}`, pieces.sort(byStart)) };
}

/** Ids of the backends that `info memdev` lists with `share: true`. */
function parseSharedBackends(text: string): Set<string> {
  const shared = new Set<string>();
  for (const part of text.split(/^memory backend: /m).slice(1)) {
    const id = /^[A-Za-z][\w.-]*/.exec(part)?.[0];
    if (id !== undefined && /^\s*share: true/m.test(part)) shared.add(id);
  }
  return shared;
}

/** HMP `qom-get` prints the value as JSON: a quoted string, or an error sentence. */
function parseQomText(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' && value.startsWith('/') ? value : null;
  } catch {
    return null;
  }
}

function overlap(region: HostRegion, mapping: HostMapping): Omit<FilePiece, 'fd'> | null {
  const hostEnd = region.host + (region.end - region.start);
  const from = region.host > mapping.start ? region.host : mapping.start;
  const to = hostEnd < mapping.end ? hostEnd : mapping.end;
  if (from >= to) return null;
  const start = region.start + (from - region.host);
  return { start, end: start + (to - from), position: mapping.fileOffset + (from - mapping.start) };
}

function byStart(a: FilePiece, b: FilePiece): number {
  return a.start < b.start ? -1 : 1;
}
