// What the SARIF 2.1.0 schema asks of the parts that are written, checked without it (docs/report.md: it was validated by hand against
// OASIS' own); and what the parts say.

import type { Location, Result } from 'sarif';
import { describe, expect, it } from 'vitest';
import type { Report } from '../../src/model/report.ts';
import { makeRunSet, runSetOf } from '../../src/report/run-set.ts';
import { toSarif } from '../../src/report/sarif.ts';
import { CONTEXT, FAULT, HANG, HEALTHY, OUT_OF_MEMORY, QEMU_FAILED, runsOf } from './sample-reports.ts';

const BASELINE = {
  path: 'known.json',
  bugs: [
    { signature: FAULT.crash!.signature, alternatives: [], kind: 'fault' as const, title: 'known', firstSeen: null },
    { signature: 'abcd', alternatives: [], kind: 'panic' as const, title: 'gone', firstSeen: null },
  ],
};
const LOG = toSarif(makeRunSet('make run', runsOf([FAULT, OUT_OF_MEMORY, HANG, QEMU_FAILED, HEALTHY, FAULT]), BASELINE), CONTEXT);
const [RUN] = LOG.runs;
const RESULTS = RUN!.results!;

function locationsOf(result: Result): readonly Location[] {
  const steps = (result.codeFlows ?? []).flatMap(({ threadFlows }) => threadFlows.flatMap(({ locations }) => locations));
  const frames = (result.stacks ?? []).flatMap((stack) => stack.frames);
  return [
    ...(result.locations ?? []),
    ...(result.relatedLocations ?? []),
    ...[...steps, ...frames].flatMap(({ location }) => location ?? []),
  ];
}

describe('SARIF', () => {
  it('has what the standard requires: version, driver, rules by index, messages, lines from 1, ids from 0', () => {
    expect(LOG.version).toBe('2.1.0');
    const { driver } = RUN!.tool;
    for (const result of RESULTS) {
      expect(result.message.text).toBeTruthy();
      if (result.ruleIndex !== undefined) expect(driver.rules![result.ruleIndex]?.id).toBe(result.ruleId);
      for (const { physicalLocation, id } of locationsOf(result)) {
        const { startLine = 1, startColumn = 1 } = physicalLocation?.region ?? {};
        expect(Math.min(startLine, startColumn)).toBeGreaterThanOrEqual(1);
        expect(id ?? 0).toBeGreaterThanOrEqual(0);
        if (physicalLocation !== undefined) expect(physicalLocation.artifactLocation ?? physicalLocation.address).toBeDefined();
      }
    }
    for (const { executionSuccessful } of RUN!.invocations!) expect(typeof executionSuccessful).toBe('boolean');
    expect(new Set(driver.rules!.map(({ id }) => id)).size).toBe(driver.rules!.length);
  });

  it('is one result a bug, known by its signature, new, unchanged or absent', () => {
    expect(
      RESULTS.map(({ ruleId, baselineState, occurrenceCount, partialFingerprints }) => [
        ruleId,
        baselineState,
        occurrenceCount,
        partialFingerprints!['unidbgSignature/v1'],
      ]),
    ).toEqual([
      ['unidbg/fault', 'unchanged', 2, '2e888a765c90ced7'],
      ['unidbg/out-of-memory', 'new', 1, 'ccac0dcbda91a777'],
      ['unidbg/hang', 'new', 1, '939ffb5a1b382aaf'],
      ['unidbg/fixed', 'absent', undefined, 'abcd'],
    ]);
  });

  it('without a baseline says nothing of what is new', () => {
    const [result] = toSarif(runSetOf(FAULT), CONTEXT).runs[0]!.results!;
    expect(result!.baselineState).toBeUndefined();
  });

  it('points at the guilty line, relative to the repository', () => {
    expect(RESULTS[0]!.locations![0]!.physicalLocation).toEqual({
      artifactLocation: { uri: 'src/server.c', uriBaseId: '%SRCROOT%' },
      region: { startLine: 41, startColumn: 5 },
    });
  });

  it('points at the console where no line of the repository is known: code scanning refuses a result without a place', () => {
    const elsewhere: Report = { ...FAULT, sources: [], source: 'logs/a b.log' };
    const [result] = toSarif(runSetOf(elsewhere), CONTEXT).runs[0]!.results!;
    expect(result!.locations![0]!.physicalLocation).toEqual({
      artifactLocation: { uri: 'logs/a%20b.log' },
      region: { startLine: 2 },
    });
  });

  it('tells the way to the crash from the outermost call on, and QEMU’s end', () => {
    const steps = RESULTS[0]!.codeFlows![0]!.threadFlows[0]!.locations;
    expect(steps.map(({ location }) => location!.message!.text)).toEqual([
      'main+0x4 (main.c:7)',
      'handle+0x4 (server.c:41)',
      'memcpy+0x4',
    ]);
    expect(RUN!.invocations!.map(({ exitCode, executionSuccessful }) => [exitCode, executionSuccessful])).toEqual([
      [1, true],
      [undefined, true],
      [undefined, true],
      [1, false],
      [undefined, true],
      [1, true],
    ]);
  });
});
