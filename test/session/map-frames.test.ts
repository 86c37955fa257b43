// What the guest printed of its JavaScript, in the words of its source; and everything else as it came.

import { describe, expect, it } from 'vitest';
import { reportedFrame } from '../../src/model/console-text.ts';
import { mapReportedFrames, mapReportedLocation } from '../../src/session/map-frames.ts';
import type { SourceMaps } from '../../src/symbolize/source-maps.ts';

const maps: Pick<SourceMaps, 'map' | 'mapLine'> = {
  map: ({ file, line, column, function: name }) =>
    file === '/app/main.js'
      ? { file: 'src/shop.ts', line: line + 40, column: column - 2, function: name === 'e' ? 'sell' : null }
      : null,
  mapLine: (file, line) => (file === '/app/main.js' && line === 7 ? { file: 'src/shop.ts', line: 47 } : null),
};

describe('frames that the guest printed', () => {
  it('stand where people wrote them when a map knows, under their names', () => {
    const frames = [
      reportedFrame({ function: 'e', file: '/app/main.js', line: 1, column: 9 }),
      reportedFrame({ function: 'Array.map', file: '/app/main.js', line: 1, column: 9 }),
    ];
    expect(mapReportedFrames(frames, maps)).toEqual([
      reportedFrame({ function: 'sell', file: 'src/shop.ts', line: 41, column: 7 }),
      reportedFrame({ function: 'Array.map', file: 'src/shop.ts', line: 41, column: 7 }),
    ]);
  });

  it('stay as they are without a place, without a map, and where an address says more', () => {
    const frames = [
      reportedFrame({ function: 'e', file: '/app/other.js', line: 1, column: 9 }),
      reportedFrame({ function: 'e', file: '/app/main.js', line: 1 }),
      reportedFrame({ function: 'Array.map', file: '<anonymous>' }),
      reportedFrame({ address: 0x1000n, file: '/app/main.js', line: 1, column: 9 }),
    ];
    expect(mapReportedFrames(frames, maps)).toEqual(frames);
    expect(mapReportedFrames(frames, null)).toBe(frames);
  });
});

describe('the place that a crash names', () => {
  it('is mapped when its whole line is from one line', () => {
    const location = { file: '/app/main.js', line: 7, function: 'e' };
    expect(mapReportedLocation(location, maps)).toEqual({ file: 'src/shop.ts', line: 47, function: 'e' });
    for (const other of [{ ...location, line: 8 }, { ...location, line: null }, { ...location, file: '/x.js' }, null]) {
      expect(mapReportedLocation(other, maps)).toEqual(other);
    }
    expect(mapReportedLocation(location, null)).toBe(location);
  });
});
