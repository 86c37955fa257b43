// The comparison of compare.ts on a small program: every address of its code, so that a change which makes any answer another one than
// the debug info's, or one that no rule explains, fails. The whole corpus is `npm run compare:symbols`.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Build, buildProgram } from './builds.ts';
import { compareImage } from './compare-image.ts';
import { givenImage, UNREAD_IN_SPLIT } from './corpus.ts';

const folder = mkdtempSync(join(tmpdir(), 'unidbg-oracle-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const SIZE = { c: 3, cpp: 1 };
const ADDRESSES = 8_000;
/** Debuggers, dumping tools and compilers run; twenty seconds on an idle machine. */
const TIMEOUT_MS = 180_000;

const PLAIN: Build = { compiler: 'gcc', flags: ['-gdwarf-5', '-O2'] };
const BUILDS: Readonly<Record<string, Build>> = {
  'DWARF 5, -O2': PLAIN,
  'DWARF 4, -O0': { compiler: 'gcc', flags: ['-gdwarf-4', '-O0'] },
  'DWARF 3, -O3, link-time optimised': { compiler: 'gcc', flags: ['-gdwarf-3', '-O3', '-flto'] },
  'DWARF 5, -O2, split': { compiler: 'gcc', flags: [...PLAIN.flags, '-gsplit-dwarf'] },
  'DWARF 5, -O2, compressed': { ...PLAIN, link: ['-Wl,--compress-debug-sections=zlib'] },
};

describe.each(Object.entries(BUILDS))('%s', (name, build) => {
  it(
    'function, file, line, column and inlined calls are what the debug info says, and every difference from the peers has its reason',
    async () => {
      const path = await buildProgram(build, folder, SIZE);
      // Split and compressed builds have the code of the plain one, whose debug info the dumping tools read without further files.
      const twin = /split|compressed/.test(name) ? await buildProgram(PLAIN, folder, SIZE) : undefined;
      const result = await compareImage(
        givenImage(name, path, twin, name.endsWith('split') ? UNREAD_IN_SPLIT : []),
        ADDRESSES,
        folder,
      );
      expect(result.unclaimed.slice(0, 3)).toEqual([]);
      expect(
        result.peers.filter(({ peer }) => peer !== 'addr2line').flatMap(({ unexplained }) => unexplained.slice(0, 3)),
      ).toEqual([]);
      expect(result.diagnostics).toEqual([]);
      expect(result.addresses).toBe(ADDRESSES);
      expect(result.equalToOne).toBeGreaterThan(result.addresses * 0.9);
    },
    TIMEOUT_MS,
  );
});
