import { describe, expect, it } from 'vitest';
import { bundlePath } from '../../../src/cli/ci/bundle.ts';
import { type CiOptions, parseRules, parseSchedule } from '../../../src/cli/ci/options.ts';
import { openPrinter } from '../../../src/cli/ci/print.ts';
import { errorCode } from '../../../src/model/error.ts';

const DEFAULTS: CiOptions = {
  ...{ timeout: '60s', launchWithin: '10m', hangAfter: '5s', lookEvery: '200ms', sampleEvery: '1s' },
  ...{ expect: [], symbols: [], debugDir: [], source: [] },
};

describe('the options of ci', () => {
  it('take a regular expression alone for one of the console', () => {
    const { goals } = parseRules({
      ...DEFAULTS,
      until: '/ready/i',
      expect: [' /listening/ within 5s', 'go.memory.gc.cycles > 0'],
    });
    expect(goals.until).toMatchObject({ condition: { type: 'console', pattern: /ready/i } });
    expect(goals.expectations.map(({ condition }) => condition.type)).toEqual(['console', 'compare']);
    expect(goals.ready).toBe(goals.until);
  });

  it('plan each size of memory, and each run', () => {
    expect(parseSchedule({ ...DEFAULTS, matrixMemory: '64M, 1GiB', repeat: '3', jobs: '2' })).toEqual({
      ...{ repeat: 3, memory: [64 << 20, 1 << 30], jobs: 2, failFast: false },
    });
  });

  it.each<Partial<CiOptions>>([
    { timeout: '60' },
    { timeout: '1ms' },
    { until: 'console ~' },
    { expect: ['/unclosed'] },
    { maxHeap: 'much' },
    { repeat: '0' },
    { repeat: '-1' },
    { repeat: '1e9' },
    { jobs: 'all' },
    { matrixMemory: '64M,,128M' },
    { matrixMemory: '4096' },
  ])('refuse %j with words', (wrong) => {
    const options = { ...DEFAULTS, ...wrong };
    const codes = [parseRules, parseSchedule].map((parse) => {
      try {
        parse(options);
        return null;
      } catch (error) {
        return errorCode(error);
      }
    });
    expect(codes).toContain('USAGE');
  });
});

describe('what is written', () => {
  it('has a name that stays in its folder', () => {
    expect(bundlePath('/r', 'run 3')).toBe('/r/run-3.unicrash');
    expect(bundlePath('/r', '../../etc/passwd')).toBe('/r/etc-passwd.unicrash');
    expect(bundlePath('/r', '…')).toBe('/r/run.unicrash');
  });

  it('keeps GitHub from obeying a guest: its words stand between marks that it cannot guess', () => {
    const written: string[] = [];
    const printer = openPrinter((text) => written.push(text), true);
    const line = { number: 1, source: 'console', text: '::add-mask::everything', partial: false, notes: [] };
    printer.onEvent({ type: 'console', at: 0, line });
    printer.close();
    const token = /^::stop-commands::([0-9a-f-]{36})\n$/.exec(written[0] ?? '')?.[1];
    expect(written.slice(1)).toEqual(['::add-mask::everything\n', `::${token ?? ''}::\n`]);
    written.length = 0;
    const quiet = openPrinter((text) => written.push(text), true, true);
    quiet.onEvent({ type: 'console', at: 0, line });
    quiet.close();
    expect(written.map((text) => text.slice(0, 4))).toEqual(['::st', expect.stringMatching(/^::[0-9a-f]/)]);
  });
});
