// The length decoder and the call finder against objdump, over all the code of the C library and of a 32-bit program.

import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { getArchitecture } from '../../src/arch/machines.ts';
import { decodeX86 } from '../../src/arch/x86-length.ts';
import { openElf } from '../../src/elf/file.ts';
import type { Machine } from '../../src/model/machine.ts';
import { compileVariant, makeScratch } from '../dwarf/cfi-samples.ts';

const scratch = makeScratch();
afterAll(scratch.remove);

interface Line {
  readonly address: bigint;
  readonly length: number;
  readonly text: string;
}

/** Instructions of .text as objdump sees them. */
function disassembly(path: string): Line[] {
  const text = execFileSync('objdump', ['-d', '-w', '--section=.text', path], { encoding: 'latin1', maxBuffer: 1 << 30 });
  return [...text.matchAll(/^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+) *\t(.*)$/gm)].map((match) => ({
    address: BigInt(`0x${match[1]!}`),
    length: match[2]!.trim().split(' ').length,
    text: match[3]!,
  }));
}

const libc = execFileSync('gcc', ['-print-file-name=libc.so.6'], { encoding: 'utf8' }).trim();

describe.each<[string, () => string, Machine]>([
  ['the C library', () => libc, 'x86_64'],
  ['a 32-bit program', () => compileVariant(scratch.path, 'i386'), 'i386'],
])('%s', (_, makePath, machine) => {
  const path = makePath();
  const elf = openElf(path);
  const section = elf.findSection('.text')!;
  const code = elf.readSection(section);
  // "(bad)" and lone prefixes are data between functions.
  const lines = disassembly(path).filter(
    ({ text }) => !/\(bad\)|^(?:rex|data16|cs|ds|es|ss|fs|gs|lock|repz?|repnz)\S*\s*$/.test(text),
  );
  const offsetOf = ({ address }: Line): number => Number(address - section.address);

  it('has instructions of the lengths that objdump prints', () => {
    const wrong = lines.filter((line) => decodeX86(code, offsetOf(line), machine === 'x86_64')?.length !== line.length);
    // An fwait (9b) is an instruction that objdump joins to the next.
    expect(wrong.filter(({ text }) => !/^f(?:stcw|stsw|stenv|save|init|clex)/.test(text)).slice(0, 10)).toEqual([]);
    expect(lines.length).toBeGreaterThan(150);
  });

  it('has its calls found from behind, with their targets', () => {
    const { findCallBefore, maxCallLength } = getArchitecture(machine);
    const wrong: string[] = [];
    const calls = lines.filter(({ text }) => /^(?:notrack |bnd )*call/.test(text));
    for (const line of calls) {
      const end = offsetOf(line) + line.length;
      const found = findCallBefore(code.subarray(Math.max(0, end - maxCallLength), end), line.address + BigInt(line.length));
      const target = /^call\w* +([0-9a-f]+) /.exec(line.text)?.[1];
      const register = /^(?:notrack )*call +\*%(\w+)$/.exec(line.text)?.[1] ?? null;
      const right = target === undefined ? found?.target === null : found?.target === BigInt(`0x${target}`);
      if (!right || found?.register !== register)
        wrong.push(`${line.address.toString(16)} ${line.text}: ${JSON.stringify(found?.register)}`);
    }
    expect(wrong.slice(0, 10)).toEqual([]);
    expect(calls.length).toBeGreaterThan(5);
  });

  afterAll(() => {
    elf.close();
  });
});

describe('the length decoder', () => {
  it('gives lengths of 1 to 15 that stay in the bytes, or null, on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), fc.boolean(), (bytes, wide) => {
        const length = decodeX86(bytes, 0, wide)?.length ?? 1;
        expect(length).toBeGreaterThanOrEqual(1);
        expect(length).toBeLessThanOrEqual(bytes.length === 0 ? 1 : Math.min(15, bytes.length));
      }),
    );
  });
});
