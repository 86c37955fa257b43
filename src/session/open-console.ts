// Which console of a VM can be had, and how: DESIGN's order, and in words what cannot be had and why.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Memory } from '../model/target.ts';
import type { VmConsole, VmRecord } from '../qemu/discover/record.ts';
import { formatEndpoint, socketAddress } from '../qemu/qmp/endpoint.ts';
import { findMember, findText, type Json, type JsonObject } from '../qemu/qmp/exact-json.ts';
import type { LiveTarget } from '../targets/live.ts';
import type { Code } from './code.ts';
import { type ConsoleSink, type ConsoleSource, followFile, pollMemoryLog, readPty, readSocket } from './console-source.ts';
import { spaceOf } from './sampler.ts';

/** An open console and how it is had, in one phrase. */
export interface OpenConsole {
  readonly source: ConsoleSource;
  readonly how: string;
  /** It is had from its first byte. */
  readonly isWhole: boolean;
}

/**
 * Opens the guest's first console that can be had: a file from its first byte, QEMU's logfile, the guest's own log in memory, a free
 * pty or socket. Null, with a remark, when there is none.
 */
export async function openConsole(
  record: VmRecord | null,
  target: LiveTarget,
  code: () => Code,
  sink: ConsoleSink,
): Promise<OpenConsole | null> {
  // The first serial port is the console; a further one may carry anything (the in-guest probe speaks on such).
  const console = record?.consoles[0];
  const path = console === undefined ? null : consoleFileOf(console);
  if (console !== undefined && path !== null) {
    return { source: followFile(path, sink), how: `${console.name}, file ${path} from its first byte`, isWhole: true };
  }
  if (code().unikernel?.readMemoryLog !== undefined && (await readLog(target, code)) !== null) {
    const source = pollMemoryLog(() => readLog(target, code), sink);
    return { source, how: "the guest's own log, read from its memory", isWhole: false };
  }
  const open = console === undefined ? null : await openLive(console, target, sink);
  if (open !== null) return open;
  sink.onRemark('console-unavailable', whyNone(record));
  return null;
}

/**
 * Moves the first console's character device to a socket of ours (QMP chardev-change). Whoever read it before reads no more; when we let
 * go it goes back to its file, or else to nothing: QEMU cannot give a terminal back.
 */
export async function takeConsole(record: VmRecord | null, target: LiveTarget, sink: ConsoleSink): Promise<OpenConsole | null> {
  const [console] = record?.consoles ?? [];
  const { qmp } = target.monitor;
  // A console that was given as `-serial …` has a character device without an id of its own: QEMU labels it serialN.
  const id = console?.chardev ?? console?.name ?? (qmp === null ? null : await findSerialLabel(qmp));
  if (id === null || qmp === null) {
    sink.onRemark('console-unavailable', 'there is no console to take over, or no QMP to do it with');
    return null;
  }
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-console-'));
  const path = join(folder, 'console.sock');
  const server = await listen(path, sink);
  const changeTo = (backend: JsonObject): Promise<unknown> => qmp.execute('chardev-change', { id, backend });
  await changeTo({ type: 'socket', data: { addr: { type: 'unix', data: { path } }, server: false } });
  const file = console?.backend.kind === 'file' ? console.backend.path : null;
  const close = async (): Promise<void> => {
    if (qmp.connected)
      await changeTo(file === null ? { type: 'null', data: {} } : { type: 'file', data: { out: file, append: true } });
    server.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return {
    source: { close },
    how: `${id}, taken over; it goes ${file === null ? 'to nothing' : 'back to its file'} when unidbg ends`,
    isWhole: false,
  };
}

/** The label of the first serial port's character device: one with `-serial null` is on nobody's list of consoles. */
async function findSerialLabel(qmp: NonNullable<LiveTarget['monitor']['qmp']>): Promise<string | null> {
  const chardevs = await qmp.execute('query-chardev');
  const labels = Array.isArray(chardevs) ? chardevs.map((chardev) => findText(findMember(chardev as Json, 'label'))) : [];
  return labels.find((label) => label?.startsWith('serial') === true) ?? null;
}

async function readLog(target: LiveTarget, code: () => Code): Promise<Uint8Array | null> {
  const read = code().unikernel?.readMemoryLog;
  const space = read === undefined ? null : spaceOf(target, await target.allRegisters());
  if (read === undefined || space === null) return null;
  const { symbolizer } = code();
  return space.walk((memory: Memory) => read({ memory, findSymbol: (name) => symbolizer.findSymbol(name) }));
}

/** The file that has all of a console from its first byte; null when none does. */
export function consoleFileOf({ backend, logfile }: VmConsole): string | null {
  if (logfile !== null) return logfile;
  if (backend.kind === 'file') return backend.path;
  return backend.kind === 'stdio' && backend.target === 'file' ? backend.path : null;
}

async function openLive(
  { name, chardev, backend }: VmConsole,
  target: LiveTarget,
  sink: ConsoleSink,
): Promise<OpenConsole | null> {
  if (backend.kind === 'pty') {
    const path = backend.path ?? (await findPty(target, chardev));
    return path === null ? null : { source: readPty(path, sink), how: `${name}, pty ${path}`, isWhole: false };
  }
  if (backend.kind !== 'socket' || !backend.server) return null;
  // A server chardev takes one client; `info chardev` says `filename=disconnected:unix:…` while it has none (QEMU 7.2 and 10).
  const label = escape(chardev ?? name);
  const connected = !new RegExp(`^${label}: filename=disconnected:`, 'm').test(await target.monitor.hmp('info chardev'));
  if (connected) {
    sink.onRemark(
      'console-busy',
      `somebody is connected to the console at ${formatEndpoint(backend.endpoint)} already; --take-console takes it over`,
    );
    return null;
  }
  return {
    source: readSocket(socketAddress(backend.endpoint), sink),
    how: `${name}, socket ${formatEndpoint(backend.endpoint)}`,
    isWhole: false,
  };
}

async function findPty(target: LiveTarget, chardev: string | null): Promise<string | null> {
  const text = await target.monitor.hmp('info chardev');
  const line = chardev === null ? text : (text.split('\n').find((entry) => entry.startsWith(`${chardev}:`)) ?? text);
  return /pty:(\/dev\/pts\/\d+)/.exec(line)?.[1] ?? null;
}

function whyNone(record: VmRecord | null): string {
  const console = record?.consoles[0];
  const cure = 'start it under `unidbg run --`, or with -serial file:PATH; --take-console takes a running one over';
  if (record === null) return `the console is not known: only a monitor was given; ${cure}`;
  if (console === undefined) return `the VM has no console (-serial none?); ${cure}`;
  const { backend } = console;
  if (backend.kind === 'stdio')
    return `${console.name} goes to QEMU's own standard output, a ${backend.target}, which nobody else can read; ${cure}`;
  return `${console.name} (${backend.kind}) cannot be read by us; ${cure}`;
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

async function listen(path: string, sink: ConsoleSink): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('data', (bytes) => {
      sink.onBytes(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
    });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return server;
}
