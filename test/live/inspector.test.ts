// A real Node.js with its real inspector, as a guest has it: over TCP, over a tunnelled Unix socket, over `unidbg js`. No VM is needed:
// the protocol and the program are the same, and the console is the program's own output.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CrashReader } from '../../src/console/crash-reader.ts';
import { HeapMetrics } from '../../src/inspector/metrics.ts';
import { InspectorSession } from '../../src/inspector/session.ts';
import { stopForStack } from '../../src/inspector/stop.ts';
import type { ReportedCrash } from '../../src/model/console-text.ts';
import type { Sample } from '../../src/model/metric.ts';
import { RUNTIMES } from '../../src/runtimes/index.ts';
import { ConsolePipeline } from '../../src/session/console-pipeline.ts';
import { InspectorSource } from '../../src/session/inspector-source.ts';
import { mapReportedFrames } from '../../src/session/map-frames.ts';
import { openSourceMaps } from '../../src/symbolize/source-maps.ts';
import { runUnidbg } from '../support/cli.ts';

const TRUTH = join(import.meta.dirname, '../inspector/truth-guest.ts');
const directory = mkdtempSync(join(tmpdir(), 'unidbg-inspector-'));

/** A running program with an inspector. */
interface Program {
  readonly process: ChildProcess;
  readonly port: number;
  readonly base: string;
  readonly exited: Promise<number | null>;
  readonly stderr: () => string;
  ask(path: string): Promise<Truth>;
}

interface Truth {
  readonly heap: Readonly<Record<string, number>>;
  readonly gc: Readonly<Record<'major' | 'minor' | 'incremental' | 'ms', number>>;
}

const programs: Program[] = [];
const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  for (const program of programs.splice(0)) program.process.kill('SIGKILL');
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

async function startProgram(
  script = TRUTH,
  inspect = '--inspect=0',
  onStderr: (bytes: Buffer) => void = () => undefined,
): Promise<Program> {
  const child = spawn(process.execPath, [inspect, script], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  const port = new Promise<number>((done) => {
    child.stderr.on('data', (bytes: Buffer) => {
      onStderr(bytes);
      stderr += bytes.toString();
      const match = /ws:\/\/127\.0\.0\.1:(\d+)\//.exec(stderr);
      if (match !== null) done(Number(match[1]));
    });
  });
  const listening = new Promise<number>((done) => {
    child.stdout.on('data', (bytes: Buffer) => {
      done(Number(/"port":(\d+)/.exec(bytes.toString())?.[1]));
    });
  });
  const exited = new Promise<number | null>((done) => child.once('exit', done));
  const base = `http://127.0.0.1:${await Promise.race([listening, exited.then(() => Promise.reject(new Error(stderr)))])}`;
  const ask = async (path: string): Promise<Truth> => (await (await fetch(base + path)).json()) as Truth;
  const program = { process: child, port: await port, base, exited, stderr: () => stderr, ask };
  programs.push(program);
  return program;
}

async function openSession(
  endpoint: ConstructorParameters<typeof InspectorSession>[0],
  options = { evaluate: true },
): Promise<InspectorSession> {
  const session = new InspectorSession(endpoint, options);
  closing.push(() => session.close());
  await session.open();
  return session;
}

const loopback = (port: number) => ({ kind: 'tcp', host: '127.0.0.1', port }) as const;

/** A tunnel from a Unix socket to a port, as ssh -L makes one. */
async function tunnelTo(port: number): Promise<string> {
  const path = join(directory, `tunnel-${port}.sock`);
  const server: Server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on('error', () => undefined);
  });
  await new Promise<void>((done) => {
    server.listen(path, done);
  });
  closing.push(() => void server.close());
  return path;
}

describe('the heap over an inspector', () => {
  it('is what v8.getHeapStatistics() says in the program, and so are its collections', async () => {
    const program = await startProgram();
    const session = await openSession(loopback(program.port));
    const first = { theirs: await program.ask('/quiet'), ours: (await session.read()).reading };
    await program.ask('/busy');
    await expect
      .poll(async () => (await program.ask('/')).gc.minor, { timeout: 20_000 })
      .toBeGreaterThan(first.theirs.gc.minor + 2);
    await program.ask('/quiet');
    const before = await program.ask('/');
    const { reading } = await session.read();
    const after = await program.ask('/');
    for (const field of ['heap_size_limit', 'number_of_native_contexts', 'does_zap_garbage']) {
      expect(reading.statistics[field], field).toBe(after.heap[field]);
    }
    expect(Object.keys(reading.statistics)).toEqual(Object.keys(after.heap));
    const used = reading.statistics['used_heap_size']!;
    expect(Math.abs(used - before.heap['used_heap_size']!)).toBeLessThan(2 * 1024 * 1024);
    const theirs = (truth: Truth): number => truth.gc.minor - first.theirs.gc.minor;
    const ours = (reading.gc?.totals.get('minor')?.count ?? 0) - (first.ours.gc?.totals.get('minor')?.count ?? 0);
    expect([theirs(before), theirs(after)]).toContain(ours);
    expect(ours).toBeGreaterThan(2);
  });

  it('is had over a Unix socket too, and without evaluating anything', async () => {
    const program = await startProgram();
    const session = await openSession({ kind: 'unix', path: await tunnelTo(program.port) }, { evaluate: false });
    const { reading } = await session.read();
    expect(Object.keys(reading.statistics)).toEqual(['used_heap_size', 'total_heap_size']);
    expect(reading.gc).toBeNull();
  });

  it('is looked for again when the program starts anew, and its counters begin anew', async () => {
    const program = await startProgram();
    const session = await openSession(loopback(program.port));
    const metrics = new HeapMetrics();
    const before = await session.read();
    metrics.take(before.reading, before.program, before.attachment);
    program.process.kill('SIGKILL');
    await program.exited;
    await expect(session.read()).rejects.toMatchObject({ code: 'INSPECTOR_CLOSED' });
    await startProgram(TRUTH, `--inspect=${program.port}`);
    await expect.poll(() => session.program !== null, { timeout: 15_000 }).toBe(true);
    const again = await session.read();
    expect(again.program).not.toBe(before.program);
    expect(again.attachment).toBe(2);
  });

  it('leaves nothing in the program when it is closed', async () => {
    const program = await startProgram();
    const session = await openSession(loopback(program.port));
    await session.read();
    await session.close();
    const second = await openSession(loopback(program.port));
    const { result } = (await second.connection().send('Runtime.evaluate', {
      expression: 'Object.getOwnPropertyNames(globalThis).filter((name) => /unidbg/i.test(name)).length',
    })) as { readonly result: { readonly value: number } };
    expect(result.value).toBe(0);
  });
});

describe('an uncaught exception', () => {
  it('is one crash, and the program ends as if nobody had looked', async () => {
    // Minified by hand: all on one line, the caret far to the right.
    const script = join(directory, 'order.min.cjs');
    const filler = `const w="${'w'.repeat(600)}";`;
    writeFileSync(
      script,
      `${filler}function a(o,i){return o[i].customer.name}setTimeout(()=>a([],3),1500);require("net").createServer().listen(0,function(){console.log(JSON.stringify(this.address()))});`,
    );
    const crashes: ReportedCrash[] = [];
    const source = { value: null as InspectorSource | null };
    const reader = new CrashReader({ unikernels: [], runtimes: RUNTIMES, unikernel: null });
    const pipeline = new ConsolePipeline('stderr', reader, {
      onLine: () => undefined,
      onCrash: (crash) => {
        const joined = source.value?.join(crash) ?? null;
        if (joined !== null) crashes.push(joined);
      },
    });
    const program = await startProgram(script, '--inspect=0', (bytes) => {
      pipeline.push(bytes);
    });
    const remarks: string[] = [];
    source.value = new InspectorSource({
      session: { remark: (code) => remarks.push(code) },
      record: null,
      code: () => ({ images: [], maps: null }),
      inspect: `127.0.0.1:${program.port}`,
      evaluate: true,
      onCrash: (crash) => crashes.push(crash),
    });
    source.value.open();
    await expect.poll(() => remarks).toContain('inspector-attached');
    expect(await program.exited).toBe(1);
    expect(program.stderr()).toContain('Waiting for the debugger to disconnect');
    pipeline.settle();
    await source.value.close();
    pipeline.close();
    expect(crashes).toHaveLength(1);
    expect(crashes[0]).toMatchObject({
      ...{ kind: 'exception', runtime: 'v8', message: "TypeError: Cannot read properties of undefined (reading 'customer')" },
      frames: expect.arrayContaining([expect.objectContaining({ function: 'a', file: script, line: 1 })]) as object,
    });
    expect(crashes[0]!.firstLine).toBeGreaterThan(0);
  });

  it('that no console tells is told by the inspector alone', async () => {
    const program = await startProgram();
    const crashes: ReportedCrash[] = [];
    const samples: Sample[] = [];
    const source = new InspectorSource({
      session: { remark: () => undefined },
      record: { argv: ['qemu', '-nic', `user,hostfwd=tcp:127.0.0.1:${program.port}-:9229`], cwd: null },
      code: () => ({ images: [], maps: null }),
      ...{ inspect: 'auto', evaluate: true },
      onCrash: (crash) => crashes.push(crash),
    });
    source.open();
    await expect.poll(async () => samples.push(...(await source.samples())), { timeout: 10_000 }).toBeGreaterThan(10);
    await program.ask('/boom');
    expect(await program.exited).toBe(1);
    await expect.poll(() => crashes.length, { timeout: 10_000 }).toBe(1);
    await source.close();
    expect(crashes).toMatchObject([
      { kind: 'exception', message: expect.stringContaining("reading 'customer'") as string, firstLine: 0 },
    ]);
    const frames = crashes[0]!.frames.map((frame) => frame.function);
    expect(frames.slice(0, 2)).toEqual(['readCustomer', 'OrderDesk.loadOrder']);
  });
});

describe('what is asked for', () => {
  let program: Program;
  beforeAll(async () => {
    const script = join(directory, 'busy.cjs');
    writeFileSync(
      script,
      'function hot(n) { let s = 0; for (let i = 0; i < n; i += 1) s += Math.sqrt(i); return s; }\n' +
        'setInterval(function work() { for (let i = 0; i < 50; i += 1) hot(2e5 + i); }, 5);\n' +
        'require("net").createServer().listen(0, function () { console.log(JSON.stringify(this.address())); });\n',
    );
    program = await startProgram(script);
    programs.splice(0);
  });
  afterAll(() => {
    program.process.kill('SIGKILL');
  });
  const ask = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
    const { stdout, stderr, status } = await runUnidbg(['js', '--inspect', `127.0.0.1:${program.port}`, ...args, '--json']);
    expect(status, stderr).toBe(0);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  it('heap: what is in it', async () => {
    const { statistics, target } = await ask('heap');
    expect((statistics as Truth['heap'])['used_heap_size']).toBeGreaterThan(1e6);
    expect(target).toMatchObject({ product: `node.js/${process.version}` });
  });

  it('profile: who took the time, in a file that DevTools opens', async () => {
    const out = join(directory, 'busy.cpuprofile');
    const { functions } = await ask('profile', '--for', '500ms', '--out', out);
    const names = (functions as { frame: { function: string } }[]).slice(0, 4).map(({ frame }) => frame.function);
    expect(names.some((name) => name === 'hot' || name === 'work')).toBe(true);
    const profile = JSON.parse(readFileSync(out, 'utf8')) as Record<'nodes' | 'samples' | 'timeDeltas', unknown[]>;
    expect(profile.samples.length).toBe(profile.timeDeltas.length);
    expect(profile.nodes.length).toBeGreaterThan(3);
    expect(statSync(out).mode & 0o777).toBe(0o600);
  });

  it('stacks: sampled without a stop, or exact with one that is told', async () => {
    const { stoppedMs, stacks } = await ask('stacks', '--for', '200ms');
    expect(stoppedMs).toBeNull();
    expect(JSON.stringify(stacks)).toMatch(/"function":"(?:hot|work)"/);
    const exact = await ask('stacks', '--exact');
    expect(exact['stoppedMs']).toBeGreaterThan(0);
  });

  it('heap-snapshot: whole, for its owner alone; cut off it says so', async () => {
    const out = join(directory, 'busy.heapsnapshot');
    await ask('heap-snapshot', '--out', out);
    const { snapshot, nodes } = JSON.parse(readFileSync(out, 'utf8')) as {
      snapshot: { meta: { node_fields: string[] }; node_count: number };
      nodes: number[];
    };
    expect(nodes.length).toBe(snapshot.node_count * snapshot.meta.node_fields.length);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    const cut = join(directory, 'cut.heapsnapshot');
    const args = ['js', '--inspect', `127.0.0.1:${program.port}`, 'heap-snapshot', '--out', cut, '--max-size', '1MiB'];
    const { status, stderr } = await runUnidbg(args);
    expect(status).toBe(3);
    expect(stderr).toContain(`${cut}.partial`);
    expect(statSync(`${cut}.partial`).size).toBeLessThanOrEqual(1024 * 1024);
  });

  it('nothing of a program that is not there', async () => {
    const { status, stderr } = await runUnidbg(['js', '--inspect', '127.0.0.1:1', 'heap']);
    expect(status).toBe(3);
    expect(stderr).toContain('no V8 inspector at 127.0.0.1:1');
  });
});

describe('source maps', () => {
  it('lead from where a minified script stands to what people wrote', async () => {
    const rolldown = join(import.meta.dirname, '../../node_modules/.bin/rolldown');
    await promisify(execFile)(rolldown, [TRUTH, '-m', '-s', '-f', 'cjs', '-p', 'node', '-o', join(directory, 'maps/app.cjs')]);
    const program = await startProgram(join(directory, 'maps/app.cjs'));
    await program.ask('/spin');
    const session = await openSession(loopback(program.port));
    const maps = await openSourceMaps([join(directory, 'maps')]);
    closing.push(() => {
      maps.close();
    });
    let names: readonly (string | null)[] = [];
    // Which of its functions runs at the moment of the stop is chance.
    for (let attempt = 0; attempt < 50 && !names.includes('truth-guest.ts'); attempt += 1) {
      const stopped = await stopForStack(session.connection());
      names = mapReportedFrames(stopped?.frames ?? [], maps).map(({ file }) => file?.slice(file.lastIndexOf('/') + 1) ?? null);
    }
    expect(names).toContain('truth-guest.ts');
  });
});
