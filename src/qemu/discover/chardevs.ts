// Character devices: where consoles, monitors and ports end on the host (QEMU chardev/char.c: -chardev and the older
// one-word forms of -serial, -monitor, -qmp, -gdb).

import type { Endpoint } from '../qmp/endpoint.ts';
import { findValues, type QemuOption } from './command-line.ts';
import { findOption, isOn, type OptionPairs, parseOptions } from './options.ts';
import type { CharacterBackend } from './record.ts';

/** A character device with its id (null where QEMU makes one up) and the file QEMU copies its output to. */
export interface Chardev {
  readonly id: string | null;
  readonly backend: CharacterBackend;
  readonly logfile: string | null;
}

/** What only the process itself knows. */
export interface ProcessView {
  /** A path of the command line as we can open it: relative to its directory, inside its root. */
  readonly resolve: (path: string) => string;
  /** What its fd 1 is. */
  readonly stdout: Extract<CharacterBackend, { kind: 'stdio' }>;
  /** Path of the listening unix socket behind one of its descriptors, or null. */
  readonly findSocketOfDescriptor: (fd: number) => string | null;
}

/** All `-chardev`s by id. */
export function readChardevs(options: readonly QemuOption[], view: ProcessView): Map<string, Chardev> {
  const chardevs = new Map<string, Chardev>();
  for (const value of findValues(options, 'chardev')) {
    const pairs = parseOptions(value, 'backend');
    const id = findOption(pairs, 'id');
    if (id === null) continue;
    const logfile = findOption(pairs, 'logfile');
    chardevs.set(id, { id, backend: readBackend(pairs, view), logfile: logfile === null ? null : view.resolve(logfile) });
  }
  return chardevs;
}

function readBackend(pairs: OptionPairs, view: ProcessView): CharacterBackend {
  const path = findOption(pairs, 'path');
  switch (findOption(pairs, 'backend')) {
    case 'file':
      return { kind: 'file', path: view.resolve(path ?? ''), append: isOn(pairs, 'append') };
    case 'stdio':
      return view.stdout;
    case 'pty':
      return { kind: 'pty', path: path === null ? null : view.resolve(path) };
    case 'pipe':
      return { kind: 'pipe', path: view.resolve(path ?? '') };
    case 'null':
      return { kind: 'none' };
    case 'serial':
    case 'tty':
    case 'parallel':
    case 'parport':
      return { kind: 'other', text: path ?? 'a host device' };
    case 'socket':
      return readSocket(pairs, view);
    default:
      return { kind: 'other', text: findOption(pairs, 'backend') ?? '' };
  }
}

function readSocket(pairs: OptionPairs, view: ProcessView): CharacterBackend {
  const endpoint = findSocketEndpoint(pairs, view);
  if (endpoint === null) return { kind: 'other', text: 'a socket handed over by descriptor' };
  return { kind: 'socket', endpoint, server: isOn(pairs, 'server') };
}

function findSocketEndpoint(pairs: OptionPairs, view: ProcessView): Endpoint | null {
  const [path, host, port, fd] = [
    findOption(pairs, 'path'),
    findOption(pairs, 'host'),
    findOption(pairs, 'port'),
    findOption(pairs, 'fd'),
  ];
  if (path !== null) return { kind: 'unix', path: view.resolve(path) };
  if (port !== null) return tcpEndpoint(host ?? '', port);
  // libvirt makes the socket itself and hands QEMU the descriptor.
  const socketPath = fd !== null && /^\d+$/.test(fd) ? view.findSocketOfDescriptor(Number(fd)) : null;
  return socketPath === null ? null : { kind: 'unix', path: view.resolve(socketPath) };
}

/** Reads the one-word form (`file:log`, `unix:/path,server=on`, `mon:stdio`, `chardev:ID`, `pty`, …). */
export function readLegacyChardev(text: string, chardevs: ReadonlyMap<string, Chardev>, view: ProcessView): Chardev {
  const word = text.replace(/^mon:/, '');
  const [head = '', rest = ''] = splitOnce(word, ':');
  if (head === 'chardev') return chardevs.get(rest) ?? { id: rest, backend: { kind: 'other', text }, logfile: null };
  return { id: null, backend: readLegacyBackend(head, rest, word, view), logfile: null };
}

function readLegacyBackend(head: string, rest: string, word: string, view: ProcessView): CharacterBackend {
  // No option may follow a file name here: the whole rest is the name.
  if (head === 'file') return { kind: 'file', path: view.resolve(rest), append: false };
  if (head === 'pipe') return { kind: 'pipe', path: view.resolve(rest) };
  if (head === 'unix') {
    const pairs = parseOptions(rest, 'path');
    return readSocket(pairs, view);
  }
  if (head === 'tcp' || head === 'telnet' || head === 'websocket') {
    const pairs = parseOptions(rest, 'address');
    const address = findOption(pairs, 'address') ?? '';
    const colon = address.lastIndexOf(':');
    return {
      kind: 'socket',
      endpoint: tcpEndpoint(address.slice(0, colon), address.slice(colon + 1)),
      server: isOn(pairs, 'server'),
    };
  }
  const name = parseOptions(word, 'backend')[0]?.[1] ?? '';
  if (name === 'stdio') return view.stdout;
  if (name === 'pty') return { kind: 'pty', path: null };
  if (name === 'none' || name === 'null') return { kind: 'none' };
  // A text console inside QEMU's own window: nobody outside can read it.
  return { kind: 'other', text: word };
}

/** The endpoint of a one-word monitor or stub (`tcp::1234`, `unix:…`), or null when it is no socket. */
export function findLegacyEndpoint(text: string, chardevs: ReadonlyMap<string, Chardev>, view: ProcessView): Endpoint | null {
  const { backend } = readLegacyChardev(text, chardevs, view);
  return backend.kind === 'socket' ? backend.endpoint : null;
}

function tcpEndpoint(host: string, port: string): Endpoint {
  const bare = host.replace(/^\[|\]$/g, '');
  const local = bare === '' || bare === '0.0.0.0' || bare === '::' || bare === 'localhost';
  return { kind: 'tcp', host: local ? '127.0.0.1' : bare, port: Number(port) };
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
