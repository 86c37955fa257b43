// Events on disk and on stdout: one JSON object a line. Addresses and register values are "0x…" strings, bytes are base64,
// null is written rather than left out. Reading checks every field (a recording may come from a stranger).

import { UnidbgError } from '../model/error.ts';
import type { EventOf, GuestEvent } from '../model/event.ts';
import { encodeJson } from '../model/json.ts';
import {
  big,
  bytes,
  count,
  flag,
  list,
  nullable,
  object,
  oneOf,
  record,
  type Shape,
  ShapeError,
  text,
  withFallback,
  within,
} from './json-shape.ts';

/** One event as a JSON line, without the line end. */
export function encodeEvent(event: GuestEvent): string {
  return encodeJson(event);
}

/** Decodes one line. Throws RECORDING_MALFORMED, naming the first field that is wrong. */
export function decodeEvent(line: string): GuestEvent {
  const value = parseJson(line);
  try {
    return SHAPES[named(value).type](value);
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    throw new UnidbgError('RECORDING_MALFORMED', `not an event: ${error.path.join('.') || 'the line'}: ${error.message}`);
  }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new UnidbgError('RECORDING_MALFORMED', `not JSON: ${JSON.stringify(line.slice(0, 60))}`, { cause });
  }
}

const maybeText = nullable(text);
const maybeCount = nullable(count);
const machine = oneOf(['x86_64', 'i386', 'aarch64', 'riscv64']);

const registers = object({ machine, values: record(big) });

const variable = object({ name: text, type: maybeText, value: text, known: flag, artificial: flag });

const frame = object(
  {
    index: count,
    pc: big,
    trust: oneOf(['registers', 'cfi', 'frame-pointer', 'scan', 'reported']),
    cfa: nullable(big),
    function: maybeText,
    functionOffset: maybeCount,
    file: maybeText,
    line: maybeCount,
    column: maybeCount,
    inlined: flag,
    module: maybeText,
    status: oneOf(['symbolicated', 'no-symbol', 'no-image']),
  },
  { arguments: list(variable) },
);

const stack = object({
  name: text,
  kind: oneOf(['vcpu', 'thread']),
  id: text,
  state: text,
  frames: list(frame),
  end: oneOf(['outermost', 'unreadable', 'no-rule', 'loop', 'limit']),
  torn: flag,
});

const crash = object({
  kind: oneOf(['fault', 'panic', 'assert', 'abort', 'exception', 'out-of-memory', 'hang']),
  title: text,
  message: text,
  signature: text,
  // Recordings of earlier builds have none.
  alternatives: withFallback(list(text), []),
  witness: oneOf(['console', 'vm', 'memory', 'inspector']),
  unikernel: maybeText,
  runtime: maybeText,
  vcpu: maybeCount,
  faultAddress: nullable(big),
  registers: nullable(registers),
  frames: list(frame),
  guiltyFrame: maybeCount,
  corrupted: maybeText,
  consoleLines: nullable(object({ first: count, last: count })),
});

const image = object({
  path: text,
  machine,
  buildId: maybeText,
  base: big,
  end: big,
  loadBias: big,
  match: oneOf(['build-id', 'text', 'mismatch', 'unverified', 'no-file']),
  placedBy: text,
});

const identity = object({
  name: text,
  kind: oneOf(['live', 'rsp', 'dump', 'log', 'replay']),
  pid: maybeCount,
  machine,
  accelerator: maybeText,
  vcpus: count,
  memoryBytes: maybeCount,
  unikernel: maybeText,
  unikernelTitle: maybeText,
  memoryReader: maybeText,
  readStopsGuest: flag,
  console: maybeText,
});

const consoleLine = object({
  number: count,
  source: text,
  text,
  partial: flag,
  notes: list(object({ start: count, end: count, text })),
});

const thread = object({
  id: text,
  name: text,
  state: oneOf(['running', 'runnable', 'sleeping', 'waiting', 'blocked', 'exited', 'unknown']),
  waitingFor: maybeText,
  blockedBy: maybeText,
  registers: nullable(registers),
  stack: nullable(object({ base: big, size: count })),
  cpuTimeNs: maybeCount,
});

const sample = object({
  name: text,
  attributes: record(text),
  value: maybeCount,
  unit: text,
  kind: oneOf(['counter', 'gauge']),
  absent: maybeText,
  probe: text,
});

const networkEnd = object({ address: text, port: maybeCount });
const tcpState = oneOf([
  ...(['closed', 'listen', 'syn-sent', 'syn-received', 'established', 'fin-wait-1', 'fin-wait-2'] as const),
  ...(['close-wait', 'closing', 'last-ack', 'time-wait'] as const),
]);

const socket = object({
  protocol: oneOf(['tcp', 'udp', 'raw']),
  state: nullable(tcpState),
  local: networkEnd,
  remote: nullable(networkEnd),
  receiveQueue: maybeCount,
  sendQueue: maybeCount,
  retransmits: maybeCount,
});

const traffic = object({ packets: count, bytes: count, retransmits: count });

const flow = object({
  id: text,
  device: text,
  protocol: oneOf(['tcp', 'udp', 'icmp', 'icmpv6', 'arp', 'other']),
  guest: networkEnd,
  remote: networkEnd,
  openedBy: nullable(oneOf(['guest', 'remote'])),
  state: nullable(tcpState),
  reset: flag,
  received: traffic,
  sent: traffic,
  rttMs: object({ remote: maybeCount, guest: maybeCount }),
  firstAt: count,
  lastAt: count,
  remarks: list(
    object({
      at: count,
      protocol: oneOf(['dns', 'tls', 'tcp', 'icmp', 'arp', 'dhcp']),
      failure: flag,
      text,
    }),
  ),
});

const network = object({ since: count, how: text, flows: list(flow), forgotten: count, malformed: count, lost: count });

const finding = object({ check: text, severity: oneOf(['warning', 'critical']), message: text, active: flag });

const heapRow = object({ name: text, count: maybeCount, bytes: count });

const outOfMemory = object({
  allocating: nullable(object({ stack, asker: maybeCount, bytes: maybeCount, by: text })),
  heaps: list(
    object({
      heap: text,
      by: oneOf(['type', 'size-class', 'owner']),
      totalBytes: maybeCount,
      rows: list(heapRow),
      roots: nullable(list(heapRow)),
      rootsAbsent: maybeText,
      probe: text,
    }),
  ),
  growth: list(object({ series: text, unit: text, from: count, to: count, overMs: count })),
  remarks: list(text),
});

const listing = object({
  kind: oneOf(['source', 'disassembly']),
  title: text,
  lines: list(object({ number: maybeCount, address: nullable(big), text, current: flag })),
});

// ECMAScript's first and last date: what reads a time makes dates of it.
const at = within(-8.64e15, 8.64e15);
const vmStatus = oneOf(['connecting', 'running', 'paused', 'debug', 'crashed', 'shutdown', 'gone']);

/** One shape for each type, found by its name. */
const SHAPES: { readonly [T in GuestEvent['type']]: Shape<EventOf<T>> } = {
  identity: event('identity', { identity }),
  vm: event('vm', { status: vmStatus, reason: maybeText }),
  images: event('images', { images: list(image) }),
  console: event('console', { line: consoleLine }),
  registers: event('registers', { vcpus: list(object({ vcpu: count, registers })) }),
  stacks: event('stacks', { stacks: list(stack) }),
  threads: event('threads', { threads: list(thread) }),
  metrics: event('metrics', { samples: list(sample) }),
  sockets: event('sockets', { sockets: list(socket) }),
  network: event('network', { network: nullable(network) }),
  finding: event('finding', { finding }),
  crash: event('crash', { crash }),
  'out-of-memory': event('out-of-memory', { outOfMemory }),
  'guest-exit': event('guest-exit', { exit: object({ code: maybeCount, how: text }) }),
  stopped: event('stopped', { vcpu: count, reason: text, frames: list(frame) }),
  memory: event('memory', {
    window: object({ address: big, bytes, unreadable: list(object({ start: count, end: count })) }),
  }),
  listing: event('listing', { place: object({ pc: big, file: maybeText, line: maybeCount }), listing }),
  evaluated: event('evaluated', { expression: text, value: maybeText, error: maybeText }),
  lost: event('lost', { what: text, count }),
  diagnostic: event('diagnostic', { diagnostic: object({ code: text, message: text }) }),
};

function event<T extends GuestEvent['type'], F extends Readonly<Record<string, Shape<unknown>>>>(type: T, fields: F) {
  return object({ at, type: oneOf([type]), ...fields });
}

const named = object({ type: oneOf(Object.keys(SHAPES) as readonly GuestEvent['type'][]) });
