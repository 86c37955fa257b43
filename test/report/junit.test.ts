import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Report, RunSet } from '../../src/model/report.ts';
import { renderReport } from '../../src/report/formats.ts';
import { makeRunSet } from '../../src/report/run-set.ts';
import { CONTEXT, FAULT, HANG, HEALTHY, OUT_OF_MEMORY, QEMU_FAILED, runsOf } from './sample-reports.ts';
import { elementsOf, parseMarkup } from './structure.ts';

const SCHEMA = join(import.meta.dirname, 'junit.xsd');

function junit(set: RunSet): string {
  return renderReport('junit', set, CONTEXT);
}

/** What libxml2 has to say of it. */
function complaints(xml: string): string {
  const { error, stderr, status } = spawnSync('xmllint', ['--noout', '--nonet', '--schema', SCHEMA, '-'], {
    input: xml,
    encoding: 'utf8',
  });
  if (error !== undefined) throw error;
  return status === 0 ? '' : stderr;
}

const STRANGE = '  a\u0000 \ud800 ]]> <x>&amp; \ufffe  b\t';
const ALL = [FAULT, OUT_OF_MEMORY, HANG, QEMU_FAILED, HEALTHY];

describe('JUnit', () => {
  it.each([
    ['many runs', makeRunSet('make run', runsOf(ALL))],
    ['no runs', makeRunSet('', [])],
    [
      'strange names',
      makeRunSet(
        STRANGE,
        runsOf([{ ...FAULT, seenAt: Number.NaN, crash: { ...FAULT.crash!, title: STRANGE } }]).map((run) => ({
          ...run,
          name: '',
        })),
      ),
    ],
  ])('is what the schema allows: %s', (_, set) => {
    expect(complaints(junit(set))).toBe('');
  });

  it('is not what the schema allows when it is damaged', () => {
    const xml = junit(makeRunSet('make run', runsOf(ALL)));
    expect(complaints(xml.replace('classname=', 'klass='))).toContain('klass');
    expect(complaints(xml.replace('</testsuite>', ''))).not.toBe('');
  });

  it('counts a crash as a failure, QEMU’s own as an error, and a run that passed as neither', () => {
    const all = elementsOf(parseMarkup(junit(makeRunSet('make run', runsOf(ALL))), 'xml'));
    const suite = all.find(({ name }) => name === 'testsuite')!.attributes;
    expect([suite.get('tests'), suite.get('failures'), suite.get('errors')]).toEqual(['5', '3', '1']);
    const outcomes = all.filter(({ name }) => name === 'failure' || name === 'error');
    expect(outcomes.map(({ name, attributes }) => `${name} ${attributes.get('type')!}: ${attributes.get('message')!}`)).toEqual([
      'failure fault: fault: null dereference in handle (server.c:41)',
      'failure out-of-memory: out-of-memory: out of memory in grow (cache.c:9)',
      'failure hang: hang: deadlock between a and b',
      'error qemu-failed: qemu-system-x86_64: -nonsense: invalid option',
    ]);
  });

  it('says which expectation failed where nothing crashed', () => {
    const broken: Report = { ...FAULT, crash: null, verdict: 'expectation-failed' };
    expect(junit(makeRunSet('make run', runsOf([broken])))).toContain('message="go.memory.gc.cycles &gt; 20: it was 9"');
  });

  it('has no failure for a known bug that the user tolerates', () => {
    const [run] = runsOf([FAULT]);
    expect(junit(makeRunSet('make run', [{ ...run!, passed: true }]))).not.toContain('<failure');
  });
});
