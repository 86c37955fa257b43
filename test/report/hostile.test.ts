// A guest writes its console, its symbols' names and its metrics. Whatever it writes there, every form keeps its structure.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Report, RunSet } from '../../src/model/report.ts';
import { renderReport } from '../../src/report/formats.ts';
import { makeRunSet, runSetOf } from '../../src/report/run-set.ts';
import { CONTEXT, FAULT, HANG, HEALTHY, OUT_OF_MEMORY, QEMU_FAILED, runsOf } from './sample-reports.ts';
import { elementsOf, parseCommands, parseMarkup, textOf } from './structure.ts';

/** What is said in one of a few words: no guest writes it. */
const OURS = new Set(['verdict', 'kind', 'trust', 'status', 'machine', 'match', 'severity', 'end', 'signature', 'witness', 'by']);
const STATES = new Set(['met', 'failed', 'undecided']);

const hostile = fc.oneof(
  { weight: 3, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
  {
    weight: 3,
    arbitrary: fc
      .array(
        fc.constantFrom(
          ...[
            ']]>',
            '</script>',
            '<script>alert(1)</script>',
            '::error file=x::y',
            '::',
            '%0A',
            '|',
            '`',
            '```',
            '\n',
            '\r',
            '\u2028',
          ],
          ...[
            '\ufffe',
            '\uffff',
            '\ud800',
            '\udfff',
            '\u0000',
            '\u001b[31m',
            '\u0085',
            '\u202e',
            '\t',
            '&amp;',
            '&#0;',
            '"',
            "'",
            '<!--',
          ],
          ...[
            '-->',
            '@user',
            '![x](http://e.vil)',
            '[x](javascript:alert(1))',
            'www.e.vil',
            'https://e.vil',
            '</pre>',
            '</details>',
          ],
          ...[
            '\n\n# x',
            '- ',
            '1. ',
            '<b>',
            '$`',
            '__proto__',
            '../../x',
            '//e.vil/x',
            'a:b',
            ',',
            '=',
            '##[error]',
            '{{',
            '${{ x }}',
          ],
        ),
        { maxLength: 6 },
      )
      .map((parts) => parts.join('')),
  },
);

/** The report with strings of a guest in the place of its own. */
function poison<T>(value: T, next: () => string, key = ''): T {
  if (typeof value === 'string') return (OURS.has(key) || STATES.has(value) ? value : next()) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => poison(item, next, key)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, poison(field as unknown, next, name)])) as T;
}

const sets: fc.Arbitrary<RunSet> = fc.array(hostile, { minLength: 1, maxLength: 12 }).map((strings) => {
  let at = 0;
  const next = (): string => strings[at++ % strings.length]!;
  const all = [FAULT, OUT_OF_MEMORY, HANG, QEMU_FAILED, HEALTHY].map((report) => poison<Report>(report, next));
  const runs = runsOf(all).map((run) => ({ ...run, name: next(), bundle: next() }));
  const baseline = {
    path: next(),
    bugs: [{ signature: 'abcd', alternatives: [], kind: 'fault' as const, title: next(), firstSeen: null }],
  };
  return at % 2 === 0 ? makeRunSet(next(), runs, baseline) : runSetOf(all[at % all.length]!, baseline);
});

/** Both kinds of sets, with these strings in each of their fields. */
function holds(check: (set: RunSet) => void): void {
  fc.assert(fc.property(sets, check), { numRuns: 150 });
}

describe('whatever a guest writes', () => {
  it('JUnit stays XML, with as many cases as runs, and nothing in it that XML forbids', () => {
    holds((set) => {
      const all = elementsOf(parseMarkup(renderReport('junit', set, CONTEXT), 'xml'));
      expect(all.filter(({ name }) => name === 'testcase')).toHaveLength(set.runs.length);
      expect(all.filter(({ name }) => !JUNIT_NAMES.has(name))).toEqual([]);
    });
  });

  it('the page stays HTML: its tags are ours, its one script is ours, nothing is loaded', () => {
    holds((set) => {
      const all = elementsOf(parseMarkup(renderReport('html', set, CONTEXT), 'html'));
      expect(all.filter(({ name }) => name === 'script')).toHaveLength(1);
      expect(all.filter(({ name }) => !HTML_NAMES.has(name))).toEqual([]);
      const attributes = new Set(all.flatMap((element) => [...element.attributes.keys()]));
      expect([...attributes].filter((name) => name.startsWith('on') || name === 'src' || name === 'style')).toEqual([]);
      const links = all.flatMap(({ attributes: own }) => own.get('href') ?? []);
      expect(links.every((link) => /^#run-\d+$/.test(link))).toBe(true);
    });
  });

  it('Markdown has no link, mention, tag, code or cell but ours', () => {
    holds((set) => {
      const lines = outsideOfPre(renderReport('markdown', set, CONTEXT));
      for (const line of lines) {
        const rest = line
          .replace(/^<details><summary>[^<@]*<\/summary>$|^<\/details>$/, '')
          .replaceAll(/`[0-9a-f]*`|\*\*new\*\*/g, '');
        expect(rest.replaceAll('&#64;&#8203;', '')).not.toMatch(/[<>`@[\]\\$*~]|:\/\/|www\./i);
        expect(rest).not.toMatch(/[^\p{L}\p{N}]_|_[^\p{L}\p{N}]/u);
      }
      for (const row of lines.filter((line) => line.startsWith('|'))) expect([4, 6]).toContain(row.split('|').length - 1);
      expect(
        lines
          .filter((line) => /^(#|\s*[-+*] |\s*\d+[.)] |>|\s{4,}\S|=+$|-+$)/.test(line))
          .every((line) => /^(##? ?#? [✅❌]|- )/u.test(line)),
      ).toBe(true);
    });
  });

  it('workflow commands are ours alone, and say what was told', () => {
    holds((set) => {
      const commands = parseCommands(renderReport('github', set, CONTEXT));
      for (const { level, properties, message } of commands) {
        expect(['error', 'warning', 'notice']).toContain(level);
        expect(['file', 'line', 'col', 'title']).toEqual(expect.arrayContaining(Object.keys(properties)));
        expect(message.length).toBeLessThanOrEqual(4020);
        if (properties['file'] !== undefined) expect(properties['file']).not.toMatch(/^\/|(^|\/)\.\.(\/|$)/);
      }
      expect(commands.length).toBeGreaterThanOrEqual(set.groups.length);
    });
  });

  it('JSON and SARIF stay JSON, a result for each bug, and every URI is one', () => {
    holds((set) => {
      expect(() => JSON.parse(renderReport('json', set, CONTEXT)) as unknown).not.toThrow();
      const sarif = JSON.parse(renderReport('sarif', set, CONTEXT)) as {
        readonly runs: readonly { readonly results: readonly unknown[] }[];
      };
      expect(sarif.runs[0]?.results).toHaveLength(set.groups.length + (set.comparison?.fixed.length ?? 0));
      const uris: string[] = [];
      JSON.stringify(sarif, (key, value: unknown) => {
        if (key === 'uri' && typeof value === 'string') uris.push(value);
        return value;
      });
      for (const uri of uris) expect(uri).toMatch(/^(file:\/\/\/)?(?!\/)[A-Za-z0-9\-._~!'()*%/]+$/);
    });
  });

  it('text keeps to itself: no control character reaches a terminal', () => {
    holds((set) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant.
      expect(renderReport('text', set, CONTEXT)).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/u);
    });
  });
});

describe('what a guest wrote', () => {
  it('is still there to be read, character for character where it can be seen', () => {
    const words = 'a <b> & "c" | ::error:: ]]> @me `x` $y';
    const set = runSetOf({ ...FAULT, crash: { ...FAULT.crash!, title: words, message: words } });
    expect(textOf(parseMarkup(renderReport('html', set, CONTEXT), 'html'))).toContain(words);
    const failure = elementsOf(parseMarkup(renderReport('junit', set, CONTEXT), 'xml')).find(({ name }) => name === 'failure')!;
    expect(failure.attributes.get('message')).toBe(`fault: ${words}`);
    expect(textOf(failure)).toContain(words);
    const [command] = parseCommands(renderReport('github', set, CONTEXT));
    expect(command?.properties['title']).toBe(`fault: ${words}`);
    expect(command?.message.split('\n')[0]).toBe(words);
  });

  it('however much it is, does not make a summary that GitHub refuses', () => {
    const line = { number: 1, source: 'console', text: '&'.repeat(5000), partial: false, notes: [] };
    const long = { ...FAULT, console: { before: 0, lines: Array.from({ length: 500 }, () => line) } };
    const runs = runsOf(
      Array.from({ length: 300 }, (_, index) => ({ ...long, crash: { ...FAULT.crash!, signature: index.toString(16) } })),
    );
    expect(Buffer.byteLength(renderReport('markdown', makeRunSet('many', runs), CONTEXT))).toBeLessThan(1024 ** 2);
  });
});

const JUNIT_NAMES = new Set([
  'testsuites',
  'testsuite',
  'properties',
  'property',
  'testcase',
  'failure',
  'error',
  'system-out',
  'system-err',
]);
const HTML_NAMES = new Set(
  [
    'html head meta title style body header span h1 ul li div button input main section h2 h3 pre dl dt dd p ol details summary b code',
    'table thead tbody tr th td figure figcaption svg line path text a footer script',
  ].flatMap((names) => names.split(' ')),
);

/** Lines of Markdown that are read as such. */
function outsideOfPre(text: string): readonly string[] {
  let inside = false;
  return text.split('\n').filter((line) => {
    if (line === '<pre>') inside = true;
    const isOutside = !inside;
    if (line === '</pre>') inside = false;
    return isOutside;
  });
}
