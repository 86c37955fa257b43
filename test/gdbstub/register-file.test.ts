import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findFallback, guessArchitecture } from '../../gdbstub/target-description/fallback.ts';
import { decodeRegisterFile, decodeValue, encodeValue } from '../../gdbstub/target-description/register-file.ts';

function file(length: number): { bytes: Uint8Array; known: Uint8Array } {
  return { bytes: Uint8Array.from({ length }, (_, index) => index & 0xff), known: new Uint8Array(length).fill(1) };
}

const X86_64 = findFallback('i386:x86-64')!;

describe('a register file', () => {
  it('of 164 bytes is x86-64 without an FPU, as gdbsx and Solo5 send it', () => {
    expect(guessArchitecture(164)).toBe('i386:x86-64');
    const values = decodeRegisterFile(X86_64, file(164));
    expect(Object.keys(values)).toHaveLength(24);
    expect(values['rax']).toBe(0x0706050403020100n);
    expect(values['rip']).toBe(0x8786858483828180n);
    expect(values['eflags']).toBe(0x8b8a8988n);
    expect(values['gs']).toBe(0xa3a2a1a0n);
  });

  it('that is short gives the registers that fit', () => {
    expect(Object.keys(decodeRegisterFile(X86_64, file(17)))).toEqual(['rax', 'rbx']);
    expect(decodeRegisterFile(X86_64, file(0))).toEqual({});
  });

  it('that is longer than the layout keeps to the layout', () => {
    const i386 = findFallback('i386')!;
    expect(Object.keys(decodeRegisterFile(i386, file(608)))).toHaveLength(16);
  });

  it('leaves out what the stub does not know', () => {
    const { bytes, known } = file(24);
    known[9] = 0;
    expect(Object.keys(decodeRegisterFile(X86_64, { bytes, known }))).toEqual(['rax', 'rcx']);
  });

  it('of an unknown machine has no layout', () => {
    expect(findFallback('vax')).toBeNull();
    expect(findFallback('constructor')).toBeNull();
    expect(guessArchitecture(12)).toBeNull();
  });

  it('has gdb’s register counts', () => {
    expect(findFallback('i386')!.registers).toHaveLength(16);
    expect(findFallback('aarch64')!.registers).toHaveLength(34);
    expect(findFallback('riscv:rv64')!.registers).toHaveLength(33);
  });

  it('gives every value back as it was encoded, in both byte orders', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(8, 32, 64, 80, 128),
        fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }),
        fc.boolean(),
        (bits, big, little) => {
          const register = { name: 'r', number: 0, bits, type: 'int' };
          const value = BigInt.asUintN(bits, big);
          expect(decodeValue(encodeValue(value, register, little), little)).toBe(value);
        },
      ),
    );
    expect(() => encodeValue(1n << 64n, { name: 'rax', number: 0, bits: 64, type: 'int64' })).toThrow('does not fit rax');
    expect(() => encodeValue(-1n, { name: 'rax', number: 0, bits: 64, type: 'int64' })).toThrow('does not fit rax');
  });
});
