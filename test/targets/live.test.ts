// The live target over a QEMU that is made of canned answers; the real ones are in test/live.

import { afterEach, describe, expect, it } from 'vitest';
import { errorCode } from '../../src/model/error.ts';
import { type LiveTarget, openLive } from '../../src/targets/live.ts';
import { type FakeQmp, type FakeRequest, startFakeQmp } from '../support/fake-qmp.ts';
import { MTREE_Q35_6G, REGISTERS_7_2 } from '../support/hmp-texts.ts';

let fake: FakeQmp | null = null;
let target: LiveTarget | null = null;

afterEach(async () => {
  target?.close();
  await fake?.close();
  [fake, target] = [null, null];
});

const QMP: Readonly<Record<string, unknown>> = {
  'query-target': { arch: 'x86_64' },
  'query-status': { status: 'running', running: true },
  'query-name': {},
  'query-kvm': { enabled: false, present: true },
  'query-memory-size-summary': { 'base-memory': 6442450944 },
};

function answerHmp(line: string, changes: Readonly<Record<string, string>>): string {
  const changed = Object.entries(changes).find(([start]) => line.startsWith(start));
  if (changed !== undefined) return changed[1];
  if (line === 'info registers -a') return REGISTERS_7_2;
  if (line === 'info mtree -f') return MTREE_Q35_6G;
  const words = /^xp \/(\d+)gx /.exec(line)?.[1];
  return words === undefined ? '' : `0000000000000000: ${'0x1111111111111111 '.repeat(Number(words))}`;
}

async function open(changes: Readonly<Record<string, string>> = {}): Promise<{ target: LiveTarget; fake: FakeQmp }> {
  fake = await startFakeQmp((request: FakeRequest) => {
    const value =
      request.execute === 'human-monitor-command'
        ? answerHmp(request.arguments!['command-line'] as string, changes)
        : (QMP[request.execute] ?? {});
    return `${JSON.stringify({ return: value, id: request.id })}\r\n`;
  });
  target = await openLive({ endpoint: fake.endpoint });
  return { target, fake };
}

function count(requests: readonly FakeRequest[], line: string): number {
  return requests.filter((request) => request.arguments?.['command-line'] === line).length;
}

describe('a live target', () => {
  it('has what QEMU told while attaching', async () => {
    const live = await open();
    expect(live.target.facts).toMatchObject({
      machine: 'x86_64',
      vcpus: 2,
      pid: null,
      accelerator: 'tcg',
      memoryBytes: 6442450944,
      qemuVersion: '7.2.22',
    });
    expect(live.target.vcpus()).toEqual([0, 1]);
    expect(live.target.state().status).toBe('running');
  });

  it('asks once for the registers of all vCPUs that are wanted at one moment, and anew at the next', async () => {
    const { target: live, fake: qemu } = await open();
    const before = count(qemu.requests, 'info registers -a');
    await Promise.all([live.registers(0), live.registers(1), live.allRegisters()]);
    expect(count(qemu.requests, 'info registers -a')).toBe(before + 1);
    await live.registers(0);
    expect(count(qemu.requests, 'info registers -a')).toBe(before + 2);
  });

  it('never tells QEMU to stop while it attaches, reads and closes', async () => {
    const { target: live, fake: qemu } = await open();
    await live.memory((await live.allRegisters())[1]!.registers).walk((memory) => memory.read(0x1000n, 16));
    live.close();
    expect(qemu.requests.map(({ execute }) => execute)).not.toContain('stop');
  });

  it('reads through the monitor when the process is not known, and says so', async () => {
    const { target: live } = await open();
    expect(live.describe().map(({ code, message }) => `${code}: ${message}`)).toEqual([
      'memory-reader: guest memory is read through the monitor (HMP xp)',
      expect.stringMatching(/^memory-reader-refused: ram-file not used: the QEMU process is not known here/),
      'memory-reader-refused: process-memory not used: the QEMU process is not known here',
    ]);
  });

  it('attaches without memory when there is none to be had, and says so', async () => {
    const { target: live } = await open({ 'info mtree -f': 'unknown command' });
    expect(live.facts.memoryReader).toBeNull();
    expect(live.describe()).toEqual([{ code: 'memory-unreadable', message: expect.stringContaining('shows no RAM') as string }]);
    const registers = await live.registers(0);
    expect(codeOf(() => live.memory(registers))).toBe('MEMORY_UNREADABLE');
  });

  it('is told that registers cannot be had', async () => {
    const { target: live } = await open({ 'info registers': 'nothing here' });
    expect(await live.registers(0).catch((error: unknown) => errorCode(error))).toBe('REGISTERS_UNREADABLE');
  });

  it('reads the layout anew after a reset, when firmware has moved things', async () => {
    const { target: live, fake: qemu } = await open();
    const before = count(qemu.requests, 'info mtree -f');
    qemu.write('{"event": "RESET", "data": {"guest": true, "reason": "guest-reset"}}\r\n');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(count(qemu.requests, 'info mtree -f')).toBe(before + 1);
    expect(live.state()).toMatchObject({ status: 'running', event: 'RESET' });
  });
});

function codeOf(body: () => unknown): string | null {
  try {
    body();
    return null;
  } catch (error) {
    return errorCode(error);
  }
}
