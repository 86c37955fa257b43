// What QEMU is told to record with, and what is refused before it starts.

import { describe, expect, it } from 'vitest';
import { planRecord, planReplay, recordFiles } from '../../../src/qemu/rr/plan-record.ts';

const FILES = recordFiles('run.rr');
const QEMU = 'qemu-system-x86_64';
const plan = (...argv: string[]): readonly string[] => planRecord([QEMU, ...argv], FILES);

describe('a recorded command line', () => {
  it('records from a snapshot of the beginning on, on a disk of its own', () => {
    expect(plan('-kernel', 'a.elf')).toEqual([
      ...[QEMU, '-kernel', 'a.elf', '-icount', 'shift=auto,rr=record,rrfile=run.rr,rrsnapshot=unidbg-start'],
      ...['-drive', 'file=run.rr.qcow2,format=qcow2,if=none,id=unidbg-rr'],
    ]);
  });

  it('has its network recorded, and its disks, under the names that devices know', () => {
    expect(plan('-netdev', 'user,id=n0', '-drive', 'if=none,id=hd0,format=raw,file=a.raw').slice(1, 9)).toEqual([
      ...['-netdev', 'user,id=n0', '-object', 'filter-replay,id=unidbg-rr-net0,netdev=n0'],
      ...['-drive', 'format=raw,file=a.raw,if=none,snapshot=on,id=unidbg-rr-disk1'],
      ...['-drive', 'driver=blkreplay,if=none,image=unidbg-rr-disk1,id=hd0'],
    ]);
  });

  it('is replayed by the same words but one', () => {
    const recorded = plan('-append', 'rr=record,');
    const replayed = planReplay(recorded);
    expect(replayed).toHaveLength(recorded.length);
    expect(recorded.filter((word, index) => word !== replayed[index])).toEqual([
      'shift=auto,rr=record,rrfile=run.rr,rrsnapshot=unidbg-start',
    ]);
  });

  it('keeps commas of file names', () => {
    expect(planRecord([QEMU], recordFiles('a,b.rr')).join(' ')).toContain('rrfile=a,,b.rr,rrsnapshot');
  });
});

describe('what QEMU cannot record is refused in words', () => {
  it.each([
    ['KVM', ['-enable-kvm'], /under TCG alone/],
    ['another accelerator', ['-accel', 'kvm'], /under TCG alone/],
    ['an accelerator of the machine', ['-machine', 'q35,accel=kvm:tcg'], /under TCG alone/],
    ['many threads', ['-accel', 'tcg,thread=multi'], /thread=multi/],
    ['two vCPUs', ['-smp', '2'], /one vCPU/],
    ['two vCPUs as cores', ['-smp', 'sockets=1,cores=2'], /one vCPU/],
    ['an icount of its own', ['-icount', 'shift=3'], /-icount/],
    ['a network without a name', ['-nic', 'user'], /-netdev/],
    ['a disk without a name', ['-hda', 'a.img'], /if=none,id=NAME/],
    ['a drive of the machine', ['-drive', 'file=a.img,if=virtio'], /if=none,id=NAME/],
    ['a device of the host', ['-device', 'vfio-pci,host=01:00.0'], /vfio-pci/],
    ['a run that has begun', ['-loadvm', 'x'], /beginning/],
  ] as const)('%s', (_what, argv, words) => {
    expect(() => plan(...argv)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(words) as string }),
    );
  });

  it('a launcher that is no QEMU', () => {
    expect(() => planRecord(['ops', 'run'], FILES)).toThrow(/started directly/);
  });
});
