// The client against dialects: a full stub, a bare one (gdbsx on Xen, as measured), one with every option.

import { describe, expect, it } from 'vitest';
import type { StubClient, StubOptions } from '../../gdbstub/client/stub-client.ts';
import { adoptStub } from '../../gdbstub/client/stub-client.ts';
import { encodeHex, encodeLatin1 } from '../../gdbstub/framing/bytes.ts';
import type { Answers, FakeStub } from './support/fake-stub.ts';
import { startFakeStub } from './support/fake-stub.ts';

async function open(answers: Answers, options: StubOptions = {}): Promise<{ client: StubClient; stub: FakeStub }> {
  const stub = startFakeStub(answers);
  return { client: await adoptStub(stub.socket, { requestTimeoutMs: 1000, ...options }), stub };
}

/** gdbsx: no features, no target.xml, no vCont, no p, no Z; 164 bytes of `g`; threads counted from 0 in one packet. */
function gdbsx(): { answers: Answers; memory: Map<bigint, number> } {
  const memory = new Map<bigint, number>();
  const file = Uint8Array.from({ length: 164 }, (_, index) => index);
  const fixed: Readonly<Record<string, string | readonly string[]>> = {
    '?': 'T05thread:0;',
    qfThreadInfo: 'm0l',
    Hg0: 'OK',
    Hc0: 'OK',
    g: encodeHex(file),
    c: 'T05thread:0;',
    s: 'T05thread:0;',
  };
  const answers: Answers = (request) => {
    const read = /^m([0-9a-f]+),([0-9a-f]+)$/.exec(request);
    if (read !== null) {
      const length = Number.parseInt(read[2]!, 16);
      return encodeHex(Uint8Array.from({ length }, (_, index) => memory.get(BigInt(`0x${read[1]!}`) + BigInt(index)) ?? 0x90));
    }
    const write = /^M([0-9a-f]+),1:([0-9a-f]{2})$/.exec(request);
    if (write === null) return fixed[request];
    memory.set(BigInt(`0x${write[1]!}`), Number.parseInt(write[2]!, 16));
    return 'OK';
  };
  return { answers, memory };
}

describe('a stub that knows next to nothing (gdbsx)', () => {
  it('gives registers by name without a target.xml, from a short g', async () => {
    const { client } = await open(gdbsx().answers);
    const values = await client.registers();
    expect(values['rip']).toBe(0x8786858483828180n);
    expect(Object.keys(values)).toHaveLength(24);
    expect(await client.register('rsp')).toBe(0x3f3e3d3c3b3a3938n);
    expect(await client.architecture()).toBe('i386:x86-64');
    await expect(client.register('cr3')).rejects.toMatchObject({ code: 'RSP_UNSUPPORTED' });
  });

  it('gives its thread, memory in small packets, and steps without vCont', async () => {
    const { client, stub } = await open(gdbsx().answers);
    expect(await client.threads()).toEqual([{ id: '0', name: null }]);
    expect(await client.readMemory(0x1000n, 500)).toEqual(new Uint8Array(500).fill(0x90));
    expect(stub.seen.filter((request) => request.startsWith('m')).length).toBeGreaterThan(1);
    expect(await client.step()).toMatchObject({ type: 'stopped', thread: '0' });
    expect(stub.seen.slice(-2)).toEqual(['Hc0', 's']);
  });

  it('has int3 written for it, and the instruction put back, only with leave to write', async () => {
    const breakpoint = { kind: 'software', address: 0x201000n, size: 1 } as const;
    const reader = await open(gdbsx().answers);
    await expect(reader.client.insertBreakpoint(breakpoint)).rejects.toMatchObject({ code: 'RSP_UNSUPPORTED' });

    const { answers, memory } = gdbsx();
    memory.set(0x201000n, 0x55);
    const { client } = await open(answers, { allowWrite: true, architecture: 'i386:x86-64' });
    await client.insertBreakpoint(breakpoint);
    expect(memory.get(0x201000n)).toBe(0xcc);
    await client.removeBreakpoint(breakpoint);
    expect(memory.get(0x201000n)).toBe(0x55);
    expect(client.breakpoints).toEqual([]);
    await expect(client.insertBreakpoint({ ...breakpoint, kind: 'hardware' })).rejects.toMatchObject({ code: 'RSP_UNSUPPORTED' });
  });

  it('may hang up on detach', async () => {
    const stub = startFakeStub((request) => {
      if (request !== 'D') return gdbsx().answers(request);
      stub.hangUp();
      return [];
    });
    const client = await adoptStub(stub.socket, {});
    await client.detach();
    expect(client.closed).toBe(true);
  });
});

const TARGET =
  '<target><architecture>i386:x86-64</architecture><feature name="f"><reg name="rax" bitsize="64"/><reg name="rip" bitsize="64"/><reg name="cr3" bitsize="64"/></feature></target>';

/** A stub with all that is optional; `pc` moves by one at each step. */
function full(): { answers: Answers; inserted: Set<string> } {
  const inserted = new Set<string>();
  let pc = 0x10;
  const hex = (value: number): string => encodeHex(Uint8Array.of(value, 0, 0, 0, 0, 0, 0, 0));
  const answers: Answers = (request) => {
    if (request.startsWith('qSupported'))
      return 'PacketSize=200;qXfer:features:read+;vContSupported+;QStartNoAckMode+;binary-upload+';
    if (request.startsWith('qXfer:features:read:target.xml:')) {
      const offset = Number.parseInt(request.split(':')[4]!, 16);
      return offset + 50 < TARGET.length ? `m${TARGET.slice(offset, offset + 50)}` : `l${TARGET.slice(offset)}`;
    }
    if (/^[Zz]0/.test(request)) {
      if (request.startsWith('Z')) inserted.add(request.slice(1));
      else inserted.delete(request.slice(1));
      return 'OK';
    }
    if (/^x/.test(request)) return `b${'}'.repeat(Number.parseInt(request.split(',')[1]!, 16))}`;
    if (/^X/.test(request)) return 'OK';
    if (request === 'vCont;s:p1.1') pc += 1;
    if (request === 'vCont;c') pc = 0x30;
    if (request === 'qRcmd,696e666f') return ['O4f6e65', 'O2074776f', 'OK'];
    const fixed: Readonly<Record<string, string>> = {
      QStartNoAckMode: 'OK',
      '?': 'T05thread:p1.1;',
      'vCont?': 'vCont;c;C;s;S',
      'vCont;s:p1.1': 'T05thread:p1.1;',
      'vCont;c': 'T05swbreak:;thread:p1.1;',
      'Hgp1.1': 'OK',
      'Hgp1.2': 'OK',
      g: hex(1) + hex(pc),
      p2: hex(0x40),
      'P0=ff00000000000000': 'OK',
      'D;1': 'OK',
      qfThreadInfo: 'mp1.1',
      qsThreadInfo: 'mp1.2',
      'qThreadExtraInfo,p1.1': encodeHex(encodeLatin1('CPU#0 [running]')),
    };
    if (request === 'qsThreadInfo') return seenMore++ === 0 ? 'mp1.2' : 'l';
    return fixed[request];
  };
  let seenMore = 0;
  return { answers, inserted };
}

describe('a stub that knows much', () => {
  it('describes its registers, also those that g leaves out', async () => {
    const { client, stub } = await open(full().answers);
    expect(await client.registers()).toEqual({ rax: 1n, rip: 0x10n });
    expect(await client.register('cr3')).toBe(0x40n);
    expect(await client.architecture()).toBe('i386:x86-64');
    expect(stub.seen).toContain('QStartNoAckMode');
  });

  it('gives memory as binary and its threads in parts', async () => {
    const { client, stub } = await open(full().answers);
    expect(await client.readMemory(0xffff_ffff_ffff_f000n, 600)).toEqual(new Uint8Array(600).fill(0x7d));
    expect(stub.seen.some((request) => request.startsWith('m'))).toBe(false);
    expect(await client.threads()).toEqual([
      { id: 'p1.1', name: 'CPU#0 [running]' },
      { id: 'p1.2', name: null },
    ]);
  });

  it('steps over a breakpoint it stands at before it runs on', async () => {
    const { answers, inserted } = full();
    const { client, stub } = await open(answers);
    await client.insertBreakpoint({ kind: 'software', address: 0x10n, size: 1 });
    expect(await client.continue()).toMatchObject({ reason: { type: 'software' } });
    expect(stub.seen.filter((request) => /^(?:Z|z|vCont;)/.test(request))).toEqual([
      'Z0,10,1',
      'z0,10,1',
      'vCont;s:p1.1',
      'Z0,10,1',
      'vCont;c',
    ]);
    expect([...inserted]).toEqual(['0,10,1']);
  });

  it('is detached by its process, breakpoints out first', async () => {
    const { answers, inserted } = full();
    const { client, stub } = await open(answers);
    await client.insertBreakpoint({ kind: 'software', address: 0x20n, size: 1 });
    await client.detach();
    expect(inserted.size).toBe(0);
    expect(stub.seen.slice(-2)).toEqual(['z0,20,1', 'D;1']);
  });

  it('joins the output of a monitor command', async () => {
    const { client } = await open(full().answers);
    expect(await client.monitor('info')).toBe('One two');
    await expect(client.monitor('nonsense')).rejects.toMatchObject({ code: 'RSP_UNSUPPORTED' });
  });

  it('is written to only with leave', async () => {
    const reader = await open(full().answers);
    await expect(reader.client.writeMemory(0x10n, Uint8Array.of(1))).rejects.toMatchObject({ code: 'RSP_WRITE_REFUSED' });
    await expect(reader.client.writeRegister('rax', 1n)).rejects.toMatchObject({ code: 'RSP_WRITE_REFUSED' });
    expect(reader.stub.seen.some((request) => /^[MXPG]/.test(request))).toBe(false);

    const writer = await open(full().answers, { allowWrite: true });
    await writer.client.writeMemory(0x10n, new Uint8Array(500).fill(0x2a));
    await writer.client.writeRegister('rax', 0xffn);
    expect(writer.stub.seen).toContain('P0=ff00000000000000');
    expect(writer.stub.seen.filter((request) => request.startsWith('X')).length).toBeGreaterThan(2);
    await expect(writer.client.writeRegister('nosuch', 1n)).rejects.toMatchObject({ code: 'RSP_UNSUPPORTED' });
  });

  it('that dies in mid-handshake is an error, not a wait', async () => {
    const stub = startFakeStub((request) => {
      if (request === '?') stub.hangUp();
      return request === '?' ? [] : '';
    });
    await expect(adoptStub(stub.socket)).rejects.toMatchObject({ code: 'RSP_CLOSED' });
  });
});
