import { expect, it } from 'vitest';
import type { FrameVariable, SymbolizedLocation } from '../../src/model/frame.ts';
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

it('gives each activation its arguments; where names and variables disagree on what was inlined, only the real function', () => {
  const symbolizer: Pick<Symbolizer, 'symbolize'> = { symbolize: () => [location('inner', true), location('outer', false)] };
  const called = (name: string): FrameVariable[] => [{ name, type: 'int', value: '1', known: true, artificial: false }];
  const raw = [frame(1n, true), frame(2n, false), frame(3n, false)];
  const frames = toFrames(raw, symbolizer, [[called('a'), called('b')], [called('c')]]);
  const names = frames.map((each) => each.arguments?.map(({ name }) => name).join());
  expect(names).toEqual(['a', 'b', undefined, 'c', undefined, undefined]);
});
