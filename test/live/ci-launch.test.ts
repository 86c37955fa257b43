// `unidbg ci` with other launchers than QEMU itself, many runs, QEMU's own death, and ends in mid-run.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BROKEN, commandOf, OTHERS } from '../guests/broken.ts';
import { runUnidbg, startUnidbg } from '../support/cli.ts';

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ci-launch-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** A guest's command line for a shell. */
async function shellLine(name: string): Promise<string> {
  const guest = [...BROKEN, ...OTHERS].find((candidate) => candidate.name === name)!;
  return (await commandOf(guest)).map(quote).join(' ');
}

function script(name: string, ...lines: readonly string[]): string {
  const path = join(folder, name);
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

/** Processes that were started by a `ci` that is over. */
function leftovers(): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`CI_TEST=${folder}`);
      } catch {
        return false;
      }
    });
}

describe('ci watches whatever starts QEMU', () => {
  it.concurrent('a script, with the guest’s crash and line', async () => {
    const path = script('crash.sh', 'echo building', 'qemu-system-x86_64 --version', await shellLine('null'), 'echo unreached');
    const { status, stdout, stderr } = await runUnidbg(['ci', '--', 'sh', path]);
    expect({ status, stderr }).toMatchObject({ status: 4, stderr: expect.stringContaining('building') as string });
    expect(stdout).toMatch(/FAIL {2}fault: null dereference in count_visit \(crash\.c:\d+\)/);
    expect(stdout).toMatch(/#1 +0x[0-9a-f]+ crash_null\+/);
  });

  it.concurrent('a script with several VMs, one after the other, and its own status', async () => {
    const line = await shellLine('healthy');
    const path = script('two.sh', `${line} > ${quote(join(folder, 'said'))}`, line, 'exit 5');
    const { status, stdout } = await runUnidbg(['ci', '--json', '--name', 'two', '--', 'sh', path]);
    const { runs } = JSON.parse(stdout) as { runs: { name: string; passed: boolean; report: { guestExit: unknown } }[] };
    expect({ status, passed: runs.map(({ name, passed }) => [name, passed]) }).toEqual({
      ...{
        status: 1,
        passed: [
          ['two', true],
          ['two, VM 2', false],
        ],
      },
    });
    expect(runs[1]?.report.guestExit).toEqual({ code: 5, how: 'sh ended with status 5' });
    expect(readFileSync(join(folder, 'said'), 'latin1')).toContain('all 20 requests served');
  });

  it.concurrent('and says what QEMU said when it fails, or that there was none', async () => {
    const refused = await runUnidbg(['ci', '--', 'qemu-system-x86_64', '-device', 'no-such-device']);
    expect(refused.status).toBe(3);
    expect(refused.stdout).toMatch(/QEMU failed.*'no-such-device' is not a valid device/s);
    const none = await runUnidbg(['ci', '--', 'echo', 'hello']);
    expect(none.status).toBe(3);
    expect(none.stdout).toMatch(/no qemu-system-… .*hello/s);
  });
});

describe('ci of many runs', () => {
  const brief = async (): Promise<readonly string[]> =>
    (await commandOf(OTHERS[0]!)).map((word) => word.replace('requests=20', 'requests=5'));

  it('gives twenty passes to twenty healthy runs', async () => {
    const many = ['--repeat', '20', '--jobs', '4', '--until', 'exit'];
    const { status, stdout } = await runUnidbg(['ci', ...many, '--', ...(await brief())]);
    expect({ status, last: stdout.trimEnd().split('\n').at(-1) }).toEqual({ status: 0, last: 'unidbg: 20 of 20 runs passed' });
  });

  it('tells the smallest memory that passes', async () => {
    const sizes = ['--matrix-memory', '128M,64M', '--jobs', '2', '--until', 'exit'];
    const { status, stdout } = await runUnidbg(['ci', ...sizes, '--', ...(await brief())]);
    expect({ status, last: stdout.trimEnd().split('\n').at(-1) }).toEqual({
      ...{ status: 0, last: 'unidbg: the smallest memory that passes: 64.0 MiB' },
    });
  });

  it('puts a flaky guest’s crashes together', async () => {
    const counter = quote(join(folder, 'count'));
    const fine = (await brief()).map(quote).join(' ');
    const path = script(
      'flaky.sh',
      `echo >> ${counter}`,
      `if [ $(wc -l < ${counter}) = 2 ]; then ${await shellLine('null')}; else ${fine}; fi`,
    );
    const { status, stdout } = await runUnidbg(['ci', '--repeat', '3', '--until', 'exit', '--', 'sh', path]);
    expect(status).toBe(4);
    expect(stdout).toMatch(/2 of 3 runs passed\n.*1× {2}fault: null dereference in count_visit .*run 2/);
  });
});

describe('ci leaves nothing behind', () => {
  it.concurrent.each([
    ['SIGINT', 130],
    ['SIGKILL', null],
  ] as const)('when it is ended by %s', async (signal, status) => {
    const line = await shellLine('server');
    const path = script(`server-${signal}.sh`, `export CI_TEST=${quote(folder)}`, line);
    const run = startUnidbg(['ci', '--', 'sh', path]);
    for (let turn = 0; turn < 400 && !run.stdout().includes('unikernel up'); turn += 1) await sleep(50);
    run.process.kill(signal);
    const ended = await run.ended;
    expect(ended.status).toBe(status);
    if (signal === 'SIGINT') expect(ended.stdout).toContain('a signal ended it');
  });

  it('at all, of anything above', async () => {
    for (let turn = 0; turn < 100 && leftovers().length > 0; turn += 1) await sleep(50);
    expect(leftovers()).toEqual([]);
  });

  it.concurrent('and tells QEMU’s own death from the guest’s', async () => {
    const path = script('killed.sh', `${await shellLine('server')} & sleep 3; kill -9 $!; wait`);
    const { status, stdout } = await runUnidbg(['ci', '--until', '/never/', '--', 'sh', path]);
    expect({ status, verdict: /FAIL {2}([^,]*) after/.exec(stdout)?.[1] }).toEqual({ status: 3, verdict: 'QEMU failed' });
  });
});
