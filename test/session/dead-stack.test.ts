// What a stopped vCPU's stack tells: whether the guest died, ended, or that nobody can say.

import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/model/frame.ts';
import type { Registers } from '../../src/model/registers.ts';
import type { Unikernel } from '../../src/model/unikernel.ts';
import type { Code } from '../../src/session/code.ts';
import { explainStop, type StoppedGuest } from '../../src/session/dead-stack.ts';
import type { OpenTarget } from '../../src/targets/target.ts';
import { minios } from '../../src/unikernels/minios.ts';
import { osv } from '../../src/unikernels/osv.ts';
import { solo5 } from '../../src/unikernels/solo5.ts';
import { unikraft } from '../../src/unikernels/unikraft.ts';

/** `name(parameter=value)`, or a name alone. */
function frame(text: string, index: number): Frame {
  const [, name = text, parameter, value = ''] = /^([^(]+)\((\w+)=(.*)\)$/.exec(text) ?? [];
  const known = parameter === undefined ? [] : [{ name: parameter, type: null, value, known: true, artificial: false }];
  const place = { file: 'a.c', line: 1, column: null, inlined: false, module: 'a', status: 'symbolicated' } as const;
  return {
    ...place,
    index,
    pc: BigInt(0x1000 + 16 * index),
    trust: 'cfi',
    cfa: null,
    function: name,
    functionOffset: 4,
    arguments: known,
  };
}

async function tell(
  system: Unikernel,
  stack: readonly string[],
  deadIn: readonly string[] = system.deadIn,
): Promise<StoppedGuest | null> {
  const registers: Registers = { machine: 'x86_64', values: { rip: 0x1000n } };
  const frames = stack.map(frame);
  const raw = frames.map(({ pc, index }) => ({ pc, cfa: null, trust: 'cfi', exactPc: index === 0, registers }));
  const space = { walk: (body: (memory: object) => unknown) => Promise.resolve(body({ read: () => null })) };
  const vcpus = [{ vcpu: 0, registers }];
  const target = { allRegisters: () => Promise.resolve(vcpus), memory: () => space } as unknown as OpenTarget;
  const code = {
    unikernel: system,
    unwinder: { unwind: () => ({ frames: raw, end: 'outermost' }) },
    isDeadIn: (name: string) => deadIn.includes(name),
    machineryOf: () => ({ functions: [...system.crashMachinery, ...deadIn.map((name) => new RegExp(`^${name}$`))], files: [] }),
    endsByExit: () => false,
  } as unknown as Code;
  return explainStop(target, code, { walk: () => Promise.resolve(frames), vcpus: () => Promise.resolve(vcpus) });
}

describe('a vCPU that sits in its last halt', () => {
  it('has ended when its system was told so', async () => {
    // Seen: a Solo5 guest that printed SUCCESS, and a Unikraft guest whose main returned, told as dead.
    const solo5Exit = ['cpu_halt', 'platform_exit(status=0)', 'solo5_exit(status=0)', 'main'];
    expect(await tell(solo5, solo5Exit)).toEqual({ exit: { code: 0, how: 'solo5_exit(0) called' } });
    const failed = await tell(solo5, ['cpu_halt', 'platform_exit(status=3)', 'solo5_exit(status=3)', 'main']);
    expect(failed).toEqual({ exit: { code: 3, how: 'solo5_exit(3) called' } });
    expect(await tell(unikraft, ['ukplat_terminate(request=UKPLAT_HALT)', 'uk_boot_entry'])).toMatchObject({
      exit: { code: null },
    });
    expect(await tell(osv, ['osv::halt', 'osv::poweroff', 'main'], ['osv::halt'])).toMatchObject({ exit: { code: null } });
  });

  it('has died when its system was told that', async () => {
    const crashed = await tell(unikraft, ['ukplat_terminate(request=UKPLAT_CRASH)', 'main']);
    expect(crashed).toMatchObject({ crash: { kind: 'panic', title: 'fatal stop in ukplat_terminate in main (a.c:1)' } });
    expect(await tell(solo5, ['cpu_halt', 'platform_exit', '_abort', 'main'])).toMatchObject({ crash: { kind: 'panic' } });
  });

  it('is said to have stopped where nothing tells why', async () => {
    const told = await tell(minios, ['do_exit', 'app_main']);
    expect(told).toMatchObject({ remark: expect.stringContaining('whether it ended or died') as string });
    expect(await tell(solo5, ['cpu_halt', 'platform_exit', 'main'])).toMatchObject({ remark: expect.anything() as string });
  });

  it('is nothing to tell when it works', async () => {
    expect(await tell(unikraft, ['schedule', 'main'])).toBeNull();
  });
});
