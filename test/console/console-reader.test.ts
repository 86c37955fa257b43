import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConsoleReader } from '../../src/console/console-reader.ts';
import type { ReportedCrash } from '../../src/model/console-text.ts';
import { RUNTIMES } from '../../src/runtimes/index.ts';
import { UNIKERNELS } from '../../src/unikernels/index.ts';
import { printCrashes } from '../panics/print-crash.ts';
import { readConsole } from '../panics/read-console.ts';

const LOGS = join(import.meta.dirname, '../panics/logs');
const names = readdirSync(LOGS);
const logs = names.map((name) => readFileSync(join(LOGS, name)));

function read(bytes: Uint8Array, pieceLength: number): { crashes: ReportedCrash[]; lines: number } {
  const reader = new ConsoleReader({ unikernels: UNIKERNELS, runtimes: RUNTIMES });
  const crashes: ReportedCrash[] = [];
  for (let at = 0; at < bytes.length; at += pieceLength) crashes.push(...reader.push(bytes.subarray(at, at + pieceLength)));
  crashes.push(...reader.end());
  return { crashes, lines: reader.lines };
}

describe('a whole log', () => {
  it.each(names.map((name, index) => [name, logs[index]!] as const))(
    '%s tells the same as line by line, however it is cut',
    (_name, log) => {
      const expected = printCrashes(readConsole(log));
      for (const length of [log.length, 4096, 64]) expect(printCrashes(read(log, length).crashes)).toBe(expected);
    },
  );

  it('of many boots tells the same as line by line', () => {
    const some = fc.array(fc.constantFrom(...logs), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(
        some,
        fc.constantFrom('', 'half a line ', '\u001b[31m', '\r', '\0'),
        fc.integer({ min: 100, max: 70_000 }),
        (parts, glue, length) => {
          const bytes = Buffer.concat(parts.flatMap((part) => [part, Buffer.from(glue)]));
          expect(printCrashes(read(bytes, length).crashes)).toBe(printCrashes(readConsole(bytes)));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('numbers lines as an editor does', () => {
    const bytes = Buffer.from(`${'healthy é\n'.repeat(5000)}${'x'.repeat(50_000)}\nSolo5: solo5_abort() called\nlast`);
    expect(read(bytes, 65_536)).toMatchObject({ crashes: [{ firstLine: 5002 }], lines: 5003 });
    expect(read(bytes, 1000)).toMatchObject({ crashes: [{ firstLine: 5002 }], lines: 5003 });
  });

  it('with a line of a megabyte is read, and the crash behind it told', () => {
    const megabyte = 'at /a/b.js:12 Solo5: panic '.repeat(40_000);
    for (const before of ['', 'Solo5: solo5_abort() called\n']) {
      const bytes = Buffer.from(`${before}${megabyte}\n${'x'.repeat(2 ** 20)}\nterminate called recursively\n`);
      const expected = printCrashes(readConsole(bytes));
      expect(expected).toContain('cpp/terminate');
      for (const length of [bytes.length, 65_536, 1000]) expect(printCrashes(read(bytes, length).crashes)).toBe(expected);
    }
  });

  it('in which control functions cut the words of a first line tells them', () => {
    for (const hidden of ['\u001b[1m', '\0', '\u0007', '\u009b31m'])
      expect(read(Buffer.from(`a\nSolo5: solo5_ab${hidden}ort() called\n`), 4096).crashes).toHaveLength(1);
    expect(read(Buffer.from('a\n50%\rSolo5: solo5_abort() called\n'), 4096).crashes).toHaveLength(1);
  });

  it('says on which line before a crash its words stood, though that line was passed by', () => {
    const said = 'page fault outside application, addr: 0x0000000000000018';
    const dump = '[registers]\nRIP: 0x00000000402d3fa9 <memcpy+9>\nRFL: 0x0000000000000246  CS:  0x0000000000000008\n';
    const log = Buffer.from(`${'healthy\n'.repeat(100)}[    0.1] ${said}\n${dump}`);
    for (const length of [log.length, 100, 7])
      expect(read(log, length).crashes).toMatchObject([{ message: said, faultAddress: 0x18n }]);
  });
});
