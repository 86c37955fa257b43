import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isQuoting, makeCrashFilter, splitPrefix } from '../../src/console/crash-filter.ts';
import { stripPrefixes } from '../../src/console/prefixes.ts';
import { WordIndex } from '../../src/console/word-index.ts';
import { RUNTIMES } from '../../src/runtimes/index.ts';
import { UNIKERNELS } from '../../src/unikernels/index.ts';

const LOGS = join(import.meta.dirname, '../panics/logs');
const SYSTEMS = [...RUNTIMES, ...UNIKERNELS];
const filter = makeCrashFilter(SYSTEMS, UNIKERNELS);
const lines = readdirSync(LOGS)
  .flatMap((name) => readFileSync(join(LOGS, name), 'latin1').split(/\r*\n/))
  .filter((line) => /^[ -~]+$/.test(line));

interface Told {
  readonly start: string | null;
  readonly isGlued: boolean;
  readonly omen: boolean;
  readonly banner: string | null;
}

/** What a line means, by asking everybody in turn. */
function askAll(line: string, unikernel: string | null, isGlued = false): Told | null {
  const text = stripPrefixes(line);
  const isAsked = (glued: string | undefined): boolean => !isGlued || (glued !== undefined && text.startsWith(glued));
  const inTurn = SYSTEMS.toSorted((a, b) => Number(b.name === unikernel) - Number(a.name === unikernel));
  const starts = inTurn.flatMap((system) =>
    system.crashes
      .filter((grammar) => isAsked(grammar.glued) && grammar.start.test(splitPrefix(system, text).text))
      .map((grammar) => `${system.name}/${grammar.name}`),
  );
  const omen =
    !isGlued && inTurn.some((system) => system.omens?.some(({ pattern }) => pattern.test(splitPrefix(system, text).text)));
  const banner = isGlued
    ? undefined
    : UNIKERNELS.toSorted((a, b) => Number(b.name === unikernel) - Number(a.name === unikernel)).find((system) =>
        system.recognise.banner?.test(text),
      );
  const here =
    starts[0] !== undefined || omen || banner !== undefined
      ? { start: starts[0] ?? null, isGlued, omen, banner: banner?.name ?? null }
      : null;
  const places = SYSTEMS.flatMap(({ crashes }) =>
    crashes.flatMap(({ glued }) =>
      glued === undefined || isQuoting(text.slice(0, Math.max(0, text.indexOf(glued, 1)))) ? [] : text.indexOf(glued, 1),
    ),
  );
  const at = Math.min(...places.filter((place) => place > 0));
  if (isGlued || starts.length > 0 || at === Number.POSITIVE_INFINITY) return here;
  const behind = askAll(text.slice(at), unikernel, true);
  return behind === null ? here : { ...behind, omen, banner: banner?.name ?? null };
}

function told(text: string, unikernel: string | null): Told | null {
  const meaning = filter.meaningOf(text, unikernel);
  if (meaning === null) return null;
  const { starts, omen, banner } = meaning;
  const start = starts[0] ?? null;
  return {
    start: start === null ? null : `${start.texts.name}/${start.grammar.name}`,
    isGlued: (start?.lead ?? '') !== '',
    omen: omen !== null,
    banner: banner?.name ?? null,
  };
}

describe('the filter', () => {
  it('says of every line of every recorded log what asking every grammar in turn says', () => {
    for (const line of new Set(lines)) expect(told(line, null), line).toEqual(askAll(line, null));
  });

  it('does so behind other text, with a system known, and cut off', () => {
    const piece = fc.record({
      line: fc.constantFrom(...lines.filter((line) => askAll(line, null) !== null)),
      before: fc.constantFrom('', '', 'x', '12 ', 'GET /a ', 'CRIT: [app] <a.c @   12> ', '(XEN) ', '    '),
      length: fc.integer({ min: 0, max: 80 }),
      unikernel: fc.constantFrom(null, ...UNIKERNELS.map(({ name }) => name)),
    });
    fc.assert(
      fc.property(piece, ({ line, before, length, unikernel }) => {
        for (const text of [before + line, before + line.slice(0, length)])
          expect(told(text, unikernel), text).toEqual(askAll(text, unikernel));
      }),
      { numRuns: 1000 },
    );
  });

  it('finds in bytes the first line that means something, and passes by none', () => {
    const some = fc.array(fc.constantFrom(...lines), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(some, (texts) => {
        const bytes = Buffer.from(`${texts.join('\n')}\n`, 'latin1');
        const found = filter.search(bytes, 0, bytes.length);
        const passed = found === 0 ? '' : bytes.subarray(0, bytes.lastIndexOf(10, found - 1) + 1).toString('latin1');
        const others = passed.split('\n').filter((line) => !filter.endsTelling(line, 0, line.length));
        for (const line of others) expect(filter.meaningOf(line, null) === null, line).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('is fast with every system: each first line, banner and omen has a word of three letters or a telling end', () => {
    const named = SYSTEMS.flatMap((system) => [
      ...system.crashes.map((grammar) => [`${system.name}/${grammar.name}`, grammar.start] as const),
      ...(system.omens ?? []).map(({ pattern }) => [`${system.name}: an omen`, pattern] as const),
    ]);
    const banners = UNIKERNELS.flatMap(({ name, recognise }) =>
      recognise.banner === null ? [] : [[`${name}: the banner`, recognise.banner] as const],
    );
    expect(new WordIndex([...named, ...banners]).unknown).toEqual([]);
  });
});
