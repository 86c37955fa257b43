// What the guest printed of its JavaScript, in the words of its source; and everything else as it came.

import { afterAll, describe, expect, it } from 'vitest';
import { reportedFrame } from '../../src/model/console-text.ts';
import { mapReportedCrash, mapReportedFrames, mapReportedLocation } from '../../src/session/map-frames.ts';
import { openSourceMaps, type SourceMaps } from '../../src/symbolize/source-maps.ts';
import { Scratch } from '../elf/scratch.ts';
import { readText } from '../panics/read-console.ts';
import { buildProgram, runScript } from '../symbolize/script-programs.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

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

describe('a crash of minified JavaScript', () => {
  it('is one of the functions and lines that people wrote', async () => {
    const script = await buildProgram(scratch.path, 'minified');
    const [crash] = readText(runScript(script));
    const opened = await openSourceMaps([script]);
    const { frames, message } = mapReportedCrash(crash!, opened);
    expect(message).toBe('RangeError: no entry three');
    expect(frames.map(({ function: name, file, line }) => `${name} ${file?.replace(`${scratch.path}/`, '')}:${line}`)).toEqual([
      'Registry.lookUp src/list.ts:14',
      'null src/main.ts:10',
      'Array.map undefined:null',
      'null src/main.ts:10',
      'handleRequest src/main.ts:11',
      'serveAll src/main.ts:16',
      'startServer src/main.ts:35',
    ]);
    expect(mapReportedCrash(crash!, null)).toBe(crash);
    opened.close();
  });
});
