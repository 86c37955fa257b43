// One process as /proc shows it (proc(5)). Processes end while they are looked at and other users' entries are closed:
// every answer may be null, nothing throws.

import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { ProcessView } from './chardevs.ts';
import type { CharacterBackend } from './record.ts';

/** All pids now. */
export function listPids(): number[] {
  return (attempt(() => readdirSync('/proc')) ?? []).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** The argument list; null when the process is gone or closed to us, empty for kernel threads. */
export function readArguments(pid: number): string[] | null {
  const text = attempt(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
  if (text === null) return null;
  return text === '' ? [] : text.replace(/\0$/, '').split('\0');
}

/** The working directory as the process sees it. */
export function findWorkingDirectory(pid: number): string | null {
  return attempt(() => readlinkSync(`/proc/${pid}/cwd`));
}

/** The program file. */
export function findExecutable(pid: number): string | null {
  return attempt(() => readlinkSync(`/proc/${pid}/exe`));
}

/** The user who runs it. */
export function findOwner(pid: number): number | null {
  return attempt(() => statSync(`/proc/${pid}`).uid);
}

/** Names and homes of users by uid, from /etc/passwd. */
export function readUsers(): Map<number, { readonly name: string; readonly home: string }> {
  const lines = (attempt(() => readFileSync('/etc/passwd', 'utf8')) ?? '').split('\n').map((line) => line.split(':'));
  return new Map(
    lines.filter((fields) => fields.length >= 6).map((fields) => [Number(fields[2]), { name: fields[0]!, home: fields[5]! }]),
  );
}

/**
 * How the command line's paths and descriptors of a process look from here. A QEMU that detached itself (`-daemonize`) has
 * gone to `/` meanwhile: its relative paths stay as written.
 */
export function viewProcess(pid: number, detached: boolean): ProcessView {
  const cwd = detached ? null : findWorkingDirectory(pid);
  const prefix = findRootPrefix(pid);
  const resolve = (path: string): string => {
    if (isAbsolute(path)) return `${prefix}${path}`;
    // Another user's working directory is closed to us: better the word as it stands than a wrong path.
    return cwd === null ? path : `${prefix}${join(withoutPrefix(cwd, prefix), path)}`;
  };
  return {
    resolve,
    stdout: describeStdout(pid),
    findSocketOfDescriptor: (fd) => findSocketOfDescriptor(pid, fd),
  };
}

/** What stands before a path of a process in a chroot or a container; empty for everyone else. */
function findRootPrefix(pid: number): string {
  const root = attempt(() => readlinkSync(`/proc/${pid}/root`));
  if (root === null) return '';
  if (root !== '/') return root === attempt(() => readlinkSync('/proc/self/root')) ? '' : root;
  const [theirs, ours] = [attempt(() => readlinkSync(`/proc/${pid}/ns/mnt`)), attempt(() => readlinkSync('/proc/self/ns/mnt'))];
  return theirs === null || theirs === ours ? '' : `/proc/${pid}/root`;
}

/** The cwd link is written as we see it (with the chroot's path) when we can see it. */
function withoutPrefix(path: string, prefix: string): string {
  return prefix !== '' && path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : path;
}

function describeStdout(pid: number): Extract<CharacterBackend, { kind: 'stdio' }> {
  const link = `/proc/${pid}/fd/1`;
  const path = attempt(() => readlinkSync(link));
  if (path === null) return { kind: 'stdio', target: 'unknown', path: null };
  if (path.startsWith('pipe:')) return { kind: 'stdio', target: 'pipe', path: null };
  if (path.startsWith('socket:')) return { kind: 'stdio', target: 'socket', path: null };
  if (path === '/dev/null') return { kind: 'stdio', target: 'null', path: null };
  // A file deleted meanwhile is still there behind the link; so is one that only the process's root shows.
  const isFile = attempt(() => statSync(link).isFile()) === true;
  if (isFile) return { kind: 'stdio', target: 'file', path: isSameFile(path, link) ? path : link };
  return { kind: 'stdio', target: path.startsWith('/dev/') ? 'tty' : 'unknown', path: null };
}

function isSameFile(path: string, link: string): boolean {
  return (
    attempt(() => {
      const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const same = fstatSync(fd).ino === statSync(link).ino;
      closeSync(fd);
      return same;
    }) === true
  );
}

function findSocketOfDescriptor(pid: number, fd: number): string | null {
  const inode = /^socket:\[(\d+)\]$/.exec(attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? '')?.[1];
  if (inode === undefined) return null;
  // Num RefCount Protocol Flags Type St Inode Path
  const sockets = attempt(() => readFileSync(`/proc/${pid}/net/unix`, 'utf8')) ?? '';
  const line = sockets.split('\n').find((text) => text.trim().split(/\s+/)[6] === inode);
  return line?.trim().split(/\s+/)[7] ?? null;
}

function attempt<T>(body: () => T): T | null {
  try {
    return body();
  } catch {
    return null;
  }
}
