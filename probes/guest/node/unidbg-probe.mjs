// unidbg's in-guest probe for Node.js 18 and later, without dependencies: what V8 and the event loop do, and metrics of the program's
// own, over a socket, a virtio-serial port or a file. The wire protocol is docs/probe-protocol.md. Nothing here ever waits: what
// cannot be delivered is dropped and counted. The probe never reads.
//
//   import { openProbe } from './unidbg-probe.mjs';
//   const probe = openProbe({ to: 'tcp:10.0.2.2:7000', program: 'shop' });    // or 'virtio', '/dev/vport0p1', 'unix:/path', '/path/of/file'
//   probe.watchRuntime();
//   const orders = probe.counter('shop.orders', '{order}', { region: 'eu' });
//   orders.add(1);

import { closeSync, constants, existsSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { monitorEventLoopDelay, PerformanceObserver, performance, constants as performanceConstants } from 'node:perf_hooks';
import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8';

const VERSION = 1;
const TYPE = { hello: 1, declare: 2, integer: 3, float: 4, span: 5 };
const KINDS = ['gauge', 'counter', 'span'];
const HEADER = 16;
const MAX_RECORD = 112;
const MAX_METRICS = 1000;
/** Bytes kept for a reader that does not take them now. */
const MAX_PENDING = 64 * 1024;
const ANNOUNCE_MS = 1000;
const RECONNECT_MS = 1000;

/* ---- frames ---- */

/** HELLO as a frame. `sequence` and `dropped` are taken modulo 2^32; `time` is a bigint of ns. */
export function encodeHello(sequence, time, { metrics, dropped, program }) {
  const name = Buffer.from(program).subarray(0, 64);
  const record = startRecord(TYPE.hello, 0, sequence, time, 9 + name.length);
  record[16] = VERSION;
  record.writeUInt16LE(metrics, 18);
  record.writeUInt32LE(dropped >>> 0, 20);
  putText(record, 24, name);
  return encodeFrame(record);
}

/** DECLARE as a frame. `attributes` is "key=value,key=value" or empty. */
export function encodeDeclare(sequence, time, id, { kind, name, unit, attributes }) {
  const texts = (attributes === '' ? [name, unit] : [name, unit, attributes]).map((text) => Buffer.from(text));
  const record = startRecord(TYPE.declare, id, sequence, time, 1 + texts.reduce((sum, text) => sum + 1 + text.length, 0));
  record[16] = KINDS.indexOf(kind);
  let at = 17;
  for (const text of texts) at = putText(record, at, text);
  return encodeFrame(record);
}

/** INTEGER as a frame; `value` is a bigint. */
export function encodeInteger(sequence, time, id, value) {
  const record = startRecord(TYPE.integer, id, sequence, time, 8);
  record.writeBigInt64LE(BigInt.asIntN(64, value), HEADER);
  return encodeFrame(record);
}

/** FLOAT as a frame. */
export function encodeFloat(sequence, time, id, value) {
  const record = startRecord(TYPE.float, id, sequence, time, 8);
  record.writeDoubleLE(value, HEADER);
  return encodeFrame(record);
}

/** SPAN as a frame; `time` is its start, `duration` a bigint of ns. */
export function encodeSpan(sequence, time, id, duration) {
  const record = startRecord(TYPE.span, id, sequence, time, 8);
  record.writeBigUInt64LE(BigInt.asUintN(64, duration), HEADER);
  return encodeFrame(record);
}

function startRecord(type, id, sequence, time, bodyLength) {
  const record = Buffer.alloc(HEADER + bodyLength);
  record[0] = type;
  record.writeUInt16LE(id, 2);
  record.writeUInt32LE(sequence >>> 0, 4);
  record.writeBigUInt64LE(BigInt.asUintN(64, time), 8);
  return record;
}

function putText(record, at, text) {
  record[at] = text.length;
  text.copy(record, at + 1);
  return at + 1 + text.length;
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xedb88320;
  return crc;
});

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff];
  return ~crc >>> 0;
}

// COBS: records are far below 254 bytes, so one overhead byte is enough.
function encodeFrame(record) {
  const frame = Buffer.alloc(record.length + 4 + 2);
  record.copy(frame, 1);
  frame.writeUInt32LE(crc32(record), record.length + 1);
  let codeAt = 0;
  for (let at = 1; at < frame.length; at += 1) {
    if (frame[at] !== 0) continue;
    frame[codeAt] = at - codeAt;
    codeAt = at;
  }
  return frame;
}

/* ---- where frames go ---- */

// Each is { put(frame) → taken, flush(), close() }; `onOpen` is called when somebody may be listening anew.

function openSink(to, onOpen) {
  if (typeof to === 'object') return { put: (frame) => to.write(frame), flush: () => undefined, close: () => undefined };
  const [, host, port] = /^tcp:(?:\/\/)?\[?(.+?)\]?:(\d+)$/.exec(to) ?? [];
  if (port !== undefined) return openSocket({ host, port: Number(port) }, onOpen);
  if (to.startsWith('unix:')) return openSocket({ path: to.slice(5) }, onOpen);
  return openFile(to === 'virtio' ? findVirtioPort() : to.replace(/^file:/, ''));
}

/** Linux names the port by udev; without udev sysfs still knows the name. */
function findVirtioPort() {
  const byName = '/dev/virtio-ports/org.unidbg.probe';
  if (existsSync(byName)) return byName;
  const ports = '/sys/class/virtio-ports';
  for (const port of existsSync(ports) ? readdirSync(ports) : []) {
    if (readFileSync(`${ports}/${port}/name`, 'latin1').trim() === 'org.unidbg.probe') return `/dev/${port}`;
  }
  throw new Error('this guest has no virtio-serial port named org.unidbg.probe');
}

/** Frames that wait to go out together; whole ones only. */
class Pending {
  frames = [];
  length = 0;

  add(frame) {
    if (this.length + frame.length > MAX_PENDING) return false;
    this.frames.push(frame);
    this.length += frame.length;
    return true;
  }

  take() {
    const bytes = Buffer.concat(this.frames);
    this.frames = [];
    this.length = 0;
    return bytes;
  }

  /** What was not taken goes first next time. */
  giveBack(bytes) {
    this.frames.unshift(bytes);
    this.length += bytes.length;
  }
}

function openFile(path) {
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_CREAT | constants.O_APPEND);
  const pending = new Pending();
  const flush = () => {
    if (pending.length === 0) return;
    const bytes = pending.take();
    try {
      const written = writeSync(fd, bytes);
      if (written < bytes.length) pending.giveBack(bytes.subarray(written));
    } catch {
      // EAGAIN: nobody reads the port, or too slowly.
      pending.giveBack(bytes);
    }
  };
  return { put: (frame) => pending.add(frame), flush, close: () => closeSync(fd) };
}

function openSocket(address, onOpen) {
  const pending = new Pending();
  let socket = null;
  let timer = null;
  let closed = false;
  const open = () => {
    const next = connect(address);
    next.unref();
    next.on('connect', () => {
      socket = next;
      onOpen();
    });
    next.on('error', () => undefined);
    next.on('close', () => {
      socket = null;
      if (!closed) timer = setTimeout(open, RECONNECT_MS).unref();
    });
    next.resume();
    close = () => next.destroySoon();
  };
  let close = () => undefined;
  open();
  return {
    // What is said before somebody listens waits, as far as there is room.
    put: (frame) => (socket === null || socket.writableLength < MAX_PENDING) && pending.add(frame),
    flush: () => {
      if (socket === null || pending.length === 0) return;
      socket.write(pending.take());
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
      close();
    },
  };
}

/* ---- metrics ---- */

const now = () => process.hrtime.bigint();

/** Opens a probe. `to` undefined or empty: a probe that says nothing, so that a program need not ask whether it has one. */
export function openProbe({ to, program = 'node' } = {}) {
  return new Probe(to, program);
}

class Probe {
  /** Records that could not be delivered so far. */
  dropped = 0;
  #sink = null;
  #program;
  #metrics = [];
  #sequence = 0;
  #timers = [];
  #onClose = [];
  #flushing = false;

  constructor(to, program) {
    this.#program = program;
    if (to === undefined || to === '') return;
    this.#sink = openSink(to, () => this.#announce());
    this.#announce();
    this.#every(ANNOUNCE_MS, () => this.#announce());
    const flush = () => this.#sink.flush();
    process.on('exit', flush);
    this.#onClose.push(() => process.off('exit', flush));
  }

  /** A value that goes up and down. */
  gauge(name, unit, attributes) {
    const id = this.#declare('gauge', name, unit, attributes);
    return { set: (value) => this.#value(id, value) };
  }

  /** A value that only grows. */
  counter(name, unit, attributes) {
    const id = this.#declare('counter', name, unit, attributes);
    let total = 0;
    return {
      add: (value = 1) => this.#value(id, (total += value)),
      set: (value) => this.#value(id, (total = value)),
    };
  }

  /** Spans of time: `record(ns)` when one has ended, or with its start on process.hrtime.bigint(). */
  span(name, attributes) {
    const id = this.#declare('span', name, 'ns', attributes);
    return {
      record: (ns, start = now() - BigInt(Math.round(ns))) =>
        id !== 0 && this.#send((sequence) => encodeSpan(sequence, start, id, BigInt(Math.max(0, Math.round(ns))))),
    };
  }

  /** Says what V8 and the event loop do: every collection as it is told, the rest once in `everyMs`. */
  watchRuntime({ everyMs = 1000 } = {}) {
    if (this.#sink === null) return this;
    this.#watchCollections();
    this.#every(everyMs, this.#watchHeap());
    this.#every(everyMs, this.#watchEventLoop());
    return this;
  }

  close() {
    for (const timer of this.#timers) clearInterval(timer);
    for (const body of this.#onClose) body();
    this.#sink?.flush();
    this.#sink?.close();
    this.#sink = null;
  }

  // `performance.constants` are the kinds of `detail.kind`.
  #watchCollections() {
    const { NODE_PERFORMANCE_GC_MAJOR, NODE_PERFORMANCE_GC_MINOR, NODE_PERFORMANCE_GC_INCREMENTAL } = performanceConstants;
    const duration = Object.fromEntries(
      ['major', 'minor', 'incremental', 'weakcb'].map((type) => [type, this.span('v8js.gc.duration', { 'v8js.gc.type': type })]),
    );
    const major = this.counter('v8js.gc.cycles', '{cycle}');
    const minor = this.counter('v8js.gc.minor.cycles', '{cycle}');
    const time = this.counter('v8js.gc.pause.time', 'ns');
    const last = this.gauge('v8js.gc.pause.last', 'ns');
    major.set(0);
    minor.set(0);
    time.set(0);
    const typeOf = (kind) => {
      if (kind === NODE_PERFORMANCE_GC_MAJOR) return 'major';
      if (kind === NODE_PERFORMANCE_GC_MINOR) return 'minor';
      return kind === NODE_PERFORMANCE_GC_INCREMENTAL ? 'incremental' : 'weakcb';
    };
    const observer = new PerformanceObserver((list) => {
      // Entries are on performance.now(); records on the monotonic clock of all others.
      const offset = now() - BigInt(Math.round(performance.now() * 1e6));
      for (const entry of list.getEntries()) {
        const type = typeOf(entry.detail?.kind ?? entry.kind);
        const ns = Math.round(entry.duration * 1e6);
        duration[type].record(ns, offset + BigInt(Math.round(entry.startTime * 1e6)));
        time.add(ns);
        last.set(ns);
        if (type === 'major') major.add(1);
        if (type === 'minor') minor.add(1);
      }
    });
    observer.observe({ entryTypes: ['gc'] });
    this.#onClose.push(() => observer.disconnect());
  }

  #watchHeap() {
    const totals = Object.entries({
      'v8js.memory.heap.used': 'used_heap_size',
      'v8js.memory.heap.size': 'total_heap_size',
      'v8js.memory.heap.physical': 'total_physical_size',
      'v8js.memory.heap.limit': 'heap_size_limit',
      'v8js.memory.external': 'external_memory',
      'v8js.memory.malloced': 'malloced_memory',
    }).map(([name, field]) => [this.gauge(name, 'By'), field]);
    const spaces = getHeapSpaceStatistics().map(({ space_name: space }) => {
      const of = (what) => this.gauge(`v8js.memory.heap.space.${what}`, 'By', { 'v8js.heap.space.name': space });
      return { size: of('size'), used: of('used_size'), available: of('available_size'), physical: of('physical_size') };
    });
    return () => {
      const heap = getHeapStatistics();
      for (const [gauge, field] of totals) gauge.set(heap[field]);
      getHeapSpaceStatistics().forEach((space, index) => {
        spaces[index]?.size.set(space.space_size);
        spaces[index]?.used.set(space.space_used_size);
        spaces[index]?.available.set(space.space_available_size);
        spaces[index]?.physical.set(space.physical_space_size);
      });
    };
  }

  #watchEventLoop() {
    const histogram = monitorEventLoopDelay({ resolution: 10 });
    histogram.enable();
    this.#onClose.push(() => histogram.disable());
    const of = (what) => this.gauge(`nodejs.eventloop.delay.${what}`, 's');
    const [min, max, mean, deviation, p50, p90, p99] = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'].map(of);
    const utilization = this.gauge('nodejs.eventloop.utilization', '1');
    let before = performance.eventLoopUtilization();
    return () => {
      utilization.set(performance.eventLoopUtilization(before).utilization);
      before = performance.eventLoopUtilization();
      if (histogram.max === 0) return;
      min.set(histogram.min / 1e9);
      max.set(histogram.max / 1e9);
      mean.set(histogram.mean / 1e9);
      deviation.set(histogram.stddev / 1e9);
      p50.set(histogram.percentile(50) / 1e9);
      p90.set(histogram.percentile(90) / 1e9);
      p99.set(histogram.percentile(99) / 1e9);
      histogram.reset();
    };
  }

  #declare(kind, name, unit, attributes = {}) {
    const text = Object.entries(attributes)
      .map(([key, value]) => `${key}=${value}`)
      .join(',');
    const metric = { kind, name, unit, attributes: text };
    const length = name.length + unit.length + text.length + 3;
    if (this.#sink === null || this.#metrics.length >= MAX_METRICS) return 0;
    if (name.length > 72 || unit.length > 20 || HEADER + 1 + length > MAX_RECORD) return 0;
    const id = this.#metrics.push(metric);
    this.#send((sequence) => encodeDeclare(sequence, now(), id, metric));
    return id;
  }

  #value(id, value) {
    if (id === 0) return;
    const isInteger = typeof value === 'bigint' || Number.isSafeInteger(value);
    this.#send((sequence) =>
      isInteger ? encodeInteger(sequence, now(), id, BigInt(value)) : encodeFloat(sequence, now(), id, value),
    );
  }

  #announce() {
    const hello = { metrics: this.#metrics.length, dropped: this.dropped, program: this.#program };
    this.#send((sequence) => encodeHello(sequence, now(), hello));
    this.#metrics.forEach((metric, index) => this.#send((sequence) => encodeDeclare(sequence, now(), index + 1, metric)));
  }

  // A record that is dropped has its number nevertheless: so the other side knows.
  #send(encode) {
    if (this.#sink === null) return;
    const frame = encode(this.#sequence++);
    if (!this.#sink.put(frame) && !this.#putAfterFlush(frame)) this.dropped += 1;
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#sink?.flush();
    }).unref();
  }

  // Somebody may read again; that is tried once a turn.
  #putAfterFlush(frame) {
    if (this.#flushing) return false;
    this.#sink.flush();
    return this.#sink.put(frame);
  }

  #every(ms, body) {
    this.#timers.push(setInterval(body, ms).unref());
  }
}
