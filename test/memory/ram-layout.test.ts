import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findRegion, parseRamLayout } from '../../src/memory/ram-layout.ts';
import { MTREE_PC_RESET, MTREE_Q35_6G } from '../support/hmp-texts.ts';

describe('parseRamLayout', () => {
  it('splits RAM above 4 GiB as the machine does, and joins the shadow windows below 1 MiB', () => {
    expect(parseRamLayout(MTREE_Q35_6G)).toEqual([
      { start: 0n, end: 0x8000_0000n, name: 'mem', offset: 0n },
      { start: 0xfffc_0000n, end: 0x1_0000_0000n, name: 'pc.bios', offset: 0n },
      { start: 0x1_0000_0000n, end: 0x2_0000_0000n, name: 'mem', offset: 0x8000_0000n },
    ]);
  });

  it('keeps ROM that shadows RAM apart', () => {
    expect(parseRamLayout(MTREE_PC_RESET).map(({ start, name, offset }) => [start, name, offset])).toEqual([
      [0n, 'pc.ram', 0n],
      [0xc0000n, 'pc.rom', 0n],
      [0xe0000n, 'pc.bios', 0x20000n],
      [0x100000n, 'pc.ram', 0x100000n],
      [0xfffc0000n, 'pc.bios', 0n],
    ]);
  });

  it('leaves devices out: reading them would act on them', () => {
    const regions = parseRamLayout(MTREE_Q35_6G);
    expect(findRegion(regions, 0xfee0_0000n)).toBeNull();
    expect(findRegion(regions, 0x8000_0000n)).toBeNull();
  });

  it('finds regions at their first and last byte', () => {
    const regions = parseRamLayout(MTREE_Q35_6G);
    expect(findRegion(regions, 0x7fff_ffffn)?.start).toBe(0n);
    expect(findRegion(regions, 0x1_0000_0000n)?.offset).toBe(0x8000_0000n);
    expect(findRegion(regions, 0x2_0000_0000n)).toBeNull();
    expect(findRegion([], 0n)).toBeNull();
  });

  it('never throws, and gives ascending regions that do not overlap', () => {
    const line = fc
      .tuple(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 2n ** 64n - 1n), fc.constantFrom('ram', 'rom', 'i/o'))
      .map(([start, end, kind]) => `  ${start.toString(16)}-${end.toString(16)} (prio 0, ${kind}): x`);
    fc.assert(
      fc.property(fc.array(fc.oneof(line, fc.string()), { maxLength: 20 }), (lines) => {
        const regions = parseRamLayout(lines.join('\n'));
        for (const [index, region] of regions.entries()) {
          expect(region.end).toBeGreaterThan(region.start);
          expect(region.start).toBeGreaterThanOrEqual(regions[index - 1]?.end ?? 0n);
        }
      }),
    );
  });
});
