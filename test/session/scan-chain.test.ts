import { describe, expect, it } from 'vitest';
import { X86_64 } from '../../src/arch/x86-64.ts';
import type { Frame } from '../../src/model/frame.ts';
import type { Image } from '../../src/model/image.ts';
import { withoutLeftovers } from '../../src/session/scan-chain.ts';
import { frame } from './crash-facts.ts';

const IMAGE: Image = {
  ...{ path: 'demo.elf', machine: 'x86_64', buildId: null, base: 0x1000n, end: 0x9000n },
  ...{ loadBias: 0n, match: 'unverified', placedBy: 'link address' },
};
const PANIC = 0x2000n;

/** Code in which the call before each address goes where `calls` says; `any` = through a register, null = there is no call. */
function codeOf(calls: Readonly<Record<string, bigint | 'any' | null>>): Parameters<typeof withoutLeftovers>[1] {
  return {
    images: [IMAGE],
    readText: (address) => {
      const end = address + BigInt(X86_64.maxCallLength);
      const bytes = new Uint8Array(X86_64.maxCallLength).fill(0x90);
      const target = calls[end.toString(16)] ?? null;
      if (target === 'any') bytes.set([0xff, 0xd0], bytes.length - 2);
      else if (target !== null) {
        bytes[bytes.length - 5] = 0xe8;
        new DataView(bytes.buffer).setInt32(bytes.length - 4, Number(target - end), true);
      }
      return bytes;
    },
  };
}

const panic: Frame = { ...frame('panic', 1, PANIC + 0x23n), functionOffset: 0x23 };
const scanned = (name: string, pc: bigint): Frame => ({ ...frame(name, 1, pc), trust: 'scan', functionOffset: 0x10 });
const names = (frames: readonly Frame[]): readonly (string | null)[] => frames.map(({ function: name }) => name);

describe('words scanned from a stack', () => {
  const printer = scanned('print_text', 0x3010n);
  const caller = scanned('transfer', 0x4010n);

  it('are left out when they are of an earlier call', () => {
    const code = codeOf({ '3010': 0x5000n, '4010': PANIC });
    expect(names(withoutLeftovers([panic, printer, caller], code))).toEqual(['panic', 'transfer']);
  });

  it('are left out when no call stands before them', () => {
    expect(names(withoutLeftovers([panic, printer, caller], codeOf({ '4010': 'any' })))).toEqual(['panic', 'transfer']);
  });

  it('stay where a call through a register may have gone anywhere, and behind a tail call, where none leads on', () => {
    expect(withoutLeftovers([panic, printer, caller], codeOf({ '3010': 'any', '4010': PANIC }))).toHaveLength(3);
    expect(withoutLeftovers([panic, printer, caller], codeOf({ '3010': 0x5000n, '4010': 0x6000n }))).toHaveLength(3);
  });

  it('keep the calls that were inlined into them', () => {
    const inlined = { ...scanned('inlined', 0x4010n), inlined: true };
    const code = codeOf({ '3010': 0x5000n, '4010': PANIC });
    expect(names(withoutLeftovers([panic, printer, inlined, caller], code))).toEqual(['panic', 'inlined', 'transfer']);
  });

  it('stay where the code is not at hand, and nothing else is ever left out', () => {
    const nothing = { images: [IMAGE], readText: () => null };
    expect(withoutLeftovers([panic, printer, caller], nothing)).toHaveLength(3);
    expect(withoutLeftovers([panic, frame('other', 1, 0x3010n)], codeOf({}))).toHaveLength(2);
  });
});
