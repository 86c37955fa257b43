import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Crash } from '../../src/model/crash.ts';
import type { Frame } from '../../src/model/frame.ts';
import { readExcerpts } from '../../src/session/source-excerpts.ts';
import { frame } from './crash-facts.ts';

const folder = mkdtempSync(join(tmpdir(), 'unidbg-excerpts-'));
const repository = join(folder, 'repository');
const LINES = Array.from({ length: 100 }, (_, index) => `\tline ${index + 1}`);
mkdirSync(join(repository, 'src'), { recursive: true });
writeFileSync(join(repository, 'src/app.c'), LINES.join('\n'));
writeFileSync(join(folder, 'secret.c'), 'secret\n'.repeat(100));
symlinkSync(join(folder, 'secret.c'), join(repository, 'src/link.c'));
symlinkSync(repository, join(folder, 'alias'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const at = (file: string | null, line: number | null): Frame => ({ ...frame('f', 1), file, line });

function crash(frames: readonly Frame[], guiltyFrame: number | null = null): Crash {
  return {
    ...{
      kind: 'fault',
      title: '',
      message: '',
      signature: '',
      alternatives: [],
      witness: 'console',
      unikernel: null,
      runtime: null,
    },
    ...{ vcpu: null, faultAddress: null, registers: null, frames, guiltyFrame, corrupted: null, consoleLines: null },
  };
}

const read = (frames: readonly Frame[], roots = [repository], guiltyFrame: number | null = null): readonly string[] =>
  readExcerpts([crash(frames, guiltyFrame)], roots, repository).map(
    ({ path, line, firstLine, lines }) => `${path}:${line} ${firstLine}+${lines.length}`,
  );

describe('source excerpts', () => {
  it('are of lines around each frame’s, each place once, cut at the file’s ends', () => {
    expect(read([at('/build/x/src/app.c', 50), at('src/app.c', 1), at('src/app.c', 100), at('src/app.c', 1)])).toEqual([
      'src/app.c:50 44+13',
      'src/app.c:1 1+7',
      'src/app.c:100 94+7',
    ]);
    const [excerpt] = readExcerpts([crash([at('src/app.c', 2)])], [repository], repository);
    expect(excerpt?.lines[0]).toBe('    line 1');
  });

  it('begin with the guilty frame, and end before a recursion has used up all', () => {
    const frames = Array.from({ length: 90 }, (_, index) => at('src/app.c', index + 1));
    const all = read(frames, [repository], 70);
    expect(all[0]).toMatch(/^src\/app\.c:71 /);
    expect(all.length).toBe(40);
  });

  it('are never of a file outside the roots, whatever debug info names', () => {
    const names = ['../secret.c', join(folder, 'secret.c'), 'src/link.c', 'src/../../secret.c', '/etc/passwd', 'src', ''];
    expect(read(names.map((name) => at(name, 1)))).toEqual([]);
  });

  it('are left out where a frame has no line, or one that the file has not', () => {
    expect(read([at(null, null), at('src/app.c', null), at('src/app.c', 0), at('src/app.c', 101), at('src/other.c', 1)])).toEqual(
      [],
    );
  });

  it('are named relative to the repository, also when it is reached through a link; else by their whole path', () => {
    const [inside] = readExcerpts([crash([at('app.c', 9)])], [join(folder, 'alias/src')], join(folder, 'alias'));
    expect(inside?.path).toBe('src/app.c');
    const [outside] = readExcerpts([crash([at('secret.c', 9)])], [folder], repository);
    expect(outside?.path).toMatch(/^\/.*\/secret\.c$/);
  });
});
