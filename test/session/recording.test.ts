import { appendFileSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../src/model/error.ts';
import type { GuestEvent } from '../../src/model/event.ts';
import { decodeEvent, encodeEvent } from '../../src/session/event-codec.ts';
import { openRecording, RecordingWriter } from '../../src/session/recording.ts';

const directory = mkdtempSync(join(tmpdir(), 'unidbg-recording-'));
let files = 0;
const freshPath = (): string => join(directory, `recording-${(files += 1)}`);

const frame = {
  index: 0,
  pc: 0xffff_ffff_8000_1234n,
  trust: 'cfi' as const,
  cfa: 0x7fffn,
  function: 'f',
  functionOffset: 4,
  file: 'a.c',
  line: 3,
  column: null,
  inlined: false,
  module: 'a.elf',
  status: 'symbolicated' as const,
};

const registers = { machine: 'x86_64' as const, values: { rip: 0xffff_ffff_ffff_ffffn, rax: 0n } };

// One of each type, so that a field added to the model but not to the codec shows here.
const EVENTS: readonly GuestEvent[] = [
  {
    at: 1,
    type: 'identity',
    identity: {
      name: 'demo',
      kind: 'live',
      pid: 12,
      machine: 'x86_64',
      accelerator: 'tcg',
      vcpus: 1,
      memoryBytes: 1024,
      unikernel: null,
      unikernelTitle: null,
      memoryReader: 'a file',
      readStopsGuest: false,
      console: null,
    },
  },
  { at: 2, type: 'vm', status: 'running', reason: null },
  {
    at: 2,
    type: 'images',
    images: [
      {
        path: 'x',
        machine: 'x86_64',
        buildId: null,
        base: 1n,
        end: 2n,
        loadBias: -0x1000n,
        match: 'text',
        placedBy: 'link address',
      },
    ],
  },
  {
    at: 3,
    type: 'console',
    line: { number: 1, source: 's', text: 'hé\u{1F600}', partial: false, notes: [{ start: 0, end: 1, text: 'n' }] },
  },
  { at: 3, type: 'registers', vcpus: [{ vcpu: 0, registers }] },
  {
    at: 3,
    type: 'stacks',
    stacks: [{ name: 'vcpu 0', kind: 'vcpu', id: '0', state: 'running', frames: [frame], end: 'outermost', torn: false }],
  },
  {
    at: 3,
    type: 'threads',
    threads: [
      {
        id: '1',
        name: 'w',
        state: 'blocked',
        waitingFor: 'm',
        blockedBy: '2',
        registers,
        stack: { base: 0x1000n, size: 4096 },
        cpuTimeNs: 5,
      },
    ],
  },
  {
    at: 4,
    type: 'metrics',
    samples: [{ name: 'm', attributes: { a: 'b' }, value: null, unit: 'By', kind: 'gauge', absent: 'why', probe: 'p' }],
  },
  {
    at: 5,
    type: 'crash',
    crash: {
      kind: 'fault',
      title: 't',
      message: 'm',
      alternatives: ['0123456789abcdef'],
      signature: 's',
      witness: 'console',
      unikernel: 'demo',
      runtime: null,
      vcpu: 0,
      faultAddress: 0x10n,
      registers,
      frames: [frame],
      guiltyFrame: 0,
      corrupted: null,
      consoleLines: { first: 1, last: 2 },
    },
  },
  { at: 6, type: 'stopped', vcpu: 0, reason: 'step', frames: [frame] },
  { at: 6, type: 'memory', window: { address: 16n, bytes: new Uint8Array([1, 2, 255]), unreadable: [{ start: 0, end: 1 }] } },
  {
    at: 6,
    type: 'listing',
    place: { pc: 1n, file: 'x.c', line: 1 },
    listing: { kind: 'source', title: 't', lines: [{ number: 1, address: null, text: 'int x;', current: true }] },
  },
  { at: 6, type: 'evaluated', expression: 'x', value: '1', error: null },
  { at: 6, type: 'lost', what: 'bytes', count: 3 },
  { at: 7, type: 'diagnostic', diagnostic: { code: 'c', message: 'm' } },
];

function record(events: readonly GuestEvent[]): string {
  const path = freshPath();
  const writer = new RecordingWriter(path, { unidbg: '0', target: 'demo' });
  for (const event of events) writer.write(event);
  writer.close();
  return path;
}

describe('a recording', () => {
  it('gives back every type of event exactly', () => {
    const reader = openRecording(record(EVENTS));
    expect([...reader.events()]).toEqual(EVENTS);
    expect(reader.header).toEqual({ unidbg: '0', target: 'demo' });
    reader.close();
  });

  it('cut off at any byte gives the events before the cut and says so', () => {
    const whole = record(EVENTS);
    const size = readFileSync(whole).length;
    const header = readFileSync(whole, 'utf8').indexOf('\n') + 1;
    for (let length = header; length < size; length += 7) {
      truncateSync(whole, size - (length - header) - 1);
      const reader = openRecording(whole);
      const events = [...reader.events()].filter((event) => event.type !== 'diagnostic');
      expect(EVENTS.slice(0, events.length)).toEqual(events);
      reader.close();
    }
  });

  it('skips a damaged line, names it, and goes on', () => {
    const path = record(EVENTS.slice(0, 2));
    appendFileSync(path, '{"at":1,"type":"vm","status":"asleep","reason":null}\n');
    appendFileSync(path, `${encodeEvent(EVENTS[3]!)}\n`);
    const events = [...openRecording(path).events()];
    expect(events.map((event) => event.type)).toEqual(['identity', 'vm', 'diagnostic', 'console']);
    expect(JSON.stringify(events[2])).toContain('line 4');
  });

  it('skips a line without end in the time that it takes to read it, and goes on', () => {
    const path = record(EVENTS.slice(0, 2));
    for (let count = 0; count < 30; count += 1) appendFileSync(path, Buffer.alloc(1 << 20, 'x'));
    appendFileSync(path, `\n${encodeEvent(EVENTS[3]!)}\n`);
    const began = performance.now();
    const reader = openRecording(path);
    const places = [...reader.read(reader.start)];
    reader.close();
    expect(places.map(({ event }) => event.type)).toEqual(['identity', 'vm', 'diagnostic', 'console']);
    expect(places.at(-1)!.end).toMatchObject({ position: reader.size, lines: 5 });
    // It took half a minute when each chunk of a line was joined to what was there of it.
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  it('that is none is refused in clear words', () => {
    const path = freshPath();
    writeFileSync(path, 'hello\n');
    expect(() => openRecording(path)).toThrow(/not a recording/);
    expect(() => openRecording(join(directory, 'absent'))).toThrow(/cannot read/);
  });

  it('never overwrites a file', () => {
    const path = record([]);
    expect(() => new RecordingWriter(path, { unidbg: '0', target: 'demo' })).toThrow(/cannot create/);
  });
});

describe('the event codec', () => {
  it('throws nothing but RECORDING_MALFORMED on any line', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        try {
          decodeEvent(line);
        } catch (error) {
          expect(errorCode(error)).toBe('RECORDING_MALFORMED');
        }
      }),
    );
  });
});
