// Which line of the repository a crash is shown at.

import { describe, expect, it } from 'vitest';
import type { SourceExcerpt } from '../../src/model/report.ts';
import { findPlace, findRepositoryPath } from '../../src/report/places.ts';
import { FAULT, frame } from './sample-reports.ts';

const ROOT = '/home/me/guest';
const excerpt = (file: string, path: string): SourceExcerpt => ({ file, path, line: 1, firstLine: 1, lines: [''] });

describe('a file of a frame', () => {
  it.each([
    ['is where its source was found', 'demo/a.c', [excerpt('demo/a.c', 'src/demo/a.c')], 'src/demo/a.c'],
    ['is in the repository when its absolute name is', '/home/me/guest/src/a.c', [], 'src/a.c'],
    ['is not when it only begins alike', '/home/me/guest2/a.c', [], null],
    ['is not when it climbs out', '/home/me/guest/../a.c', [], null],
    ['is not when its source was found outside', 'a.c', [excerpt('a.c', '/usr/src/a.c')], null],
    ['is not when its source climbs out', 'a.c', [excerpt('a.c', 'src/../../a.c')], null],
    ['is nobody’s when it is relative and was not found', 'src/a.c', [], null],
    ['is not the repository itself', '/home/me/guest', [], null],
    ['is nothing without a name', null, [], null],
  ])('%s', (_, file, sources, expected) => {
    expect(findRepositoryPath(file, sources, ROOT)).toBe(expected);
  });
});

describe('the place of a crash', () => {
  it('is the guilty frame’s', () => {
    expect(findPlace(FAULT.crash!, FAULT.sources, ROOT)).toMatchObject({ path: 'src/server.c', line: 41, isGuilty: true });
  });

  it('is its nearest caller’s in the repository where it is a library’s, and says so', () => {
    const sources = [excerpt('/build/src/main.c', 'src/main.c')];
    expect(findPlace(FAULT.crash!, sources, ROOT)).toMatchObject({ path: 'src/main.c', line: 7, isGuilty: false });
  });

  it('is never one of the machinery of crashing, nor a line that nobody knows', () => {
    const sources = [excerpt('/build/src/panic.c', 'src/panic.c'), excerpt('/build/src/app.c', 'src/app.c')];
    const frames = [frame(0, 'panic', 'panic.c', 3), frame(1, 'app', 'app.c', null)];
    expect(findPlace({ ...FAULT.crash!, frames, guiltyFrame: 1 }, sources, ROOT)).toBeNull();
  });
});
