// The page: what is on it, and that it needs nothing but itself.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Report } from '../../src/model/report.ts';
import { renderReport } from '../../src/report/formats.ts';
import { makeRunSet, runSetOf } from '../../src/report/run-set.ts';
import { CONTEXT, FAULT, HANG, HEALTHY, OUT_OF_MEMORY, QEMU_FAILED, runsOf } from './sample-reports.ts';
import { type Element, elementsOf, parseMarkup, textOf } from './structure.ts';

function page(report: Report): readonly Element[] {
  return elementsOf(parseMarkup(renderReport('html', runSetOf(report), CONTEXT), 'html'));
}

function ofClass(all: readonly Element[], name: string): readonly Element[] {
  return all.filter(({ attributes }) => (attributes.get('class') ?? '').split(' ').includes(name));
}

const headings = (all: readonly Element[]): readonly string[] => all.filter(({ name }) => name === 'h2').map(textOf);

describe('the page', () => {
  it('allows nothing but its own style and script, by their hashes', () => {
    const all = page(FAULT);
    const policy = all.find(({ attributes }) => attributes.has('http-equiv'))!.attributes.get('content')!;
    const hash = (name: string): string =>
      createHash('sha256')
        .update(textOf(all.find((one) => one.name === name)!))
        .digest('base64');
    expect(policy).toBe(
      `default-src 'none'; style-src 'sha256-${hash('style')}'; script-src 'sha256-${hash('script')}'; base-uri 'none'; form-action 'none'`,
    );
    expect(renderReport('html', runSetOf(FAULT), CONTEXT)).not.toMatch(/https?:/);
  });

  it('tells of a crash what happened, where, and what was before', () => {
    const all = page(FAULT);
    expect(textOf(all.find(({ name }) => name === 'h1')!)).toBe('null dereference in handle (server.c:41)');
    expect(headings(all)).toEqual([
      'What happened',
      'Expectations',
      'Memory and garbage collection before the end',
      'Findings',
      'Console',
      'Later crashes: perhaps its consequences',
      'Every vCPU and thread',
      'Registers of the vCPUs',
      'Metrics at the end',
      'How it was run',
      'Images',
      'Remarks',
    ]);
  });

  it('opens the source of the guilty frame at its line', () => {
    const guilty = ofClass(page(FAULT), 'guilty')[0]!;
    const inside = elementsOf(guilty);
    expect(inside.find(({ name }) => name === 'details')!.attributes.has('open')).toBe(true);
    expect(ofClass(inside, 'here').map(textOf)).toEqual(['41  return r->size;']);
  });

  it('marks the console’s lines that tell of the crash', () => {
    const console = ofClass(page(FAULT), 'console').find(({ name }) => name === 'pre')!;
    expect(elementsOf(console).filter(({ name }) => name === 'span').length).toBe(6);
    expect(ofClass(elementsOf(console), 'here').map(textOf)).toEqual(['2page fault at 0x10', '3halted']);
  });

  it('draws memory up to the crash, with holes where nothing was known', () => {
    const figure = page(FAULT).find(({ name }) => name === 'figure')!;
    const inside = elementsOf(figure);
    expect(textOf(inside.find(({ name }) => name === 'figcaption')!)).toBe('Memory of the guest');
    expect(ofClass(inside, 'death')).toHaveLength(1);
    const used = ofClass(inside, 'area').find(({ name }) => name === 'path')!;
    expect(used.attributes.get('d')!.match(/M/g)).toHaveLength(2);
    expect(ofClass(inside, 'key').map(textOf)).toEqual(['used 60.0 MiB', 'limit 64.0 MiB']);
    expect(ofClass(page({ ...FAULT, crash: null, verdict: 'ok' }), 'death')).toEqual([]);
  });

  it('says why memory ran out', () => {
    const section = ofClass(page(OUT_OF_MEMORY), 'memory')[0]!;
    expect(textOf(section)).toMatch(/worker asked for 256 KiB in handle/);
    expect(textOf(section)).toMatch(/\[\]byte81240\.0 MiB/);
  });

  it('folds what is deep, and the middle of what has no end', () => {
    const frames = Array.from({ length: 5000 }, (_, index) => ({ ...FAULT.crash!.frames[1]!, index }));
    const all = page({ ...FAULT, crash: { ...FAULT.crash!, frames, guiltyFrame: 1 }, stacks: [] });
    expect(ofClass(all, 'more').map((element) => textOf(elementsOf(element)[0]!))).toEqual(['4987 callers more']);
    expect(all.filter(({ name }) => name === 'li').length).toBeLessThan(200);
  });

  it('of many runs leads from a table to those that tell something new', () => {
    const set = makeRunSet('make run', runsOf([FAULT, OUT_OF_MEMORY, HANG, QEMU_FAILED, HEALTHY, FAULT]));
    const all = elementsOf(parseMarkup(renderReport('html', set, CONTEXT), 'html'));
    const links = all.filter(({ name }) => name === 'a').map((link) => `${link.attributes.get('href')!} ${textOf(link)}`);
    expect(links).toEqual(['#run-1 run 1', '#run-2 run 2', '#run-3 run 3', '#run-4 run 4']);
    const ids = all.flatMap(({ attributes }) => attributes.get('id') ?? []);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toEqual(expect.arrayContaining(['run-1', 'run-2', 'run-3', 'run-4']));
  });
});
