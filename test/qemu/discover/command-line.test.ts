import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ProcessView } from '../../../src/qemu/discover/chardevs.ts';
import { readChardevs } from '../../../src/qemu/discover/chardevs.ts';
import { findProgram, parseCommandLine } from '../../../src/qemu/discover/command-line.ts';
import {
  findGdbstub,
  findMemoryBackend,
  readConsoles,
  readMonitors,
  readVirtioPorts,
} from '../../../src/qemu/discover/devices.ts';
import {
  findAccelerator,
  findDisks,
  findGuestName,
  findMemoryBytes,
  getVcpuCount,
} from '../../../src/qemu/discover/machine-facts.ts';
import { findOption, parseOptionSize, parseOptions } from '../../../src/qemu/discover/options.ts';
import { formatEndpoint } from '../../../src/qemu/qmp/endpoint.ts';

const VIEW: ProcessView = {
  resolve: (path) => (path.startsWith('/') ? path : `/cwd/${path}`),
  stdout: { kind: 'stdio', target: 'tty', path: null },
  findSocketOfDescriptor: (fd) => (fd === 22 ? '/var/lib/libvirt/qemu/monitor.sock' : null),
};

function options(text: string): ReturnType<typeof parseCommandLine> {
  return parseCommandLine(text.split(' '));
}

function monitors(text: string): string[] {
  const parsed = options(text);
  return readMonitors(parsed, readChardevs(parsed, VIEW), VIEW).map(
    ({ kind, endpoint }) => `${kind} ${endpoint === null ? '-' : formatEndpoint(endpoint)}`,
  );
}

function consoles(text: string): string[] {
  const parsed = options(text);
  return readConsoles(parsed, readChardevs(parsed, VIEW), VIEW).map(
    ({ name, chardev, backend, logfile }) =>
      `${name} ${chardev ?? '-'} ${backend.kind} ${'path' in backend ? (backend.path ?? '-') : '-'} ${logfile ?? '-'}`,
  );
}

describe('QEMU’s option grammar', () => {
  it('knows implied keys, doubled commas, flags and their negation', () => {
    expect(parseOptions('socket,id=q,path=/a,,b,server,nowait', 'backend')).toEqual([
      ['backend', 'socket'],
      ['id', 'q'],
      ['path', '/a,b'],
      ['server', 'on'],
      ['wait', 'off'],
    ]);
    expect(parseOptions('guest=web,,1', 'guest')).toEqual([['guest', 'web,1']]);
    expect(parseOptions('a=b=c')).toEqual([['a', 'b=c']]);
  });

  it('takes JSON where QEMU does', () => {
    const pairs = parseOptions('{"qom-type":"memory-backend-file","id":"ram","size":1024,"share":true,"mem-path":"/dev/shm/r"}');
    expect([findOption(pairs, 'share'), findOption(pairs, 'size'), findOption(pairs, 'mem-path')]).toEqual([
      'on',
      '1024',
      '/dev/shm/r',
    ]);
  });

  it('lets the last of equal keys count', () => {
    expect(findOption(parseOptions('q35,accel=kvm,accel=tcg', 'type'), 'accel')).toBe('tcg');
  });

  it('reads sizes with QEMU’s units', () => {
    expect([
      parseOptionSize('128', 'M'),
      parseOptionSize('1.5G', 'M'),
      parseOptionSize('0x1000', 'B'),
      parseOptionSize('2t', 'M'),
    ]).toEqual([134217728, 1610612736, 4096, 2199023255552]);
    expect([parseOptionSize('', 'M'), parseOptionSize('big', 'M'), parseOptionSize('99999999P', 'M')]).toEqual([
      null,
      null,
      null,
    ]);
  });

  it('never throws on any words', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string(), fc.constantFrom('-serial', '-chardev', '-qmp', '-mon', '-m', '-smp', '-gdb', '-object'))),
        (argv) => {
          const parsed = parseCommandLine(argv);
          const chardevs = readChardevs(parsed, VIEW);
          readMonitors(parsed, chardevs, VIEW);
          readConsoles(parsed, chardevs, VIEW);
          readVirtioPorts(parsed, chardevs);
          findGdbstub(parsed, chardevs, VIEW);
          findMemoryBackend(parsed, VIEW);
          findMemoryBytes(parsed);
          getVcpuCount(parsed);
          findDisks(parsed);
        },
      ),
    );
  });
});

describe('a command line', () => {
  it('tells options with a value from those without, and one dash from two', () => {
    expect(parseCommandLine(['-S', '--machine', 'q35', '-no-reboot', '-append', '-x', 'disk.img', '-s'])).toEqual([
      { name: 'S', value: null },
      { name: 'machine', value: 'q35' },
      { name: 'no-reboot', value: null },
      { name: 'append', value: '-x' },
      { name: 'disk', value: 'disk.img' },
      { name: 's', value: null },
    ]);
  });

  it.each([
    [['/usr/bin/qemu-system-x86_64', '-m', '1'], 0],
    [['qemu-kvm'], 0],
    [['/lib64/ld-linux-x86-64.so.2', '--library-path', '/l', '/x/qemu-system-aarch64', '-m', '1'], 3],
    [['timeout', '60', 'qemu-system-x86_64'], -1],
    [['sh', '-c', 'qemu-system-x86_64 -m 1'], -1],
    [['qemu-img', 'create'], -1],
    [['vim', '/tmp/qemu-system-x86_64'], -1],
    [[], -1],
  ])('finds the program in %j at %i', (argv, at) => {
    expect(findProgram(argv)).toBe(at);
  });

  it('knows the machine', () => {
    const parsed = options(
      '-M q35,accel=kvm:tcg -m 1G,slots=2,maxmem=4G -smp sockets=2,cores=2 -name guest=web,debug-threads=on -drive if=none,file=a.img -hda b.img',
    );
    expect(findAccelerator(parsed, 'qemu-system-x86_64')).toBe('kvm:tcg');
    expect([findMemoryBytes(parsed), getVcpuCount(parsed), findGuestName(parsed)]).toEqual([1 << 30, 4, 'web']);
    expect(findDisks(parsed)).toEqual(['a.img', 'b.img']);
    expect([findMemoryBytes(options('-S')), getVcpuCount(options('-smp 3')), getVcpuCount(options('-S'))]).toEqual([
      134217728, 3, 1,
    ]);
    expect([findAccelerator(options('-enable-kvm'), 'x'), findAccelerator(options('-accel tcg,thread=single'), 'x')]).toEqual([
      'kvm',
      'tcg',
    ]);
    expect([
      findAccelerator(options('-S'), 'qemu-system-x86_64'),
      findAccelerator(options('-S'), '/usr/libexec/qemu-kvm'),
    ]).toEqual([null, 'kvm']);
  });
});

describe('monitors', () => {
  it.each([
    ['-qmp unix:q.sock,server=on,wait=off', ['qmp unix:/cwd/q.sock']],
    ['-qmp unix:/q.sock,server,nowait -monitor stdio', ['qmp unix:/q.sock', 'hmp -']],
    ['-qmp tcp:localhost:4444,server=on,wait=off', ['qmp tcp:127.0.0.1:4444']],
    ['-monitor telnet::45,server,nowait -qmp-pretty unix:/p,server', ['qmp unix:/p', 'hmp tcp:127.0.0.1:45']],
    ['-chardev socket,id=c,path=/c,server=on -mon chardev=c,mode=control', ['qmp unix:/c']],
    ['-chardev socket,id=c,host=h,port=7,server=on -mon c', ['hmp tcp:h:7']],
    [
      '-chardev socket,id=charmonitor,fd=22,server=on,wait=off -mon chardev=charmonitor,id=monitor,mode=control',
      ['qmp unix:/var/lib/libvirt/qemu/monitor.sock'],
    ],
    ['-monitor none', []],
  ])('%s', (text, expected) => {
    expect(monitors(text)).toEqual(expected);
  });
});

describe('consoles', () => {
  it.each([
    ['-serial file:log,x', ['serial0 serial0 file /cwd/log,x -']],
    ['-serial stdio -serial none -serial pty', ['serial0 serial0 stdio - -', 'serial2 serial2 pty - -']],
    ['-serial mon:stdio', ['serial0 serial0 stdio - -']],
    ['-nographic', ['serial0 serial0 stdio - -']],
    ['-nographic -nodefaults', []],
    ['-nographic -serial null', []],
    ['-chardev stdio,id=s,logfile=l.log -serial chardev:s', ['serial0 s stdio - /cwd/l.log']],
    ['-chardev file,id=f,path=/x,,y -device virtconsole,chardev=f', ['virtconsole 0 f file /x,y -']],
    ['-chardev pty,id=d -device isa-debugcon,id=dbg,chardev=d', ['debugcon dbg d pty - -']],
    ['-serial unix:/s,server=on,wait=off', ['serial0 serial0 socket - -']],
    ['-S', []],
  ])('%s', (text, expected) => {
    expect(consoles(text)).toEqual(expected);
  });
});

describe('other endpoints', () => {
  it('finds the gdbstub', () => {
    const stub = (text: string): string | null => {
      const endpoint = findGdbstub(options(text), new Map(), VIEW);
      return endpoint === null ? null : formatEndpoint(endpoint);
    };
    expect([stub('-s'), stub('-gdb tcp::9000'), stub('-gdb unix:/g,server=on'), stub('-gdb none'), stub('-S')]).toEqual([
      'tcp:127.0.0.1:1234',
      'tcp:127.0.0.1:9000',
      'unix:/g',
      null,
      null,
    ]);
  });

  it('finds virtio-serial ports by their names', () => {
    const parsed = options(
      '-chardev socket,id=p,path=/p,server=on -device virtio-serial -device virtserialport,chardev=p,name=org.probe',
    );
    expect(readVirtioPorts(parsed, readChardevs(parsed, VIEW))).toEqual([
      { name: 'org.probe', chardev: 'p', backend: { kind: 'socket', endpoint: { kind: 'unix', path: '/p' }, server: true } },
    ]);
  });

  it.each([
    ['-object memory-backend-memfd,id=m,size=1G -machine memory-backend=m', { id: 'm', kind: 'memfd', path: null, share: true }],
    [
      '-object memory-backend-memfd,id=m,size=1G,share=off -M q35,memory-backend=m',
      { id: 'm', kind: 'memfd', path: null, share: false },
    ],
    [
      '-object memory-backend-file,id=m,mem-path=r,size=1G,share=on -numa node,memdev=m',
      { id: 'm', kind: 'file', path: '/cwd/r', share: true },
    ],
    [
      '-object memory-backend-file,id=m,mem-path=/r,size=1G -machine memory-backend=m',
      { id: 'm', kind: 'file', path: '/r', share: false },
    ],
    ['-object memory-backend-memfd,id=ivshmem,size=1M,share=on', null],
    ['-mem-path /dev/hugepages', { id: 'mem-path', kind: 'file', path: '/dev/hugepages', share: false }],
    ['-m 64', null],
  ])('knows the RAM of %s', (text, expected) => {
    expect(findMemoryBackend(options(text), VIEW)).toEqual(expected);
  });
});
