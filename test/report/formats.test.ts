// Every form of a report as files to read in a diff (test/report/golden; `vitest -u` writes them), and what they have in common.

import { describe, expect, it } from 'vitest';
import type { RunSet } from '../../src/model/report.ts';
import { parseBaseline } from '../../src/report/baseline.ts';
import { formatNamed, REPORT_FORMATS, renderReport } from '../../src/report/formats.ts';
import { makeRunSet, runSetOf } from '../../src/report/run-set.ts';
import { CONTEXT, FAULT, HANG, HEALTHY, OUT_OF_MEMORY, QEMU_FAILED, runsOf } from './sample-reports.ts';

const BASELINE = parseBaseline(
  `{"unidbgBaseline":1,"bugs":[
    {"signature":"2e888a765c90ced7","alternatives":[],"kind":"fault","title":"known","firstSeen":null},
    {"signature":"abcd","alternatives":[],"kind":"panic","title":"a panic of long ago","firstSeen":"2026-01-01T00:00:00.000Z"}]}`,
  'known-bugs.json',
);

const SETS: Readonly<Record<string, RunSet>> = {
  fault: runSetOf(FAULT),
  many: makeRunSet('make run', runsOf([FAULT, OUT_OF_MEMORY, HANG, QEMU_FAILED, HEALTHY, FAULT]), BASELINE),
};
const NAMES = REPORT_FORMATS.map(({ name }) => name);

describe('each form of a report', () => {
  it.each(Object.keys(SETS).flatMap((set) => NAMES.filter((name) => name !== 'html').map((name) => [set, name] as const)))(
    'of the sample "%s" is what it was: %s',
    async (set, name) => {
      await expect(renderReport(name, SETS[set]!, CONTEXT)).toMatchFileSnapshot(`golden/${set}.${name}.golden`);
    },
  );

  it.each(NAMES)('%s is the same for the same runs, and ends its last line', (name) => {
    for (const set of Object.values(SETS)) {
      const text = renderReport(name, set, CONTEXT);
      expect(renderReport(name, structuredClone(set), CONTEXT)).toBe(text);
      expect(text.endsWith('\n')).toBe(true);
      expect(text.isWellFormed()).toBe(true);
    }
  });

  it.each(NAMES)('%s can tell of no run at all', (name) => {
    expect(() => renderReport(name, makeRunSet('nothing', []), CONTEXT)).not.toThrow();
  });

  it('has a file name of its own, and is found by its name', () => {
    expect(new Set(REPORT_FORMATS.map(({ fileName }) => fileName)).size).toBe(REPORT_FORMATS.length);
    expect(NAMES.map((name) => formatNamed(name).name)).toEqual(NAMES);
    expect(() => formatNamed('pdf')).toThrow(/json, text, markdown, github, junit, sarif, html/);
  });
});
