// Events on disk and on stdout: one JSON object a line. Addresses and register values are "0x…" strings, bytes are base64,
// null is written rather than left out. Reading checks every field (a recording may come from a stranger).

import * as v from 'valibot';
import { formatAddress } from '../model/address.ts';
import { UnidbgError } from '../model/error.ts';
import type { GuestEvent } from '../model/event.ts';

/** One event as a JSON line, without the line end. */
export function encodeEvent(event: GuestEvent): string {
  return JSON.stringify(event, replaceForJson);
}

/** `JSON.stringify` replacer: bigint → "0x…", bytes → base64. Shared by every JSON output, so that all write addresses alike. */
export function replaceForJson(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return formatAddress(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Map) return Object.fromEntries(value as Map<string, unknown>);
  return value;
}

/** Decodes one line. Throws RECORDING_MALFORMED, naming the first field that is wrong. */
export function decodeEvent(line: string): GuestEvent {
  const result = v.safeParse(eventSchema, parseJson(line));
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new UnidbgError('RECORDING_MALFORMED', `not an event: ${v.getDotPath(issue) ?? 'type'}: ${issue.message}`);
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new UnidbgError('RECORDING_MALFORMED', `not JSON: ${line.slice(0, 60)}`, { cause });
  }
}

const big = v.pipe(
  v.string(),
  v.regex(/^-?0x[0-9a-f]{1,17}$/),
  v.transform((text) => (text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text))),
);
const bytes = v.pipe(
  v.string(),
  v.base64(),
  v.transform((text) => new Uint8Array(Buffer.from(text, 'base64'))),
);
const count = v.pipe(v.number(), v.finite());
const list = <S extends v.GenericSchema>(item: S) => v.pipe(v.array(item), v.maxLength(100_000), v.readonly());
const text = v.string();
const maybeText = v.nullable(v.string());
const maybeCount = v.nullable(count);
const machine = v.picklist(['x86_64', 'i386', 'aarch64', 'riscv64']);

const registers = v.object({ machine, values: v.record(v.string(), big) });

const variable = v.object({ name: text, type: maybeText, value: text, known: v.boolean(), artificial: v.boolean() });

const frame = v.object({
  index: count,
  pc: big,
  trust: v.picklist(['registers', 'cfi', 'frame-pointer', 'scan', 'reported']),
  cfa: v.nullable(big),
  function: maybeText,
  functionOffset: maybeCount,
  file: maybeText,
  line: maybeCount,
  column: maybeCount,
  inlined: v.boolean(),
  module: maybeText,
  status: v.picklist(['symbolicated', 'no-symbol', 'no-image']),
  arguments: v.exactOptional(list(variable)),
});

const stack = v.object({
  name: text,
  kind: v.picklist(['vcpu', 'thread']),
  id: text,
  state: text,
  frames: list(frame),
  end: v.picklist(['outermost', 'unreadable', 'no-rule', 'loop', 'limit']),
  torn: v.boolean(),
});

const crash = v.object({
  kind: v.picklist(['fault', 'panic', 'assert', 'abort', 'exception', 'out-of-memory', 'hang']),
  title: text,
  message: text,
  signature: text,
  // Recordings of earlier builds have none.
  alternatives: v.optional(list(text), []),
  witness: v.picklist(['console', 'vm', 'memory', 'inspector']),
  unikernel: maybeText,
  runtime: maybeText,
  vcpu: maybeCount,
  faultAddress: v.nullable(big),
  registers: v.nullable(registers),
  frames: list(frame),
  guiltyFrame: maybeCount,
  corrupted: maybeText,
  consoleLines: v.nullable(v.object({ first: count, last: count })),
});

const image = v.object({
  path: text,
  machine,
  buildId: maybeText,
  base: big,
  end: big,
  loadBias: big,
  match: v.picklist(['build-id', 'text', 'mismatch', 'unverified', 'no-file']),
  placedBy: text,
});

const identity = v.object({
  name: text,
  kind: v.picklist(['live', 'rsp', 'dump', 'log', 'replay']),
  pid: maybeCount,
  machine,
  accelerator: maybeText,
  vcpus: count,
  memoryBytes: maybeCount,
  unikernel: maybeText,
  unikernelTitle: maybeText,
  memoryReader: maybeText,
  readStopsGuest: v.boolean(),
  console: maybeText,
});

const consoleLine = v.object({
  number: count,
  source: text,
  text,
  partial: v.boolean(),
  notes: list(v.object({ start: count, end: count, text })),
});

const thread = v.object({
  id: text,
  name: text,
  state: v.picklist(['running', 'runnable', 'sleeping', 'waiting', 'blocked', 'exited', 'unknown']),
  waitingFor: maybeText,
  blockedBy: maybeText,
  registers: v.nullable(registers),
  stack: v.nullable(v.object({ base: big, size: count })),
  cpuTimeNs: maybeCount,
});

const sample = v.object({
  name: text,
  attributes: v.record(v.string(), v.string()),
  value: maybeCount,
  unit: text,
  kind: v.picklist(['counter', 'gauge']),
  absent: maybeText,
  probe: text,
});

const networkEnd = v.object({ address: text, port: maybeCount });
const tcpState = v.picklist([
  ...(['closed', 'listen', 'syn-sent', 'syn-received', 'established', 'fin-wait-1', 'fin-wait-2'] as const),
  ...(['close-wait', 'closing', 'last-ack', 'time-wait'] as const),
]);

const socket = v.object({
  protocol: v.picklist(['tcp', 'udp', 'raw']),
  state: v.nullable(tcpState),
  local: networkEnd,
  remote: v.nullable(networkEnd),
  receiveQueue: maybeCount,
  sendQueue: maybeCount,
  retransmits: maybeCount,
});

const traffic = v.object({ packets: count, bytes: count, retransmits: count });

const flow = v.object({
  id: text,
  device: text,
  protocol: v.picklist(['tcp', 'udp', 'icmp', 'icmpv6', 'arp', 'other']),
  guest: networkEnd,
  remote: networkEnd,
  openedBy: v.nullable(v.picklist(['guest', 'remote'])),
  state: v.nullable(tcpState),
  reset: v.boolean(),
  received: traffic,
  sent: traffic,
  rttMs: v.object({ remote: maybeCount, guest: maybeCount }),
  firstAt: count,
  lastAt: count,
  remarks: list(
    v.object({
      at: count,
      protocol: v.picklist(['dns', 'tls', 'tcp', 'icmp', 'arp', 'dhcp']),
      failure: v.boolean(),
      text,
    }),
  ),
});

const network = v.object({ since: count, how: text, flows: list(flow), forgotten: count, malformed: count, lost: count });

const finding = v.object({ check: text, severity: v.picklist(['warning', 'critical']), message: text, active: v.boolean() });

const heapRow = v.object({ name: text, count: maybeCount, bytes: count });

const outOfMemory = v.object({
  allocating: v.nullable(v.object({ stack, asker: maybeCount, bytes: maybeCount, by: text })),
  heaps: list(
    v.object({
      heap: text,
      by: v.picklist(['type', 'size-class', 'owner']),
      totalBytes: maybeCount,
      rows: list(heapRow),
      roots: v.nullable(list(heapRow)),
      rootsAbsent: maybeText,
      probe: text,
    }),
  ),
  growth: list(v.object({ series: text, unit: text, from: v.number(), to: v.number(), overMs: v.number() })),
  remarks: list(text),
});

const listing = v.object({
  kind: v.picklist(['source', 'disassembly']),
  title: text,
  lines: list(v.object({ number: maybeCount, address: v.nullable(big), text, current: v.boolean() })),
});

// ECMAScript's first and last date: what reads a time makes dates of it.
const at = v.pipe(count, v.minValue(-8.64e15), v.maxValue(8.64e15));
const vmStatus = v.picklist(['connecting', 'running', 'paused', 'debug', 'crashed', 'shutdown', 'gone']);

const eventSchema: v.GenericSchema<unknown, GuestEvent> = v.variant('type', [
  v.object({ at, type: v.literal('identity'), identity }),
  v.object({ at, type: v.literal('vm'), status: vmStatus, reason: maybeText }),
  v.object({ at, type: v.literal('images'), images: list(image) }),
  v.object({ at, type: v.literal('console'), line: consoleLine }),
  v.object({ at, type: v.literal('registers'), vcpus: list(v.object({ vcpu: count, registers })) }),
  v.object({ at, type: v.literal('stacks'), stacks: list(stack) }),
  v.object({ at, type: v.literal('threads'), threads: list(thread) }),
  v.object({ at, type: v.literal('metrics'), samples: list(sample) }),
  v.object({ at, type: v.literal('sockets'), sockets: list(socket) }),
  v.object({ at, type: v.literal('network'), network: v.nullable(network) }),
  v.object({ at, type: v.literal('finding'), finding }),
  v.object({ at, type: v.literal('crash'), crash }),
  v.object({ at, type: v.literal('out-of-memory'), outOfMemory }),
  v.object({ at, type: v.literal('guest-exit'), exit: v.object({ code: maybeCount, how: text }) }),
  v.object({ at, type: v.literal('stopped'), vcpu: count, reason: text, frames: list(frame) }),
  v.object({
    at,
    type: v.literal('memory'),
    window: v.object({ address: big, bytes, unreadable: list(v.object({ start: count, end: count })) }),
  }),
  v.object({ at, type: v.literal('listing'), place: v.object({ pc: big, file: maybeText, line: maybeCount }), listing }),
  v.object({ at, type: v.literal('evaluated'), expression: text, value: maybeText, error: maybeText }),
  v.object({ at, type: v.literal('lost'), what: text, count }),
  v.object({ at, type: v.literal('diagnostic'), diagnostic: v.object({ code: text, message: text }) }),
]);
