import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/model/frame.ts';
import { type CrashFacts, findGuiltyFrame, signatureOf, titleOf } from '../../src/session/describe-crash.ts';

const MACHINERY = [/^panic$/, /^trap_/, /^abort$/];

function frame(name: string | null, line: number | null = null, pc = 0x1000n): Frame {
  return {
    index: 0,
    pc,
    trust: 'cfi',
    cfa: null,
    function: name,
    functionOffset: 4,
    file: line === null ? null : `demo/${name ?? 'x'}.c`,
    line,
    column: null,
    inlined: false,
    module: 'demo.elf',
    status: name === null ? 'no-symbol' : 'symbolicated',
  };
}

const facts = (over: Partial<CrashFacts>): CrashFacts => ({
  kind: 'fault',
  message: 'page fault (#PF)',
  faultAddress: 0x10n,
  pc: 0x1000n,
  sp: null,
  location: null,
  frames: [frame('trap_14', 9), frame('handle', 41), frame('main', 7)],
  unikernel: 'demo',
  runtime: null,
  ...over,
});

describe('the title of a crash', () => {
  const cases: readonly (readonly [string, Partial<CrashFacts>])[] = [
    ['null dereference in handle (handle.c:41)', {}],
    ['jump to null in handle (handle.c:41)', { faultAddress: 0n, pc: 0n }],
    ['wild jump in handle (handle.c:41)', { faultAddress: 0xdead0000n, pc: 0xdead0000n }],
    ['bad memory access in handle (handle.c:41)', { faultAddress: 0xdead0000n }],
    ['divide error in handle (handle.c:41)', { message: 'divide error (#DE)', faultAddress: null }],
    ['stack overflow in handle (handle.c:41)', { message: 'stack overflow in thread worker', faultAddress: 0x7000n }],
    [
      'stack overflow in blow (blow.c:7)',
      { faultAddress: 0x6ff8n, sp: 0x7000n, frames: Array.from({ length: 80 }, () => frame('blow', 7)) },
    ],
    ['null dereference in blow (blow.c:7)', { sp: 0x9_0000n, frames: Array.from({ length: 80 }, () => frame('blow', 7)) }],
    ['assertion failed in handle (handle.c:41)', { kind: 'assert', message: 'Assertion failed' }],
    ['out of memory in handle (handle.c:41)', { kind: 'out-of-memory', message: 'no more' }],
    ['assertion x > 0 failed in handle (handle.c:41)', { kind: 'assert', message: 'assertion failed: x > 0 at app.c:3' }],
    ['page fault at 0x1000', { faultAddress: null, frames: [] }],
    ['abort in f (app.c:3)', { kind: 'abort', frames: [], location: { file: 'src/app.c', line: 3, function: 'f' } }],
  ];
  it.each(cases)('reads "%s"', (title, over) => {
    expect(titleOf(facts(over), MACHINERY)).toBe(title);
  });

  it('blames the first frame that is not crash machinery', () => {
    expect(findGuiltyFrame(facts({}).frames, MACHINERY)?.function).toBe('handle');
    expect(findGuiltyFrame([frame(null)], MACHINERY)).toBeNull();
  });
});

describe('the signature of a crash', () => {
  const signature = (over: Partial<CrashFacts>): string => signatureOf(facts(over), MACHINERY);

  it('is stable over addresses, lines and compiler-made name parts', () => {
    const moved = [frame('trap_14', 10, 0x5000n), frame('handle.constprop.0', 44, 0x6000n), frame('main', 8, 0x7000n)];
    expect(signature({ frames: moved, faultAddress: 0x18n, pc: 0x5000n })).toBe(signature({}));
  });

  it('differs for another function, another kind and another fault', () => {
    const others = [
      signature({ frames: [frame('other', 1)] }),
      signature({ kind: 'abort' }),
      signature({ faultAddress: 0xdead0000n }),
    ];
    expect(new Set([signature({}), ...others]).size).toBe(4);
  });

  it('does not throw all nameless stacks into one bucket', () => {
    expect(signature({ frames: [frame(null, null, 0x1230n)] })).not.toBe(signature({ frames: [frame(null, null, 0x1450n)] }));
  });
});
