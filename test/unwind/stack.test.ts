import { expect, it } from 'vitest';
import type { SymbolizedLocation } from '../../src/model/frame.ts';
import type { Symbolizer } from '../../src/model/symbolizer.ts';
import { toFrames } from '../../src/unwind/stack.ts';
import type { RawFrame } from '../../src/unwind/walk.ts';

const location = (name: string, inlined: boolean): SymbolizedLocation => ({
  ...{ function: name, functionOffset: 4, file: 'a.c', line: 1, column: null },
  ...{ inlined, module: 'a.elf', status: 'symbolicated' },
});

const frame = (pc: bigint, exactPc: boolean): RawFrame => ({
  ...{ pc, exactPc, cfa: pc + 0x100n, trust: 'cfi' },
  registers: { machine: 'x86_64', values: { rip: pc } },
});

it('expands inlined calls, numbers all frames, and looks return addresses up as such', () => {
  const asked: [bigint, boolean | undefined][] = [];
  const symbolizer: Pick<Symbolizer, 'symbolize'> = {
    symbolize: (address, options) => {
      asked.push([address, options?.isReturnAddress]);
      return address === 2n ? [location('inner', true), location('outer', false)] : [location('plain', false)];
    },
  };
  const frames = toFrames([frame(1n, true), frame(2n, false), frame(3n, true)], symbolizer);
  expect(frames.map(({ index, function: name, pc, cfa, inlined }) => [index, name, pc, cfa, inlined])).toEqual([
    [0, 'plain', 1n, 0x101n, false],
    [1, 'inner', 2n, 0x102n, true],
    [2, 'outer', 2n, 0x102n, false],
    [3, 'plain', 3n, 0x103n, false],
  ]);
  expect(asked).toEqual([
    [1n, false],
    [2n, true],
    [3n, false],
  ]);
});
