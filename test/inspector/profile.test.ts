// A profile's samples become stacks and the functions that took the time.

import { describe, expect, it } from 'vitest';
import { decodeProfile, rankFunctions } from '../../src/inspector/profile.ts';

const call = (functionName: string, lineNumber = -1): object => ({
  functionName,
  scriptId: '1',
  url: lineNumber < 0 ? '' : 'file:///a.js',
  lineNumber,
  columnNumber: lineNumber,
});

/** root → main → (work → main) and idle. */
const PROFILE = {
  nodes: [
    { id: 1, callFrame: call('(root)'), children: [2, 5] },
    { id: 2, callFrame: call('main', 0), children: [3] },
    { id: 3, callFrame: call('work', 4), children: [4] },
    { id: 4, callFrame: call('main', 0) },
    { id: 5, callFrame: call('(idle)') },
  ],
  ...{ startTime: 1000, endTime: 11_000 },
  samples: [5, 3, 4, 3, 5],
  timeDeltas: [1000, 1000, 2000, 2000, 2000],
};

describe('a profile', () => {
  it('gives each stack the time until the next sample', () => {
    const { stacks, durationMs } = decodeProfile({ profile: PROFILE });
    expect(durationMs).toBe(10);
    expect(stacks.map(({ frames, ms }) => [frames.map((frame) => frame.function).join('<'), ms])).toEqual([
      ['work<main', 4],
      ['(idle)', 3],
      ['main<work<main', 2],
    ]);
    expect(stacks[0]?.frames[0]).toMatchObject({ file: '/a.js', line: 5, column: 5 });
  });

  it('counts a recursive function once in its total', () => {
    const functions = rankFunctions(decodeProfile({ profile: PROFILE }).stacks);
    expect(functions.map(({ frame, selfMs, totalMs }) => [frame.function, selfMs, totalMs])).toEqual([
      ['work', 4, 6],
      ['(idle)', 3, 3],
      ['main', 2, 6],
    ]);
  });

  it('of a hostile guest ends: nodes that are their own callers, samples of no node, times that run backwards', () => {
    const nodes = [
      { id: 1, callFrame: call('a', 1), children: [2] },
      { id: 2, callFrame: call('b', 2), children: [1] },
    ];
    const { stacks } = decodeProfile({
      profile: { nodes, startTime: 5, endTime: 1, samples: [1, 9, 2], timeDeltas: [-5, 3000, 9] },
    });
    expect(stacks.map(({ frames }) => frames.length)).toEqual([1000, 1000]);
    for (const answer of [null, {}, { profile: { nodes: 3 } }, { profile: { ...PROFILE, samples: ['x'] } }]) {
      expect(() => decodeProfile(answer)).toThrow(expect.objectContaining({ code: 'INSPECTOR_MALFORMED' }) as Error);
    }
  });
});
