// Every binding of the in-guest probe, compiled and run here: what it says of the calls in conformance.txt is compared to the byte, and
// a program that really uses it is heard.

import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProbeDecoder } from '../../probes/guest/decoder.ts';
import { ProbeMetrics } from '../../probes/guest/metrics.ts';
import { decodeRecord, type ProbeRecord } from '../../probes/guest/records.ts';
import { RingReader } from '../../probes/guest/ring.ts';
import { type Sample, seriesKey } from '../../src/model/metric.ts';

const GUEST = resolve(import.meta.dirname, '../../probes/guest');
const directory = mkdtempSync(join(tmpdir(), 'unidbg-bindings-'));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

const VECTORS = readFileSync(join(GUEST, 'conformance.txt'), 'utf8')
  .trim()
  .split('\n')
  .filter((line) => !line.startsWith('#'))
  .map((line) => {
    const at = line.lastIndexOf(' ');
    return { call: line.slice(0, at), frame: line.slice(at + 1) };
  });
const CALLS = `${VECTORS.map(({ call }) => call).join('\n')}\n`;

const at = (name: string): string => join(directory, name);

/** The C library has no encoder of its own to call: it is made to stand where the call's record is due. */
const C_SPEAKER = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define UNIDBG_MAX_METRICS 65535
#include "unidbg_probe.c"
static uint64_t now; static int wanted;
static uint64_t clock_ns(void) { return now; }
static int put(const uint8_t *frame, uint32_t length) { if (wanted > 0) { fwrite(frame, 1, length, stdout); wanted--; } return 1; }
static char *word(void) { char *text = strtok(NULL, " \\n"); return strcmp(text, "-") == 0 ? strdup("") : strdup(text); }
int main(void) {
    static char line[400];
    unidbg_init("", clock_ns);
    unidbg_use_stream(put);
    while (fgets(line, sizeof line, stdin)) {
        char what = *strtok(line, " ");
        uint32_t sequence = (uint32_t)strtoul(word(), NULL, 10);
        now = strtoull(word(), NULL, 10);
        uint16_t number = (uint16_t)atoi(word());
        probe.sequence = sequence;
        wanted = 1;
        if (what == 'h') {
            probe.metric_count = number;
            for (uint32_t i = 0; i < number; i++) probe.metrics[i] = (struct metric){"a", "", "", 0};
            probe.dropped = (uint32_t)strtoul(word(), NULL, 10);
            probe.program = word();
            announce();
        } else if (what == 'd') {
            const char *kind = word(), *name = word(), *unit = word();
            probe.metric_count = (uint16_t)(number - 1);
            if (unidbg_declare_series(kind[0] == 'g' ? UNIDBG_GAUGE : kind[0] == 'c' ? UNIDBG_COUNTER : UNIDBG_SPAN, name, unit, word()) != number) return 1;
        } else {
            probe.metric_count = 65535;
            if (what == 'i') unidbg_integer(number, strtoll(word(), NULL, 10));
            if (what == 'f') unidbg_float(number, strtod(word(), NULL));
            if (what == 's') unidbg_span(number, now, strtoull(word(), NULL, 10));
        }
    }
    return 0;
}`;

function buildC(): readonly string[] {
  writeFileSync(at('speaker.c'), C_SPEAKER);
  execFileSync('gcc', ['-O1', '-I', GUEST, '-o', at('c'), at('speaker.c')]);
  return [at('c')];
}

function buildGo(): readonly string[] {
  execFileSync('go', ['build', '-o', at('go'), './conformance'], {
    cwd: join(GUEST, 'go'),
    env: { ...process.env, GOFLAGS: '-mod=mod', GOPROXY: 'off' },
  });
  return [at('go')];
}

// The compiler leaves its files beside its sources.
function buildOcaml(): readonly string[] {
  mkdirSync(at('ml'));
  for (const name of readdirSync(join(GUEST, 'ocaml'))) copyFileSync(join(GUEST, 'ocaml', name), join(at('ml'), name));
  execFileSync('ocamlopt', ['-o', at('ocaml'), 'unidbg.ml', 'conformance.ml'], { cwd: at('ml') });
  return [at('ocaml')];
}

function buildRust(): readonly string[] {
  const rustc = (...args: readonly string[]): unknown => execFileSync('rustc', ['--edition', '2021', '-D', 'warnings', ...args]);
  rustc('--crate-type', 'rlib', '--crate-name', 'unidbg_probe', '--out-dir', directory, join(GUEST, 'rust/lib.rs'));
  rustc('-L', directory, '--extern', 'unidbg_probe', '-o', at('rust'), join(GUEST, 'rust/conformance.rs'));
  return [at('rust')];
}

const BINDINGS: Readonly<Record<string, () => readonly string[]>> = {
  C: buildC,
  'Node.js': () => [process.execPath, join(GUEST, 'node/conformance.mjs')],
  Go: buildGo,
  OCaml: buildOcaml,
  Rust: buildRust,
};

const programs = new Map<string, readonly string[]>();
beforeAll(() => {
  for (const [name, build] of Object.entries(BINDINGS)) programs.set(name, build());
}, 120_000);

const run = (name: string, ...args: readonly string[]): Buffer => {
  const [program, ...own] = programs.get(name)!;
  return execFileSync(program!, [...own, ...args], { input: args.length === 0 ? CALLS : '', maxBuffer: 1 << 24 });
};

function recordsOf(stream: Uint8Array): ProbeRecord[] {
  const records: ProbeRecord[] = [];
  const decoder = new ProbeDecoder((view, start, length) => {
    records.push(decodeRecord(new Uint8Array(view.buffer.slice(start, start + length)))!);
  });
  decoder.push(stream);
  expect(decoder.damaged).toBe(0);
  return records;
}

function samplesOf(stream: Uint8Array): ReadonlyMap<string, Sample> {
  const metrics = new ProbeMetrics('test');
  const decoder = new ProbeDecoder(metrics.push);
  decoder.push(stream);
  expect(metrics).toMatchObject({ lost: 0, dropped: 0 });
  expect(decoder.damaged).toBe(0);
  return new Map(metrics.take().map((sample) => [seriesKey(sample), sample]));
}

const valueIn = (samples: ReadonlyMap<string, Sample>, key: string): number => samples.get(key)?.value ?? Number.NaN;

describe('a binding of the in-guest probe', () => {
  it.each(Object.keys(BINDINGS))('says in %s what all say, to the byte', (name) => {
    const said = run(name).toString('hex');
    expect(said).toBe(VECTORS.map(({ frame }) => frame).join(''));
  });

  it('says what the decoder understands', () => {
    const records = recordsOf(Buffer.from(VECTORS.map(({ frame }) => frame).join(''), 'hex'));
    const understood = records.map((record, index) => ({ words: VECTORS[index]!.call.split(' '), record }));
    expect(understood).toHaveLength(VECTORS.length);
    for (const { words, record } of understood) {
      const [what, sequence, time, id, value] = words;
      expect(record).toMatchObject({ sequence: Number(sequence), time: BigInt(time!) });
      if (what === 'hello')
        expect(record).toMatchObject({ type: 'hello', metricCount: Number(id), dropped: Number(value), program: words[5] });
      else if (what === 'declare') expect(record).toMatchObject({ type: 'declare', id: Number(id), kind: value, name: words[5] });
      else expect(record).toMatchObject({ type: 'value', id: Number(id), value: Number(value) });
    }
  });
});

/** Listens on TCP, tells the program its port, and gives what it said until it closed. */
async function hear(name: string, ms: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const closed = Promise.withResolvers<undefined>();
  const server = createServer((socket) => {
    socket.on('data', (bytes) => chunks.push(Buffer.from(bytes)));
    socket.on('close', () => {
      closed.resolve(undefined);
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  const [program, ...own] = programs.get(name)!;
  const child = spawn(program!, [...own, `tcp:127.0.0.1:${port}`, String(ms)], { stdio: 'ignore' });
  const exited = new Promise((done) => child.once('exit', done));
  await Promise.all([closed.promise, exited]);
  server.close();
  return Buffer.concat(chunks);
}

describe('a program with a binding', () => {
  it('in Node.js tells its collections, heap spaces and event loop, over TCP', async () => {
    const samples = samplesOf(await hear('Node.js', 700));
    expect(valueIn(samples, 'shop.orders{region=eu}')).toBeGreaterThan(5);
    expect(valueIn(samples, 'shop.order')).toBe(1_500_000);
    expect(valueIn(samples, 'shop.order.count')).toBe(valueIn(samples, 'shop.orders{region=eu}'));
    const minor = 'v8js.gc.duration.count{v8js.gc.type=minor}';
    expect(valueIn(samples, minor)).toBeGreaterThan(0);
    expect(valueIn(samples, 'v8js.gc.minor.cycles')).toBe(valueIn(samples, minor));
    const durations = [...samples].filter(([key]) => key.startsWith('v8js.gc.duration.time'));
    expect(valueIn(samples, 'v8js.gc.pause.time')).toBe(durations.reduce((sum, [, { value }]) => sum + value!, 0));
    const used = [...samples].filter(([key]) => key.startsWith('v8js.memory.heap.space.used_size{v8js.heap.space.name='));
    expect(used.length).toBeGreaterThanOrEqual(6);
    const ratio = valueIn(samples, 'v8js.memory.heap.used') / used.reduce((sum, [, { value }]) => sum + value!, 0);
    expect(Math.abs(ratio - 1)).toBeLessThan(0.2);
    expect(valueIn(samples, 'nodejs.eventloop.delay.max')).toBeGreaterThan(0);
    expect(valueIn(samples, 'nodejs.eventloop.utilization')).toBeLessThanOrEqual(1);
  });

  it('in Node.js speaks into a file too', () => {
    execFileSync(programs.get('Node.js')![0]!, [programs.get('Node.js')![1]!, `file:${at('said.bin')}`, '300']);
    expect(valueIn(samplesOf(readFileSync(at('said.bin'))), 'shop.orders{region=eu}')).toBeGreaterThan(1);
  });

  it('in Node.js drops what a port does not take while nobody reads it, and counts exactly that', async () => {
    const fifo = at('port.fifo');
    execFileSync('mkfifo', [fifo]);
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const program = `
      import { openProbe } from ${JSON.stringify(pathToFileURL(join(GUEST, 'node/unidbg-probe.mjs')).href)};
      const probe = openProbe({ to: ${JSON.stringify(fifo)}, program: 'flood' });
      const said = probe.counter('flood.said', '{record}');
      const flood = setInterval(() => { for (let i = 0; i < 2000; i += 1) said.add(1); }, 1);
      setTimeout(() => clearInterval(flood), 300);
      setTimeout(() => probe.close(), 2500);
      setTimeout(() => {}, 2500);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' });
    const exited = new Promise((done) => child.once('exit', done));
    await sleep(900);
    const metrics = new ProbeMetrics('fifo');
    const decoder = new ProbeDecoder(metrics.push);
    const draining = setInterval(() => {
      const chunk = Buffer.alloc(1 << 16);
      try {
        for (let count = readSync(reader, chunk); count > 0; count = readSync(reader, chunk))
          decoder.push(chunk.subarray(0, count));
      } catch {
        // EAGAIN: nothing is there now.
      }
    }, 5);
    await exited;
    await sleep(20);
    clearInterval(draining);
    closeSync(reader);
    expect(metrics.dropped).toBeGreaterThan(1000);
    expect(metrics.lost).toBe(metrics.dropped);
    expect(decoder.damaged).toBe(0);
  });

  it('in Go tells what runtime/metrics has, and each pause, over TCP', async () => {
    const samples = samplesOf(await hear('Go', 700));
    expect(valueIn(samples, 'shop.orders{region=eu}')).toBeGreaterThan(5);
    expect(valueIn(samples, 'go.memory.gc.cycles')).toBeGreaterThan(3);
    // Read a moment later.
    expect(valueIn(samples, 'go.memory.gc.pauses.count')).toBeGreaterThanOrEqual(valueIn(samples, 'go.memory.gc.cycles'));
    expect(valueIn(samples, 'go.memory.gc.pauses.time')).toBe(valueIn(samples, 'go.memory.gc.pause.time'));
    expect(valueIn(samples, 'go.goroutine.count')).toBeGreaterThan(1);
    expect(samples.get('go.memory.allocated')).toMatchObject({ kind: 'counter', unit: 'By' });
  });

  it('in OCaml tells what its collector counts', () => {
    const [minor, major] = run('OCaml', at('ocaml.bin')).toString().trim().split(' ').map(Number);
    const samples = samplesOf(readFileSync(at('ocaml.bin')));
    expect(valueIn(samples, 'ocaml.gc.minor.collections')).toBe(minor);
    expect(valueIn(samples, 'ocaml.gc.major.cycles')).toBe(major);
    expect(valueIn(samples, 'ocaml.gc.major.ends')).toBeGreaterThan(0);
    expect(valueIn(samples, 'shop.orders{region=eu}')).toBe(10);
    expect(valueIn(samples, 'shop.order.count')).toBe(10);
  });

  it('in Rust speaks through a ring in RAM', async () => {
    const ring = run('Rust', 'ring');
    const metrics = new ProbeMetrics('ring');
    const read = (address: bigint, length: number): Uint8Array => ring.subarray(Number(address), Number(address) + length);
    const space = { read, walk: <T>(body: (memory: { read: typeof read }) => T) => Promise.resolve(body({ read })) };
    await new RingReader(metrics.push).read(() => space, 0n);
    expect(metrics.program).toBe('rust');
    expect(metrics.take().map((sample) => [seriesKey(sample), sample.value])).toEqual([
      ['app.requests', -5],
      ['app.load{core=0}', 0.25],
      ['app.pause', 123_456],
      ['app.pause.count', 1],
      ['app.pause.time', 123_456],
    ]);
  });
});

describe('the C library', () => {
  const compile = (compiler: string, ...flags: readonly string[]): string => {
    const object = at('library.o');
    execFileSync(compiler, [...flags, '-Wall', '-Wextra', '-Werror', '-c', join(GUEST, 'unidbg_probe.c'), '-o', object]);
    // Nobody defines it, and nobody need: it is how position-independent 32-bit code finds its data.
    return execFileSync('nm', ['-u', object], { encoding: 'utf8' }).replace(/\s+U _GLOBAL_OFFSET_TABLE_\n/, '');
  };

  it.each(['-O0', '-Os', '-O2', '-O3'])('needs nothing of anybody at %s, not even memcpy', (level) => {
    expect(compile('gcc', '-std=c99', '-pedantic', '-ffreestanding', level)).toBe('');
  });

  it('is C++ as well', () => {
    expect(compile('g++', '-x', 'c++', '-std=c++11', '-O2', '-fno-exceptions')).toBe('');
  });
});
