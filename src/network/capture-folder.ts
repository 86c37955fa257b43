// Where QEMU writes and we read: a folder of mode 0700, on a file system in memory where there is one. Owners are named by pid
// and start time, so that what a dead unidbg left behind is known for that.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { errorMessage } from '../model/error.ts';
import { findStartTime, findUid } from '../qemu/process.ts';

/** A folder, under two names. */
export interface CaptureFolder {
  /** As we open it. */
  readonly here: string;
  /** As QEMU opens it. */
  readonly there: string;
  /** Bytes of unread packets that may lie in it. */
  readonly keepBytes: number;
  /** Whose the files must be, for QEMU to write them; null = ours. */
  readonly fileOwner: number | null;
}

const PREFIX = 'unidbg-capture-';
/** Unread packets that are kept: some seconds of a busy card. Never more than a quarter of what is free. */
const KEEP_BYTES = 128 * 1024 * 1024;
const LEAST_KEEP_BYTES = 4 * 1024 * 1024;

/** What names of this process's captures begin with: `unidbg-capture-<pid>-<start time>-`. */
export function captureName(pid = process.pid): string {
  return `${PREFIX}${String(pid)}-${findStartTime(pid) ?? '0'}-`;
}

/** Whether a name is of a capture whose unidbg is gone. */
export function isLeftOver(name: string): boolean {
  const owner = /^unidbg-capture-(\d+)-(\d+)-/.exec(name);
  return owner !== null && findStartTime(Number(owner[1])) !== owner[2];
}

/** Makes a folder that both QEMU (`pid`) and we can use; a string says why there is none. Removes what dead ones left. */
export function openCaptureFolder(pid: number, keepBytes = KEEP_BYTES): CaptureFolder | string {
  const uid = findUid(pid);
  if (uid === null) return 'the QEMU process is not on this machine, and packets go through a file that both can open';
  const ours = process.getuid?.() ?? uid;
  if (ours !== uid && ours !== 0) {
    const message = `QEMU runs as uid ${String(uid)}, unidbg as ${userInfo().username}, and packets go through a file that both may write`;
    return `${message}: run unidbg as that user or as root`;
  }
  const root = findRoot(pid);
  const bases = root === '' ? [process.env['XDG_RUNTIME_DIR'], '/dev/shm', tmpdir()] : ['/dev/shm', '/tmp', '/var/tmp'];
  const refusals: string[] = [];
  for (const base of new Set(bases.filter((one): one is string => one !== undefined && one.startsWith('/')))) {
    const made = tryBase(root, base, { uid: ours === uid ? null : uid, keepBytes });
    if (typeof made !== 'string') return made;
    refusals.push(made);
  }
  return `no folder to capture into: ${refusals.join('; ')}`;
}

/** Makes an empty file in a capture's folder that QEMU may write and nobody else; returns its path here. */
export function makeCaptureFile({ here, fileOwner }: CaptureFolder, name: string): string {
  const path = join(here, name);
  closeSync(openSync(path, 'wx', 0o600));
  if (fileOwner !== null) chownSync(path, fileOwner, fileOwner);
  return path;
}

/** Removes a folder and all in it; never fails. */
export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

// A QEMU in a container or chroot has other paths: the kernel shows its root to those who may trace it.
function findRoot(pid: number): string {
  const linkOf = (path: string): string | null => {
    try {
      return readlinkSync(path);
    } catch {
      return null;
    }
  };
  const namespace = linkOf(`/proc/${String(pid)}/ns/mnt`);
  const isSame = linkOf(`/proc/${String(pid)}/root`) === '/' && namespace === linkOf('/proc/self/ns/mnt');
  return isSame || namespace === null ? '' : `/proc/${String(pid)}/root`;
}

function tryBase(
  root: string,
  base: string,
  { uid, keepBytes }: { uid: number | null; keepBytes: number },
): CaptureFolder | string {
  const path = `${root}${base}`;
  try {
    removeLeftOvers(path);
    const { bavail, bsize } = statfsSync(path);
    const keep = Math.min(keepBytes, Math.floor((bavail * bsize) / 4));
    if (keep < Math.min(keepBytes, LEAST_KEEP_BYTES)) return `${path} is nearly full`;
    const here = mkdtempSync(join(path, captureName()));
    const refusal = refusesHoles(here);
    // The folder stays ours: a QEMU that its guest took over must not put links where root writes. It may only pass through.
    if (uid !== null) chmodSync(here, 0o711);
    if (refusal === null) return { here, there: here.slice(root.length), keepBytes: keep, fileOwner: uid };
    removeFolder(here);
    return refusal;
  } catch (error) {
    return errorMessage(error);
  }
}

function removeLeftOvers(base: string): void {
  for (const name of readdirSync(base)) {
    if (!isLeftOver(name)) continue;
    try {
      removeFolder(join(base, name));
    } catch {
      // Somebody else's: it is theirs to remove.
    }
  }
}

/** Stays: the file's header is in it. */
const FIRST_PAGE = 4096;

/** Frees a file up to `end`, but for its first page. QEMU keeps on writing where it is: the file's length stays, its blocks go. */
export function punchHole(path: string, end: number): void {
  if (end <= FIRST_PAGE) return;
  const range = ['--offset', String(FIRST_PAGE), '--length', String(end - FIRST_PAGE)];
  execFileSync('fallocate', ['--punch-hole', ...range, path], { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Why a file in `folder` cannot be freed from its start; null when it can. */
function refusesHoles(folder: string): string | null {
  const path = join(folder, 'hole');
  try {
    writeFileSync(path, Buffer.alloc(8192), { mode: 0o600 });
    punchHole(path, 8192);
    return null;
  } catch (error) {
    return `${folder} cannot be kept small (fallocate of util-linux: ${errorMessage(error).trim()})`;
  } finally {
    rmSync(path, { force: true });
  }
}
