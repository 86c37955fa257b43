import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CrashReader } from '../../src/console/crash-reader.ts';
import { RUNTIMES } from '../../src/runtimes/index.ts';
import { UNIKERNELS } from '../../src/unikernels/index.ts';
import { readConsole, readText } from '../panics/read-console.ts';

const LOGS = join(import.meta.dirname, '../panics/logs');
const logs = readdirSync(LOGS).map((name) => readFileSync(join(LOGS, name)));

function newReader(unikernel: string | null = null): CrashReader {
  return new CrashReader({ unikernels: UNIKERNELS, runtimes: RUNTIMES, unikernel });
}

function line(text: string, partial = false, continuation = false): { text: string; partial: boolean; continuation: boolean } {
  return { text, partial, continuation };
}

describe('a crash', () => {
  it('that has no last line is told when the console is quiet', () => {
    const reader = newReader();
    expect(reader.push(line('Solo5: ABORT: mem.c:54: Not enough memory'), 7)).toEqual([]);
    expect(reader.pending).toBe(true);
    expect(reader.quiet()).toMatchObject([{ kind: 'out-of-memory', firstLine: 7, lastLine: 7 }]);
    expect(reader.pending).toBe(false);
    expect(reader.quiet()).toEqual([]);
    expect(reader.settle()).toEqual([]);
  });

  // Node prints a thrown value that is no error, and after a while the line that tells that it died of it.
  const thrown = ['/app/server.js:3', "throw 'no';", '^', 'no'];

  it('that is none before its last line came is waited for while the console is quiet', () => {
    const reader = newReader();
    thrown.forEach((text, index) => {
      expect([...reader.push(line(text), index + 1), ...reader.quiet()], text).toEqual([]);
    });
    expect(reader.pending).toBe(true);
    reader.push(line(''), 5);
    reader.push(line('Node.js v24.4.1'), 6);
    expect(reader.quiet()).toMatchObject([{ grammar: 'v8/uncaught-error', firstLine: 1, lastLine: 6 }]);
    expect(reader.pending).toBe(false);
  });

  it('that is none until the console has ended, or goes on with other text, is none', () => {
    const reader = newReader();
    for (const text of ['/app/server.js:3', 'a line of code']) {
      reader.push(line(text), 1);
      expect(reader.quiet()).toEqual([]);
    }
    expect(reader.settle()).toEqual([]);
    expect(reader.pending).toBe(false);
    reader.push(line('/app/server.js:3'), 1);
    reader.quiet();
    for (let number = 2; number < 100; number += 1) expect(reader.push(line('another line'), number)).toEqual([]);
    expect(reader.pending).toBe(false);
  });

  it('whose first line was flushed in pieces is read as one line', () => {
    const reader = newReader();
    reader.push(line('Solo5: solo5_', true), 3);
    reader.push(line('abort() called', false, true), 4);
    expect(reader.settle()).toMatchObject([{ kind: 'abort', firstLine: 3 }]);
  });

  it('in a line that never ended is told when the console is quiet', () => {
    const reader = newReader();
    reader.push(line('Solo5: solo5_abort() called', true), 3);
    expect(reader.pending).toBe(true);
    expect(reader.quiet()).toHaveLength(1);
  });

  it('of another system is not listened for once the unikernel is known', () => {
    expect(readText('Solo5: solo5_abort() called\n', { unikernel: 'nanos' })).toEqual([]);
    expect(readText('Solo5: solo5_abort() called\n', { unikernel: 'solo5' })).toHaveLength(1);
  });

  it('of a language is heard in any unikernel', () => {
    const [crash] = readText('Fatal error: exception Not_found\n', { unikernel: 'solo5' });
    expect(crash).toMatchObject({ unikernel: 'solo5', runtime: 'ocaml', kind: 'exception' });
  });
});

describe('the unikernel', () => {
  it('is known from its banner', () => {
    const reader = newReader();
    reader.push(line('Solo5: Bindings version v0.12.1'), 1);
    expect(reader.unikernel).toBe('solo5');
  });

  it('that boots again ends the crash before it', () => {
    const crashes = readText(
      'Solo5: trap: type=#PF ec=0x2 rip=0x1 rsp=0x2 rflags=0x3\nSolo5: Bindings version v1\nSolo5: solo5_exit(0) called\n',
    );
    expect(crashes).toMatchObject([{ kind: 'fault', corrupted: 'the text breaks off before its last line', lastLine: 1 }]);
  });
});

describe('storms', () => {
  it('of a recursive crash printer are one crash, bounded, and say so', () => {
    const storm = `Cannot handle write page fault at 0xe20 (ec: 0x2): Bad address (14).\n${'base is 0x1030 caller is 0x11b790\n'.repeat(20_000)}`;
    const crashes = readText(storm);
    expect(crashes).toHaveLength(1);
    expect(crashes[0]?.frames).toHaveLength(1);
    expect(crashes[0]?.corrupted).toContain('longer than any crash');
  });

  it('of crashes inside crashes are cut after the fifth', () => {
    const fault = 'Cannot handle write page fault at 0xe20 (ec: 0x2): Bad address (14).\nRIP: 000000000011b77f CS: 0008\n';
    const crashes = readText(fault.repeat(5000));
    expect(crashes).toHaveLength(5);
    expect(crashes[0]?.corrupted).not.toContain('printed inside');
    expect(crashes[1]?.corrupted).toContain('printed inside');
  });

  it('of whole crashes are cut after sixty-four, until the next boot', () => {
    const abort = 'Solo5: solo5_abort() called\nSolo5: Halted\nbye\n';
    expect(readText(abort.repeat(500))).toHaveLength(64);
    expect(readText(`${abort.repeat(100)}Solo5: Bindings version v1\n${abort}`)).toHaveLength(65);
  });
});

describe('hostile consoles', () => {
  it('random bytes tell of nothing and do no harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        expect(readConsole(bytes)).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  it('mutated logs are read without an error, the same in pieces', () => {
    const mutation = fc.record({
      log: fc.integer({ min: 0, max: logs.length - 1 }),
      cutFrom: fc.double({ min: 0, max: 1, noNaN: true }),
      cutTo: fc.double({ min: 0, max: 1, noNaN: true }),
      flips: fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 255 })), { maxLength: 20 }),
    });
    fc.assert(
      fc.property(mutation, ({ log, cutFrom, cutTo, flips }) => {
        const whole = logs[log]!;
        const bytes = Uint8Array.from(
          whole.subarray(Math.floor(cutFrom * whole.length * 0.3), Math.ceil((0.3 + cutTo * 0.7) * whole.length)),
        );
        for (const [at, value] of flips)
          if (bytes.length > 0) bytes[Math.min(Math.floor(at * bytes.length), bytes.length - 1)] = value;
        const crashes = readConsole(bytes);
        expect(readConsole(bytes, { pieceLength: 61 })).toEqual(crashes);
        for (const crash of crashes) expect(crash.lastLine).toBeGreaterThanOrEqual(crash.firstLine);
      }),
      { numRuns: 200 },
    );
  });

  it('every truncation of a log is read without an error', () => {
    const log = readFileSync(join(LOGS, 'nanos-node-abort.log'));
    for (let length = 0; length < log.length; length += 7) readConsole(log.subarray(0, length));
  });

  it('lines of a megabyte made for backtracking take no time', () => {
    const bait = [
      'base is 0x',
      '*** signal ',
      'panic: ',
      'Fatal error: exception ',
      '[    0.',
      'CRIT: [lib] <',
      '0x',
      'a(',
      '\t',
      ' ',
      '(XEN) ',
      'Solo5: ABORT: Assertion `',
      '{r:',
      '^',
      '0000000000000000: ',
    ];
    for (const word of bait) {
      const started = performance.now();
      readText(
        `PANIC: x cpu 0 thread y\n${word.repeat(Math.ceil(1e6 / word.length))}\n${word}${'a'.repeat(1e6)}\n${'x '.repeat(5e5)}${word}\n`,
      );
      expect(performance.now() - started).toBeLessThan(2000);
    }
  });

  it('no pattern of any system takes long on any repeated text', () => {
    const systems = [...UNIKERNELS, ...RUNTIMES];
    const patterns = systems.flatMap((texts) => [
      ...(texts.prefix === undefined ? [] : [texts.prefix]),
      ...(texts.halt === undefined ? [] : [texts.halt]),
      ...(texts.omens ?? []).map((omen) => omen.pattern),
      ...texts.crashes.flatMap((grammar) => [
        grammar.start,
        ...(grammar.end === undefined ? [] : [grammar.end]),
        ...grammar.lines.map((one) => one.pattern),
      ]),
    ]);
    const texts = ['a', '0', ' ', '(', ': ', 'a.b', '0x', 'at (', '  1: '].map((unit) =>
      unit.repeat(Math.floor(16_384 / unit.length)),
    );
    for (const pattern of patterns) {
      const started = performance.now();
      for (const text of texts)
        for (const prefix of ['', '    at ', ' 1: 0x1 ', 'panic: ', '\tfile']) pattern.test(prefix + text);
      expect(performance.now() - started, String(pattern)).toBeLessThan(500);
    }
  });
});

describe('the grammars', () => {
  const grammars = [...UNIKERNELS, ...RUNTIMES].flatMap((texts) =>
    texts.crashes.map((grammar) => ({ name: `${texts.name}/${grammar.name}`, grammar })),
  );

  it.each(grammars)('$name begins at the start of the line, without flags or named groups', ({ grammar }) => {
    expect(grammar.start.source.startsWith('^')).toBe(true);
    expect(grammar.start.flags).toBe('');
    expect(grammar.start.source).not.toMatch(/\(\?<\w/);
    expect(grammar.source).not.toBe('');
  });

  it('have names of their own', () => {
    expect(new Set(grammars.map(({ name }) => name)).size).toBe(grammars.length);
  });
});

describe('a first line that several systems print', () => {
  const trace = '\n[backtrace]\n0x000000004039c2bc <mmu::procfs_maps()+60>\n';

  it('is of the one whose text goes on so', () => {
    const said = 'Assertion failed: px != 0 (/usr/include/boost/smart_ptr/intrusive_ptr.hpp: operator->: 199)\n';
    expect(readText(said + trace)).toMatchObject([{ grammar: 'osv/assert', frames: [{ function: 'mmu::procfs_maps()' }] }]);
    const panic = 'panic: kernel diagnostic assertion "x" failed: file "a.c", line 1 \nrump kernel halting...\nhalted\n';
    expect(readText(panic)).toMatchObject([{ grammar: 'rumprun/panic', kind: 'assert' }]);
    expect(readText('panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n')).toMatchObject([{ grammar: 'go/panic' }]);
  });

  it('is no crash when nobody’s text goes on', () => {
    expect(readText('panic: a word\nstill alive\n')).toEqual([]);
  });
});

describe('a crash that somebody quotes', () => {
  const quotations: readonly (readonly [string, (line: string, number: number) => string])[] = [
    ['grep', (line, number) => `logs/a.log:${String(number)}:${line}`],
    ['a mail', (line) => `> ${line}`],
    ['cat -n', (line, number) => `${String(number).padStart(6)}  ${line}`],
    ['a comment', (line) => `// ${line}`],
    ['JSON', (line) => JSON.stringify({ level: 'error', message: line })],
    ['a log of its own', (line) => `2026-11-21T03:41:31Z INFO worker: guest said "${line}"`],
  ];

  it.each(quotations)('by %s is none', (_by, quote) => {
    for (const log of logs.filter(({ length }) => length < 8192)) {
      const lines = log.toString('latin1').split(/\r*\n/);
      expect(readText(lines.map((text, index) => quote(text, index + 1)).join('\n'))).toEqual([]);
    }
  });
});

describe('a language’s text and the kernel’s around it', () => {
  const native = '----- Native stack trace -----\n\n 1: 0xd3a3c0 node::Abort() [node]\n 2: 0xf50bdf  [node]\n\n';
  const kernel = (trace: string): string =>
    `*** signal 6 received by tid 2, errno 0, code -6\n\n*** Thread context:\n   rip: 0000000132c37eec\nframe trace:\n${trace}   core dump\n`;
  const row = (slot: string, address: string): string => `${slot.padStart(16, '0')}:   ${address.padStart(16, '0')}\n`;

  it('are one crash with one stack: the kernel adds where it stopped and the frames further out', () => {
    const trace = row('1000', 'd3a3c0') + row('1010', 'f50bdf') + row('1020', '195e376') + row('1030', '8c0123');
    const crashes = readText(native + kernel(trace));
    expect(crashes).toHaveLength(1);
    expect(crashes[0]?.frames.map(({ address }) => address)).toEqual([0x132c37eecn, 0xd3a3c0n, 0xf50bdfn, 0x195e376n, 0x8c0123n]);
  });

  it('of which the kernel walked another stack, keep the language’s', () => {
    const crashes = readText(native + kernel(row('1000', '4015f2') + row('1010', '401620')));
    expect(crashes).toHaveLength(1);
    expect(crashes[0]?.frames.map(({ address }) => address)).toEqual([0x132c37eecn, 0xd3a3c0n, 0xf50bdfn]);
  });
});
