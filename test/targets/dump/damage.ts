// What damaged and hostile dumps may do: give less, or an error of ours. Never another error, a hang or much memory.

import fc from 'fast-check';
import { expect } from 'vitest';
import { errorCode } from '../../../src/model/error.ts';
import type { DumpFormat } from '../../../src/targets/dump/format.ts';
import { openBytes } from './opened.ts';

const PLACES = [0n, 0x1000n, 0x40_0000n, 0x7fff_ffff_f000n, 0xffff_ffff_ffff_fff8n];

/** Opens a dump and reads here and there; null, or the code of the error that it gave. */
export function surviveDump(format: DumpFormat, bytes: Uint8Array): string | null {
  try {
    const { memory, close } = openBytes(format, bytes);
    for (const address of PLACES) {
      if (memory.kind === 'virtual') memory.memory.read(address, 5000);
      else memory.reader.readSync!(address & 0xf_ffff_ffff_fff8n, new Uint8Array(5000));
    }
    close?.();
    return null;
  } catch (error) {
    const code = errorCode(error);
    if (code === null) throw error;
    return code;
  }
}

/** The dump cut at each length up to `most`: never anything but an error of ours. */
export function surviveCuts(format: DumpFormat, bytes: Uint8Array, most = bytes.length): void {
  for (let length = 0; length < Math.min(most, bytes.length); length += 1) surviveDump(format, bytes.subarray(0, length));
}

/** The dump with some of `most` bytes from `from` on replaced at random: never anything but an error of ours, and soon. */
export function surviveDamage(format: DumpFormat, bytes: Uint8Array, most: number, from = 0): void {
  const places = fc.array(fc.tuple(fc.integer({ min: from, max: from + most - 1 }), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)), {
    minLength: 1,
    maxLength: 12,
  });
  fc.assert(
    fc.property(places, (damage) => {
      const broken = Uint8Array.from(bytes);
      for (const [at, value] of damage) broken[at] = value;
      const start = performance.now();
      surviveDump(format, broken);
      expect(performance.now() - start).toBeLessThan(2000);
    }),
    { numRuns: 400, seed: 6 },
  );
}
