import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRspError } from '../../gdbstub/error.ts';
import { decodeHex, encodeHex, encodeLatin1 } from '../../gdbstub/framing/bytes.ts';
import { encodeInsertBreakpoint, encodeRemoveBreakpoint } from '../../gdbstub/packets/breakpoints.ts';
import { decodeFeatures, packetSize } from '../../gdbstub/packets/features.ts';
import {
  decodeBinary,
  decodeMemory,
  encodeReadMemory,
  encodeWriteBinary,
  encodeWriteMemory,
} from '../../gdbstub/packets/memory.ts';
import { decodeMonitorEnd, encodeMonitor } from '../../gdbstub/packets/monitor.ts';
import { decodeRegisters } from '../../gdbstub/packets/registers.ts';
import { expectOk, expectText } from '../../gdbstub/packets/reply.ts';
import { classifyResume, decodeVContActions, encodeResume, encodeVCont } from '../../gdbstub/packets/resume.ts';
import { decodeOutput, decodeStopReply, isStopReply } from '../../gdbstub/packets/stop-reply.ts';
import { decodeThreadInfo, decodeThreads, parseThreadId } from '../../gdbstub/packets/threads.ts';
import { decodeTransfer } from '../../gdbstub/packets/transfer.ts';

function bytes(text: string): Uint8Array {
  return encodeLatin1(text);
}

/** The code of the RspError that `body` throws. */
function codeOf(body: () => unknown): string | null {
  try {
    body();
    return null;
  } catch (error) {
    return isRspError(error) ? error.code : String(error);
  }
}

describe('replies', () => {
  it('tell an error, an unknown packet and an answer apart', () => {
    expect(codeOf(() => expectText(bytes('E14'), 'm0,1'))).toBe('RSP_REFUSED');
    expect(codeOf(() => expectText(bytes('E.no such thing'), 'm0,1'))).toBe('RSP_REFUSED');
    expect(codeOf(() => expectText(bytes(''), 'm0,1'))).toBe('RSP_UNSUPPORTED');
    expect(
      codeOf(() => {
        expectOk(bytes('1'), 'D');
      }),
    ).toBe('RSP_MALFORMED');
    // Hex data that starts with e is no error.
    expect(expectText(bytes('e1405a'), 'g')).toBe('e1405a');
  });
});

describe('memory packets', () => {
  it('are hex without prefix', () => {
    expect(encodeReadMemory(0xffff_8000_0000_1000n, 4096)).toBe('mffff800000001000,1000');
    expect(encodeWriteMemory(0x1000n, Uint8Array.of(0xcc, 1))).toBe('M1000,2:cc01');
    expect(encodeWriteBinary(0x1000n, Uint8Array.of(0x23, 0xff))).toEqual(bytes('X1000,2:#\xff'));
  });

  it('take fewer bytes than asked for, never more', () => {
    expect(decodeMemory(bytes('0102'), 'm0,4', 4)).toEqual(Uint8Array.of(1, 2));
    expect(codeOf(() => decodeMemory(bytes('0102'), 'm0,1', 1))).toBe('RSP_MALFORMED');
    expect(decodeBinary(bytes('b\x01\x02'), 'x0,2', 2)).toEqual(Uint8Array.of(1, 2));
    expect(codeOf(() => decodeBinary(bytes('b\x01\x02'), 'x0,1', 1))).toBe('RSP_MALFORMED');
    expect(codeOf(() => decodeBinary(bytes(''), 'x0,1', 1))).toBe('RSP_UNSUPPORTED');
  });

  it('give hex back as the bytes it was made of', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (data) => {
        expect(decodeHex(encodeHex(data))).toEqual(data);
      }),
    );
  });
});

describe('registers', () => {
  it('that the stub cannot have are marked unknown', () => {
    const file = decodeRegisters(bytes('0100xxxx'), 'g');
    expect([...file.bytes]).toEqual([1, 0, 0, 0]);
    expect([...file.known]).toEqual([1, 1, 0, 0]);
  });
});

describe('breakpoints', () => {
  it.each([
    ['software', 'Z0,201000,1'],
    ['hardware', 'Z1,201000,1'],
    ['write', 'Z2,201000,1'],
    ['read', 'Z3,201000,1'],
    ['access', 'Z4,201000,1'],
  ] as const)('%s is %s', (kind, text) => {
    expect(encodeInsertBreakpoint({ kind, address: 0x201000n, size: 1 })).toBe(text);
    expect(encodeRemoveBreakpoint({ kind, address: 0x201000n, size: 1 })).toBe(`z${text.slice(1)}`);
  });
});

describe('resuming', () => {
  it('names the thread, and what the others do', () => {
    expect(encodeVCont({ type: 'step', signal: null }, 'p1.2')).toBe('vCont;s:p1.2');
    expect(encodeVCont({ type: 'step', signal: null }, '2', 'run')).toBe('vCont;s:2;c');
    expect(encodeVCont({ type: 'continue', signal: 11 }, null)).toBe('vCont;C0b');
    expect(encodeResume({ type: 'step', signal: 5 })).toBe('S05');
    expect([...decodeVContActions('vCont;c;C;s;S')]).toEqual(['c', 'C', 's', 'S']);
    expect(decodeVContActions('').size).toBe(0);
  });

  it.each([
    ['c', 'continue'],
    ['c201000', 'continue'],
    ['C05', 'continue'],
    ['s', 'step'],
    ['vCont;c', 'continue'],
    ['vCont;s:1', 'step'],
    ['vCont;s:1;c', 'step'],
    ['vCont;r1,2:1', 'step'],
    ['vCont?', null],
    ['qC', null],
    ['g', null],
  ])('%s is known for what it does: %s', (text, kind) => {
    expect(classifyResume(text)).toBe(kind);
  });
});

describe('stop replies', () => {
  it('say signal, thread and reason', () => {
    expect(decodeStopReply('T05thread:p01.02;watch:207000;core:1;')).toEqual({
      type: 'stopped',
      signal: 5,
      thread: 'p01.02',
      reason: { type: 'write', address: 0x207000n },
      registers: new Map(),
      core: 1,
    });
    expect(decodeStopReply('T05swbreak:;thread:1;')).toMatchObject({ reason: { type: 'software', name: 'swbreak' } });
    expect(decodeStopReply('T05hwbreak:;')).toMatchObject({ reason: { type: 'hardware' }, thread: null });
  });

  it('may bring registers along, unknown ones left out', () => {
    const stop = decodeStopReply('T0506:0000000000000000;07:f0e7ffffff7f0000;10:xxxxxxxx;thread:1;');
    expect(stop).toMatchObject({
      registers: new Map([
        [6, new Uint8Array(8)],
        [7, Uint8Array.of(0xf0, 0xe7, 0xff, 0xff, 0xff, 0x7f, 0, 0)],
      ]),
    });
  });

  it('are S, W, X and N too, and unknown pairs are passed over', () => {
    expect(decodeStopReply('S0b')).toMatchObject({ type: 'stopped', signal: 11 });
    expect(decodeStopReply('W2a;process:1')).toEqual({ type: 'exited', status: 42 });
    expect(decodeStopReply('X09')).toEqual({ type: 'killed', signal: 9 });
    expect(decodeStopReply('N')).toEqual({ type: 'no-resumed' });
    expect(decodeStopReply('T05something:new;thread:1;')).toMatchObject({ thread: '1' });
    expect(codeOf(() => decodeStopReply('OK'))).toBe('RSP_MALFORMED');
  });

  it('are told from answers that begin alike', () => {
    for (const text of ['T05thread:01;', 'S05', 'W00', 'X09', 'N']) expect(isStopReply(text)).toBe(true);
    for (const text of ['OK', '', 'E01', 'PacketSize=1000', 'l<target>', '00ff', 'QC1', 'O4142'])
      expect(isStopReply(text)).toBe(false);
  });

  it('leave output to O, which is not OK', () => {
    expect(decodeOutput('O48690a')).toBe('Hi\n');
    expect(decodeOutput('OK')).toBeNull();
    expect(decodeOutput('T05')).toBeNull();
  });
});

describe('threads', () => {
  it('come in parts', () => {
    expect(decodeThreads('mp01.01,p01.02')).toEqual({ threads: ['p01.01', 'p01.02'], last: false });
    expect(decodeThreads('l')).toEqual({ threads: [], last: true });
  });

  it('of gdbsx come in one packet that also ends the list, counted from 0', () => {
    expect(decodeThreads('m0l')).toEqual({ threads: ['0'], last: true });
    expect(decodeThreads('')).toEqual({ threads: [], last: true });
    expect(parseThreadId('0')).toEqual({ process: null, thread: 0n });
    expect(parseThreadId('p1.2')).toEqual({ process: 1n, thread: 2n });
  });

  it('have a name when the stub gives one', () => {
    expect(decodeThreadInfo(encodeHex(bytes('CPU#0 [running]')))).toBe('CPU#0 [running]');
    expect(decodeThreadInfo('')).toBeNull();
    expect(decodeThreadInfo('E01')).toBeNull();
  });
});

describe('features', () => {
  it('are flags and values; an absurd packet size is not believed', () => {
    const features = decodeFeatures('PacketSize=1000;qXfer:features:read+;vContSupported-;qXfer:auxv:read?');
    expect([...features]).toEqual([
      ['PacketSize', '1000'],
      ['qXfer:features:read', true],
      ['vContSupported', false],
    ]);
    expect(packetSize(features)).toBe(0x1000);
    expect(packetSize(decodeFeatures('PacketSize=ffffffff'))).toBe(65_536);
    expect(packetSize(decodeFeatures('PacketSize=1'))).toBe(400);
    expect(packetSize(decodeFeatures(''))).toBe(400);
  });
});

describe('transfers and monitor commands', () => {
  it('say whether more is to come', () => {
    expect(decodeTransfer(bytes('mabc'), 'q')).toEqual({ data: bytes('abc'), last: false });
    expect(decodeTransfer(bytes('l'), 'q')).toEqual({ data: bytes(''), last: true });
    expect(codeOf(() => decodeTransfer(bytes('E00'), 'q'))).toBe('RSP_REFUSED');
    expect(encodeMonitor('info é')).toBe('qRcmd,696e666f20c3a9');
    expect(decodeMonitorEnd(bytes('OK'), 'q')).toBe('');
    expect(decodeMonitorEnd(bytes('4869'), 'q')).toBe('Hi');
  });
});

describe('every decoder', () => {
  const decoders: readonly (readonly [string, (reply: Uint8Array, text: string) => unknown])[] = [
    ['memory', (reply) => decodeMemory(reply, 'm', 8)],
    ['binary memory', (reply) => decodeBinary(reply, 'x', 8)],
    ['registers', (reply) => decodeRegisters(reply, 'g')],
    ['stop reply', (_, text) => decodeStopReply(text)],
    ['output', (_, text) => decodeOutput(text)],
    ['threads', (_, text) => decodeThreads(text)],
    ['thread info', (_, text) => decodeThreadInfo(text)],
    ['features', (_, text) => packetSize(decodeFeatures(text))],
    ['transfer', (reply) => decodeTransfer(reply, 'q')],
    ['monitor', (reply) => decodeMonitorEnd(reply, 'q')],
  ];

  it.each(decoders)('of %s throws nothing but RspError, on any bytes', (_, decode) => {
    const likely = fc.stringMatching(/^[TSWXNOEmlbx0-9a-f:;,.p+=-]{0,30}$/);
    fc.assert(
      fc.property(fc.oneof(likely, fc.string({ unit: 'binary' })), (text) => {
        expect(codeOf(() => decode(bytes(text), text)) ?? 'RSP_').toMatch(/^RSP_/);
      }),
    );
  });
});
