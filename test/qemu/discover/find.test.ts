// Processes that only look like QEMUs: Node under QEMU's name, which the process table cannot tell from one.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { errorCode, errorMessage } from '../../../src/model/error.ts';
import { findVm, findVms } from '../../../src/qemu/discover/find.ts';
import { findManager, readOpsInstances } from '../../../src/qemu/discover/instances.ts';
import type { VmRecord } from '../../../src/qemu/discover/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'unidbg-find-'));
const children: ChildProcess[] = [];
const savedHome = process.env['OPS_HOME'];

beforeAll(() => {
  mkdirSync(join(folder, '.ops', 'instances'), { recursive: true });
  process.env['OPS_HOME'] = folder;
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
});
afterAll(() => {
  if (savedHome === undefined) delete process.env['OPS_HOME'];
  else process.env['OPS_HOME'] = savedHome;
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a process with QEMU's name and options; resolves when its argument list is there. */
async function pretend(options: readonly string[], stdout: number | 'ignore' | 'pipe' = 'ignore'): Promise<number> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)', '--', 'disk', ...options], {
    argv0: '/usr/bin/qemu-system-x86_64',
    cwd: folder,
    stdio: ['ignore', stdout, 'ignore'],
  });
  children.push(child);
  await new Promise((resolve) => child.once('spawn', resolve));
  return child.pid!;
}

function recordOf(pid: number): VmRecord {
  return findVms().find((vm) => vm.pid === pid)!;
}

function refusalOf(name: string, vms: readonly VmRecord[]): { code: string | null; message: string } {
  try {
    findVm(name, vms);
    return { code: null, message: '' };
  } catch (error) {
    return { code: errorCode(error), message: errorMessage(error) };
  }
}

describe('findVms', () => {
  it('describes a QEMU from its process: relative paths, redirected output, user, machine', async () => {
    const log = openSync(join(folder, 'out.log'), 'w');
    const pid = await pretend(
      ['-name', 'web', '-kernel', 'k.elf', '-qmp', 'unix:q.sock,server=on', '-serial', 'stdio', '-smp', '2'],
      log,
    );
    expect(recordOf(pid)).toMatchObject({
      ...{
        pid,
        uid: process.getuid!(),
        name: 'web',
        namedBy: 'option',
        cwd: folder,
        machine: 'x86_64',
        vcpus: 2,
        memoryBytes: 134217728,
      },
      kernel: join(folder, 'k.elf'),
      monitors: [{ kind: 'qmp', endpoint: { kind: 'unix', path: join(folder, 'q.sock') } }],
      consoles: [{ name: 'serial0', backend: { kind: 'stdio', target: 'file', path: join(folder, 'out.log') } }],
    });
  });

  it('says of each thing what is there or which flag would give it', async () => {
    const bare = recordOf(await pretend(['-S', '-serial', 'stdio'], 'pipe'));
    const sees = Object.fromEntries(bare.sees.map(({ name, available, how }) => [name, `${available ? 'yes' : 'no'}: ${how}`]));
    expect(sees['control']).toContain('no: no monitor socket; start it with -qmp unix:');
    expect(sees['memory']).toContain('no: needs a monitor');
    expect(sees['console']).toMatch(/no: serial0 goes to QEMU's own output \(a (pipe|socket)\).*-serial file:/);
    expect(sees['symbols']).toContain('--symbols ELF');
    expect(sees['gdbstub']).toContain('no: start it with -gdb');

    writeFileSync(join(folder, 'q2.sock'), '');
    const full = recordOf(await pretend(['-qmp', 'unix:q2.sock,server=on', '-serial', 'file:c.log', '-s']));
    expect(full.sees.map(({ name, available }) => [name, available])).toEqual([
      ['control', true],
      ['memory', true],
      ['console', true],
      ['symbols', false],
      ['gdbstub', true],
    ]);
  });

  it('names a VM by its image, by OPS, else by its pid', async () => {
    const image = await pretend(['-kernel', '/images/app.elf']);
    const disk = await pretend(['-drive', 'file=/images/nanos.img,if=none']);
    const ops = await pretend(['-drive', 'file=/images/nanos.img']);
    const bare = await pretend([]);
    writeFileSync(
      join(folder, '.ops', 'instances', String(ops)),
      JSON.stringify({ instance: 'web-1', pid: `${ops}\n`, mgmt: '41234' }),
    );
    writeFileSync(join(folder, '.ops', 'instances', '1'), 'not json');
    expect(recordOf(image)).toMatchObject({ name: 'app.elf', namedBy: 'image' });
    expect(recordOf(disk)).toMatchObject({ name: 'nanos.img', namedBy: 'image' });
    expect(recordOf(ops)).toMatchObject({ name: 'web-1', namedBy: 'ops', managedBy: 'ops' });
    expect(recordOf(bare)).toMatchObject({ name: String(bare), namedBy: 'pid' });
  });

  it('leaves relative paths of a detached QEMU as written: where they began is lost', async () => {
    const pid = await pretend(['-daemonize', '-qmp', 'unix:q.sock,server=on', '-kernel', '/k.elf']);
    expect(recordOf(pid)).toMatchObject({ kernel: '/k.elf', monitors: [{ endpoint: { path: 'q.sock' } }] });
  });

  it('does not fail on processes that end meanwhile', async () => {
    const pids = await Promise.all(Array.from({ length: 5 }, () => pretend(['-S'])));
    for (const child of children) child.kill('SIGKILL');
    for (let index = 0; index < 5; index += 1) expect(() => findVms()).not.toThrow();
    expect(pids).toHaveLength(5);
  });
});

describe('findVm', () => {
  it('takes a pid, a name, or an image’s name without extension; lists the candidates when it cannot choose', async () => {
    const first = recordOf(await pretend(['-kernel', '/a/one.elf']));
    const second = recordOf(await pretend(['-kernel', '/b/two.elf']));
    const third = recordOf(await pretend(['-kernel', '/c/two.elf']));
    const vms = [first, second, third];
    expect(findVm(String(first.pid), vms)).toBe(first);
    expect(findVm('one.elf', vms)).toBe(first);
    expect(findVm('one', vms)).toBe(first);
    const ambiguous = refusalOf('two.elf', vms);
    expect(ambiguous.code).toBe('TARGET_AMBIGUOUS');
    expect(ambiguous.message).toContain(`two.elf (pid ${second.pid}, ${second.user}), two.elf (pid ${third.pid}, ${third.user})`);
    expect(refusalOf('three', vms)).toMatchObject({ code: 'TARGET_NOT_FOUND' });
    expect(refusalOf('three', vms).message).toContain('one.elf (pid');
    expect(refusalOf('three', []).message).toContain('no QEMU that you may see is running');
  });
});

describe('instances of other tools', () => {
  it('knows KraftKit and libvirt by their command lines', () => {
    const uid = '7d2c8f3a-0000-4000-8000-000000000000';
    expect(findManager(['q', '-name', uid, '-pidfile', `/home/u/.local/share/kraftkit/runtime/${uid}/machine.pid`])).toBe(
      'kraft',
    );
    expect(findManager(['q', '-object', 'secret,file=/var/lib/libvirt/qemu/domain-1-x/master-key.aes'])).toBe('libvirt');
    expect(findManager(['q', '-name', 'x', '-pidfile', '/run/x.pid'])).toBeNull();
  });

  it('passes over OPS folders that are not there', () => {
    expect(readOpsInstances(['/nonexistent'])).toEqual(new Map());
  });
});
