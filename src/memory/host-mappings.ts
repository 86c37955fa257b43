// /proc/<pid>/maps (proc(5)): which file lies at which address of the QEMU process, and whether writes reach the file.

import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

/** One line of /proc/<pid>/maps. `end` is exclusive. */
export interface HostMapping {
  readonly start: bigint;
  readonly end: bigint;
  /** MAP_SHARED: what the guest writes is in the file. */
  readonly shared: boolean;
  readonly fileOffset: bigint;
  /** 0 when no file is behind it. */
  readonly inode: number;
  readonly path: string;
}

/** The mappings in `text` with a file behind them, ascending. Lines that are not of the form are skipped. */
export function parseMappings(text: string): HostMapping[] {
  const mappings: HostMapping[] = [];
  for (const line of text.split('\n')) {
    const match = /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([-rwxsp]{4}) ([0-9a-f]{1,16}) [0-9a-f]+:[0-9a-f]+ (\d+)\s*(.*)$/.exec(
      line,
    );
    if (match === null || match[5] === '0') continue;
    mappings.push({
      start: BigInt(`0x${match[1]!}`),
      end: BigInt(`0x${match[2]!}`),
      shared: match[3]!.endsWith('s'),
      fileOffset: BigInt(`0x${match[4]!}`),
      inode: Number(match[5]),
      path: match[6]!,
    });
  }
  return mappings;
}

/** Mappings of a process. Throws the system's error (EACCES: another user's; ENOENT: gone). */
export function readMappings(pid: number): HostMapping[] {
  return parseMappings(readFileSync(`/proc/${pid}/maps`, 'utf8'));
}

/**
 * Opens the file behind a mapping for reading, or null when there is no way. A memfd or an unlinked file has no path any
 * more: QEMU keeps it open, and /proc/<pid>/fd opens it with less right than /proc/<pid>/mem needs (Yama allows it).
 */
export function openMappedFile(pid: number, mapping: HostMapping): number | null {
  for (const path of [mapping.path, ...descriptorsOf(pid, mapping), mapFile(pid, mapping)]) {
    try {
      // O_NONBLOCK: should a FIFO stand at the path, open must not wait for a writer.
      const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      if (fstatSync(fd).ino === mapping.inode) return fd;
      closeSync(fd);
    } catch {
      // Not this way; the next one.
    }
  }
  return null;
}

function* descriptorsOf(pid: number, mapping: HostMapping): Generator<string> {
  for (const name of listDescriptors(pid)) {
    const path = `/proc/${pid}/fd/${name}`;
    try {
      // Device numbers are not compared: overlay and btrfs show other ones in maps than in stat.
      if (readlinkSync(path) === mapping.path && statSync(path).ino === mapping.inode) yield path;
    } catch {
      // Closed meanwhile.
    }
  }
}

function listDescriptors(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch {
    return [];
  }
}

function mapFile(pid: number, mapping: HostMapping): string {
  return `/proc/${pid}/map_files/${mapping.start.toString(16)}-${mapping.end.toString(16)}`;
}
