// What the guardian knows and refuses, without processes: tracker, policy, session, QMP. The process itself: test/live.

import { mkdtempSync, rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { adoptStub } from '../../gdbstub/client/stub-client.ts';
import { encodeHex, encodeLatin1 } from '../../gdbstub/framing/bytes.ts';
import type { Unit } from '../../gdbstub/framing/decoder.ts';
import { findRefusal } from '../../gdbstub/guardian/policy.ts';
import { continueByQmp } from '../../gdbstub/guardian/qmp.ts';
import { guardSession } from '../../gdbstub/guardian/session.ts';
import { Tracker } from '../../gdbstub/guardian/tracker.ts';
import type { Answers, FakeStub } from './support/fake-stub.ts';
import { startFakeStub } from './support/fake-stub.ts';

function packet(text: string): Unit {
  return { type: 'packet', payload: encodeLatin1(text), raw: new Uint8Array() };
}

const INTERRUPT: Unit = { type: 'interrupt', raw: Uint8Array.of(3) };

/** A tracker that has seen these: `> request`, `< reply`, `^C`. */
function follow(...units: readonly string[]): Tracker {
  const tracker = new Tracker();
  for (const unit of units) {
    if (unit === '^C') tracker.fromClient(INTERRUPT);
    else if (unit.startsWith('>')) tracker.fromClient(packet(unit.slice(2)));
    else tracker.fromStub(packet(unit.slice(2)));
  }
  return tracker;
}

describe('the tracker', () => {
  it('knows the breakpoints that are in', () => {
    expect([...follow('> Z0,10,1', '< OK', '> Z1,20,1', '< OK', '> z0,10,1', '< OK').breakpoints]).toEqual(['1,20,1']);
    expect([...follow('> Z0,10,1', '< ').breakpoints]).toEqual([]);
    expect([...follow('> Z0,10,1', '< E22').breakpoints]).toEqual([]);
  });

  it('counts a breakpoint whose answer is still out as in', () => {
    expect([...follow('> Z0,10,1').breakpoints]).toEqual(['0,10,1']);
    expect([...follow('> Z0,10,1', '< OK', '> z0,10,1').breakpoints]).toEqual(['0,10,1']);
  });

  it('leaves a breakpoint’s conditions out of its removal', () => {
    expect([...follow('> Z0,10,1;X1,22', '< OK').breakpoints]).toEqual(['0,10,1']);
  });

  it('knows whether the guest runs, and why', () => {
    expect(follow('> c').run).toBe('continue');
    expect(follow('> vCont;s:1').run).toBe('step');
    expect(follow('> c', '< O4869').run).toBe('continue');
    expect(follow('> c', '< T05thread:1;').run).toBeNull();
    expect(follow('> vCont;c', '< E01').run).toBeNull();
  });

  it('is not confused by a stop reply that nobody asked for', () => {
    const tracker = follow('> qSupported', '< T02thread:01;', '< PacketSize=1000', '> Z0,10,1', '< OK');
    expect(tracker.pending).toEqual([]);
    expect([...tracker.breakpoints]).toEqual(['0,10,1']);
    expect(follow('> ?', '< T05thread:01;').pending).toEqual([]);
  });

  it('knows the answers that are still out, through a monitor command’s output', () => {
    expect(follow('> qRcmd,6162', '< O4869').pending).toEqual(['qRcmd,6162']);
    expect(follow('> qRcmd,6162', '< O4869', '< OK', '> g').pending).toEqual(['g']);
  });

  it('tells a pause by somebody else from our interrupt', () => {
    expect(follow('> c', '< T02thread:1;').pausedByOthers).toBe(true);
    expect(follow('> c', '^C', '< T02thread:1;').pausedByOthers).toBe(false);
    expect(follow('> c', '< T05thread:1;').pausedByOthers).toBe(false);
    expect(follow('> c', '< T02thread:1;', '> c').pausedByOthers).toBe(false);
  });

  it('learns the end of acknowledgements and the process to detach', () => {
    const tracker = follow('> QStartNoAckMode', '< OK', '> ?', '< T05thread:p2.1;');
    expect(tracker.acks).toBe(false);
    expect(tracker.process).toBe('2');
  });

  it.each([
    ['M', 'M201000,1:cc', 'M201000,1:55'],
    ['X', 'X201000,1:\xcc', 'X201000,1:U'],
  ])('keeps the instruction under a breakpoint written by %s until it is put back', (_, write, restore) => {
    const tracker = follow('> m201000,1', '< 55', `> ${write}`, '< OK');
    expect([...tracker.written]).toEqual([['201000', '55']]);
    expect(follow('> m201000,1', '< 55', `> ${write}`, '< E01').written.size).toBe(0);
    expect(follow('> m201000,1', '< 55', `> ${write}`, '< OK', '> m201000,1', '< cc', `> ${restore}`, '< OK').written.size).toBe(
      0,
    );
  });

  it('does not take other writes for breakpoints', () => {
    expect(follow('> m201000,1', '< 55', '> M201000,1:90', '< OK').written.size).toBe(0);
    expect(follow('> M201000,1:cc', '< OK').written.size).toBe(0);
  });
});

describe('the policy', () => {
  const refusal = (text: string, allowWrite = false): string | null => findRefusal(encodeLatin1(text), allowWrite);

  it('lets nobody kill or restart a guest, with or without leave to write', () => {
    for (const allowWrite of [false, true]) {
      expect(refusal('k', allowWrite)).toBe('swallow');
      for (const text of ['vKill;1', 'vRun;', 'R00', 'r', 'QNonStop:1']) expect(refusal(text, allowWrite)).toBe('E01');
    }
  });

  it.each([
    'M10,1:00',
    'X10,1:a',
    'G00',
    'P0=00',
    `qRcmd,${encodeHex(encodeLatin1('quit'))}`,
    `qRcmd,${encodeHex(encodeLatin1('info x; quit'))}`,
    'Qqemu.PhyMemMode:1',
    'qRcmd,zz',
  ])('refuses %s without leave to write', (text) => {
    expect(refusal(text)).toBe('E01');
    expect(refusal(text, true)).toBeNull();
  });

  it.each([
    'g',
    'p10',
    'm10,1',
    'Z0,10,1',
    'vCont;c',
    'qSupported',
    'QStartNoAckMode',
    '?',
    'D',
    `qRcmd,${encodeHex(encodeLatin1('info registers'))}`,
  ])('lets %s through', (text) => {
    expect(refusal(text)).toBeNull();
  });
});

let directory = '';
const servers: Server[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'guardian-test-'));
});

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(directory, { recursive: true, force: true });
});

async function listen(name: string, onConnection: (socket: Socket) => void): Promise<string> {
  const path = join(directory, name);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

/** A stub behind a socket of its own; every connection is served by the same answers. */
async function listenAsStub(answers: Answers): Promise<{ path: string; stubs: FakeStub[] }> {
  const stubs: FakeStub[] = [];
  const path = await listen('gdb', (socket) => {
    const stub = startFakeStub(answers);
    stubs.push(stub);
    socket.pipe(stub.socket).pipe(socket);
  });
  return { path, stubs };
}

/** A client's socket and the report of the session it is served in. */
async function startSession(
  gdb: string,
  wasRunning = true,
): Promise<{ socket: Socket; report: ReturnType<typeof guardSession> }> {
  const served = Promise.withResolvers<{ report: ReturnType<typeof guardSession> }>();
  const path = await listen('guardian', (client) => {
    const options = { gdb: { type: 'unix', path: gdb }, qmp: null, wasRunning, allowWrite: false } as const;
    served.resolve({ report: guardSession(client, options, new Promise(() => undefined)) });
  });
  const socket = connect(path);
  return { socket, report: (await served.promise).report };
}

const ORDINARY: Answers = (request) => {
  if (/^[Zz]/.test(request) || request === 'D') return 'OK';
  if (request === '<03>') return 'T02thread:1;';
  return { '?': 'T05thread:1;', c: [], g: '00'.repeat(164) }[request];
};

describe('a guarded session', () => {
  it('takes out what the client left in, then detaches', async () => {
    const { path, stubs } = await listenAsStub(ORDINARY);
    const { socket, report } = await startSession(path);
    const client = await adoptStub(socket);
    await client.insertBreakpoint({ kind: 'software', address: 0x10n, size: 1 });
    client.close();
    expect(await report).toEqual({ guest: 'running', by: 'detach' });
    expect(stubs[0]!.seen.slice(-3)).toEqual(['Z0,10,1', 'z0,10,1', 'D']);
  });

  it('stops a guest that runs, to take the breakpoints out', async () => {
    const { path, stubs } = await listenAsStub(ORDINARY);
    const { socket, report } = await startSession(path);
    const client = await adoptStub(socket);
    await client.insertBreakpoint({ kind: 'hardware', address: 0x10n, size: 1 });
    client.continue().catch(() => undefined);
    await vi.waitFor(() => {
      expect(stubs[0]!.seen).toContain('c');
    });
    client.close();
    expect(await report).toEqual({ guest: 'running', by: 'detach' });
    expect(stubs[0]!.seen.slice(-4)).toEqual(['c', '<03>', 'z1,10,1', 'D']);
  });

  it('ends the single-step mode of every vCPU when a step does not end', async () => {
    const vcpus: Answers = (request) => {
      if (request.startsWith('Hc')) return 'OK';
      if (request === 'qsThreadInfo') return parts.shift();
      return { qfThreadInfo: 'm1', s: [] }[request] ?? ORDINARY(request);
    };
    const parts = ['m2', 'l'];
    const { path, stubs } = await listenAsStub(vcpus);
    const { socket, report } = await startSession(path);
    const client = await adoptStub(socket);
    client.step().catch(() => undefined);
    await vi.waitFor(() => {
      expect(stubs[0]!.seen).toContain('s');
    });
    client.close();
    expect(await report).toEqual({ guest: 'running', by: 'detach' });
    const seen = stubs[0]!.seen.slice(stubs[0]!.seen.indexOf('s'));
    expect(seen).toEqual([
      's',
      '<03>',
      'qfThreadInfo',
      'qsThreadInfo',
      'qsThreadInfo',
      'Hc1',
      'c',
      '<03>',
      'Hc2',
      'c',
      '<03>',
      'D',
    ]);
  });

  it('answers a detach itself, and sends none on for a guest that was paused before', async () => {
    const { path, stubs } = await listenAsStub(ORDINARY);
    const { socket, report } = await startSession(path, false);
    const client = await adoptStub(socket);
    await client.detach();
    expect(await report).toEqual({ guest: 'paused', by: 'closing' });
    expect(stubs[0]!.seen).not.toContain('D');
  });

  it('refuses writes in the stub’s place and stays in step', async () => {
    const { path, stubs } = await listenAsStub(ORDINARY);
    const { socket, report } = await startSession(path);
    const client = await adoptStub(socket, { allowWrite: true });
    await expect(client.writeMemory(0x10n, Uint8Array.of(1))).rejects.toMatchObject({ code: 'RSP_REFUSED' });
    expect(Object.keys(await client.registers())).toContain('rip');
    client.close();
    await report;
    expect(stubs[0]!.seen.some((request) => /^[MX]/.test(request))).toBe(false);
  });

  it('names the process when the stub wants it, and continues when it knows no detach', async () => {
    const insisting: Answers = (request) => (request === 'D' ? 'E22' : request === 'D;1' ? 'OK' : ORDINARY(request));
    const first = await listenAsStub(insisting);
    const one = await startSession(first.path);
    (await adoptStub(one.socket)).close();
    expect(await one.report).toEqual({ guest: 'running', by: 'detach' });
    expect(first.stubs[0]!.seen.slice(-2)).toEqual(['D', 'D;1']);
  });

  it('continues a stub that knows no detach', async () => {
    const { path, stubs } = await listenAsStub((request) => (request.startsWith('D') ? '' : ORDINARY(request)));
    const { socket, report } = await startSession(path);
    (await adoptStub(socket)).close();
    expect(await report).toEqual({ guest: 'running', by: 'continue' });
    expect(stubs[0]!.seen.at(-1)).toBe('c');
  });

  it('connects anew when the stub hung up', async () => {
    const { path, stubs } = await listenAsStub(ORDINARY);
    const { socket, report } = await startSession(path);
    const client = await adoptStub(socket);
    await client.insertBreakpoint({ kind: 'software', address: 0x10n, size: 1 });
    stubs[0]!.hangUp();
    expect(await report).toEqual({ guest: 'running', by: 'detach after reconnecting' });
    expect(stubs[1]!.seen).toEqual(['?', 'qfThreadInfo', 'z0,10,1', 'D']);
  });

  it('undoes its own connecting when the client went meanwhile', async () => {
    const { path, stubs } = await listenAsStub(ORDINARY);
    const { socket, report } = await startSession(path);
    socket.destroy();
    expect(await report).toEqual({ guest: 'running', by: 'detach' });
    expect(stubs[0]!.seen).toEqual(['D']);
  });

  it('has nothing to undo where no stub is', async () => {
    const { report } = await startSession(join(directory, 'nowhere'));
    expect((await report).guest).toBe('untouched');
  });
});

/** A QMP server with one VM; `cont` makes it run unless it is dead. Events and replies come in one chunk. */
async function listenAsQmp(status: string): Promise<{ path: string; seen: string[] }> {
  const seen: string[] = [];
  let now = status;
  const path = await listen('qmp', (socket) => {
    socket.write('{"QMP": {"version": {}, "capabilities": []}}\r\n');
    socket.on('data', (chunk) => {
      const { execute } = JSON.parse(chunk.toString()) as { execute: string };
      seen.push(execute);
      if (execute === 'cont') now = 'running';
      const reply = execute === 'query-status' ? { status: now } : {};
      socket.write(`{"event": "RESUME", "timestamp": {}}\r\n${JSON.stringify({ return: reply })}\r\n`);
    });
  });
  return { path, seen };
}

describe('the QMP way', () => {
  it.each([
    ['running', 'running', false],
    ['paused', 'continued', true],
    ['debug', 'continued', true],
    ['guest-panicked', 'dead-guest', false],
    ['shutdown', 'dead-guest', false],
    ['prelaunch', 'dead-guest', false],
  ])('of a VM that is %s is %s', async (status, result, continued) => {
    const { path, seen } = await listenAsQmp(status);
    expect(await continueByQmp({ type: 'unix', path }, 1000)).toBe(result);
    expect(seen.includes('cont')).toBe(continued);
  });

  it('gives up a socket that serves somebody else, that talks nonsense, or that is not there', async () => {
    const silent = await listen('silent', () => undefined);
    expect(await continueByQmp({ type: 'unix', path: silent }, 100)).toBe('busy');
    const nonsense = await listen('nonsense', (socket) => socket.end('SSH-2.0-OpenSSH\n{"return": 1}\n'));
    expect(await continueByQmp({ type: 'unix', path: nonsense }, 1000)).toBe('busy');
    expect(await continueByQmp({ type: 'unix', path: join(directory, 'nowhere') }, 1000)).toBe('busy');
  });
});
