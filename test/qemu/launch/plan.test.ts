import { describe, expect, it } from 'vitest';
import { errorCode } from '../../../src/model/error.ts';
import { type LaunchPlan, planLaunch } from '../../../src/qemu/launch/plan.ts';

const QMP = '-qmp unix:/p/qmp.sock,server=on,wait=off';
const MEMFD = '-object memory-backend-memfd,id=unidbg-ram,share=on,size=134217728 -machine memory-backend=unidbg-ram';
const PANIC = '-device pvpanic';
const ACTION = '-action panic=pause,shutdown=pause,reboot=shutdown';

function plan(text: string): LaunchPlan {
  return planLaunch(`qemu-system-x86_64 ${text}`.trim().split(' '), '/p');
}

function planned(text: string): string {
  return plan(text).argv.slice(1).join(' ');
}

describe('planLaunch', () => {
  it('adds a QMP socket, shared RAM, pvpanic, and a memory that outlives the guest', () => {
    expect(planned('-nodefaults -kernel k -m 128M')).toBe(`-nodefaults -kernel k -m 128M ${QMP} ${MEMFD} ${PANIC} ${ACTION}`);
    expect(plan('-nodefaults').staysWhenDead).toBe(true);
  });

  it('says in a sentence what each flag is for', () => {
    const flags = plan('-serial stdio').additions.flatMap((addition) => addition.flags);
    for (const word of plan('-serial stdio').argv.slice(1)) expect(flags).toContain(word);
    for (const { why } of plan('-serial stdio').additions) expect(why).toMatch(/\w+ \w+/);
  });

  it('lets the exit status of isa-debug-exit survive', () => {
    expect(planned('-nodefaults -device isa-debug-exit')).toBe(`-nodefaults -device isa-debug-exit ${QMP} ${MEMFD}`);
    expect(plan('-nodefaults -device isa-debug-exit,iobase=0xf4').staysWhenDead).toBe(false);
  });

  it.each([
    ['-nodefaults -no-reboot', '-action panic=pause,shutdown=pause'],
    ['-nodefaults -no-shutdown', '-action panic=pause,reboot=shutdown'],
    ['-nodefaults -action panic=none', '-action shutdown=pause,reboot=shutdown'],
  ])('keeps the user’s own %s', (text, action) => {
    expect(planned(text)).toBe(`${text} ${QMP} ${MEMFD} ${PANIC} ${action}`);
  });

  it.each(['-machine memory-backend=m', '-mem-path /dev/hugepages', '-numa node', '-m none', '-M isapc'])(
    'leaves RAM alone where the user placed it or its size is not sure: %s',
    (text) => {
      expect(planned(`-nodefaults ${text}`)).not.toContain('unidbg-ram');
    },
  );

  it('adds no second pvpanic, and none where there is no ISA bus', () => {
    expect(planned('-nodefaults -device pvpanic').match(/pvpanic/g)).toHaveLength(1);
    expect(planned('-nodefaults -M microvm')).not.toContain('pvpanic');
  });

  it('holds the guest before its first instruction where that is wished, and puts further flags last', () => {
    const held = planLaunch(['qemu-system-x86_64', '-nodefaults'], '/p', { hold: true, extra: ['-icount', 'shift=auto'] });
    expect(held.argv.slice(-3)).toEqual(['-S', '-icount', 'shift=auto']);
    expect(held.isHeld).toBe(true);
    const waiting = ['qemu-system-x86_64', '-nodefaults', '-S'];
    expect(planLaunch(waiting, '/p', { hold: true, byLauncher: true }).isHeld).toBe(false);
    expect(() => planLaunch(waiting, '/p', { hold: true })).toThrow('leave -S');
  });

  it('gives another size of memory, unless the user placed it', () => {
    const argv = ['qemu-system-x86_64', '-nodefaults', '-m', '1G,slots=2,maxmem=4G'];
    const words = planLaunch(argv, '/p', { memoryBytes: 64 << 20 }).argv.join(' ');
    expect(words).toContain('-m 64M');
    expect(words).toContain('share=on,size=67108864');
    expect(words).not.toContain('maxmem');
    expect(() => planLaunch([...argv, '-mem-path', '/x'], '/p', { memoryBytes: 64 << 20 })).toThrow('cannot be chosen');
  });

  it('refuses what it cannot start', () => {
    for (const argv of [['sleep', '1'], [], ['qemu-system-x86_64', '-daemonize']]) {
      let code: string | null = null;
      try {
        planLaunch(argv, '/p');
      } catch (error) {
        code = errorCode(error);
      }
      expect(code).toBe('USAGE');
    }
  });
});

describe('consoles of a planned QEMU', () => {
  const LOG = 'logfile=/p/console-0.log';
  it.each([
    ['', '-chardev file,id=unidbg-serial0,path=/p/console-0.log -serial chardev:unidbg-serial0'],
    [
      '-nographic',
      `-nographic -chardev stdio,id=unidbg-serial0,mux=on,signal=off,${LOG} -serial chardev:unidbg-serial0 -mon chardev=unidbg-serial0`,
    ],
    [
      '-nographic -monitor none',
      `-nographic -monitor none -chardev stdio,id=unidbg-serial0,signal=off,${LOG} -serial chardev:unidbg-serial0`,
    ],
    ['-serial stdio', `-chardev stdio,id=unidbg-serial0,${LOG} -serial chardev:unidbg-serial0`],
    [
      '-serial mon:stdio',
      `-chardev stdio,id=unidbg-serial0,mux=on,signal=off,${LOG} -serial chardev:unidbg-serial0 -mon chardev=unidbg-serial0`,
    ],
    ['-serial null', `-chardev null,id=unidbg-serial0,${LOG} -serial chardev:unidbg-serial0`],
    ['-serial pty', `-chardev pty,id=unidbg-serial0,${LOG} -serial chardev:unidbg-serial0`],
    [
      '-serial unix:/s,server,nowait',
      `-chardev socket,id=unidbg-serial0,path=/s,server=on,wait=off,${LOG} -serial chardev:unidbg-serial0`,
    ],
    [
      '-serial telnet::77,server',
      `-chardev socket,id=unidbg-serial0,host=,port=77,telnet=on,server=on,${LOG} -serial chardev:unidbg-serial0`,
    ],
    ['-chardev stdio,id=c -serial chardev:c', '-chardev stdio,id=c,logfile=/p/console-c.log -serial chardev:c'],
  ])('“%s” is captured from its first byte and still goes where it went', (text, expected) => {
    expect(planned(text)).toBe(`${expected} ${QMP} ${MEMFD} ${PANIC} ${ACTION}`);
    expect(plan(text).consoles[0]?.name).toBe('serial0');
  });

  it.each([
    ['-serial file:/mine', '/mine'],
    ['-chardev file,id=c,path=/mine -serial chardev:c', '/mine'],
    ['-chardev pty,id=c,logfile=/mine -serial chardev:c', '/mine'],
  ])('%s is in a file already', (text, path) => {
    expect(planned(text)).toBe(`${text} ${QMP} ${MEMFD} ${PANIC} ${ACTION}`);
    expect(plan(text).consoles).toEqual([{ name: 'serial0', path }]);
  });

  it('adds no serial port to a machine without one', () => {
    for (const text of ['-nodefaults', '-serial none', '-nographic -nodefaults']) expect(plan(text).consoles).toEqual([]);
  });

  it('captures several', () => {
    const text = '-serial stdio -serial pty -chardev null,id=v -device virtio-serial -device virtconsole,chardev=v';
    expect(plan(text).consoles).toEqual([
      { name: 'serial0', path: '/p/console-0.log' },
      { name: 'serial1', path: '/p/console-1.log' },
      { name: 'virtconsole', path: '/p/console-v.log' },
    ]);
  });
});
