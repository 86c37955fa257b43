// A disk of Nanos given to `analyze`: all that is left of a guest that nobody watched.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findNanosDisk } from '../../../src/cli/analyze/nanos-disk.ts';
import { runUnidbg } from '../../support/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'unidbg-nanos-disk-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const DEATH = `
*** signal 11 received by tid 2, errno 0, code 1
    fault address 0x10

*** Thread context:
lastvector: 000000000000000e (Page fault)
     frame: ffffc00001a03c00
      type: thread
active_cpu: 0000000000000000
 stack top: 0000000000000000
error code: 0000000000000004
   address: 0000000000000010

   rax: 0000000000000000
   rip: 00000000004016d5
   core dump
`;

function diskOf(text: string, exitCode: number): string {
  const image = Buffer.alloc(64 * 512);
  image.writeUInt32LE(32, 446 + 8);
  image.writeUInt16LE(0xaa55, 510);
  const at = 32 * 512 - 4096;
  image.write('KLOG', at);
  image.writeInt32LE(exitCode, at + 12);
  image.write(text, at + 16);
  const path = join(folder, `${exitCode}.raw`);
  writeFileSync(path, image);
  return path;
}

describe('a disk of Nanos', () => {
  it('tells the crash and the exit code that its kernel left on it', async () => {
    const { status, stdout } = await runUnidbg(['analyze', '--json', diskOf(DEATH, 11)]);
    expect(status).toBe(4);
    const report = JSON.parse(stdout) as Record<string, unknown>;
    expect(report).toMatchObject({ unikernel: 'nanos', crash: { kind: 'fault', faultAddress: '0x10' }, guestExit: { code: 11 } });
    expect(report['diagnostics']).toContainEqual(expect.objectContaining({ code: 'nanos-disk' }));
  });

  it('says of a program that exited what it exited with, and of a kernel that halted that it did', () => {
    expect(findNanosDisk(diskOf('bye\n', 7))!.exit).toMatchObject({ code: 7 });
    expect(findNanosDisk(diskOf('frame trace:\n', 0x7f))!.exit.how).toContain('halted itself');
  });

  it('is no disk of Nanos when it is a log', () => {
    const log = join(folder, 'console.log');
    writeFileSync(log, DEATH);
    expect([findNanosDisk(log), findNanosDisk('-'), findNanosDisk(join(folder, 'nowhere'))]).toEqual([null, null, null]);
  });
});
