import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeFolder } from '../../src/cli/report-files.ts';
import { errorCode } from '../../src/model/error.ts';

it('a folder for reports is made with those that it is in, or refused at once', () => {
  const root = mkdtempSync(join(tmpdir(), 'unidbg-reports-'));
  try {
    makeFolder(join(root, 'a/b/c'));
    makeFolder(join(root, 'a/b/c'));
    expect(existsSync(join(root, 'a/b/c'))).toBe(true);
    writeFileSync(join(root, 'file'), '');
    // mkdirSync's `recursive` never comes back from /proc.
    for (const path of [join(root, 'file'), join(root, 'file/x'), '/proc/x', '/proc/x/y']) {
      let code: string | null = 'none';
      try {
        makeFolder(path);
      } catch (error) {
        code = errorCode(error);
      }
      expect([path, code]).toEqual([path, 'FILE_UNWRITABLE']);
    }
  } finally {
    rmSync(root, { recursive: true });
  }
});
