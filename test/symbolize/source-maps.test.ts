// Places in scripts as Node prints them, mapped by what the TypeScript compiler and Rolldown wrote beside them, compared with what
// `node --enable-source-maps` prints of the same death; maps that are of something else, and maps that somebody made up.

import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorCode } from '../../src/model/error.ts';
import { decodeSourceMap, sourcePath } from '../../src/symbolize/source-map-text.ts';
import { openSourceMaps, openSourceMapsAmong, type ScriptPosition, type SourceMaps } from '../../src/symbolize/source-maps.ts';
import { Scratch } from '../elf/scratch.ts';
import { BUILDS, buildProgram, runScript, STACKS } from './script-programs.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

/** Frames of what Node printed; its own and those without a place left out. */
function framesOf(text: string): (ScriptPosition & { readonly function: string | null })[] {
  return text.split('\n').flatMap((line) => {
    const match = /^ {4}at (?:async )?(?:(.+) \((.+):(\d+):(\d+)\)|(.+):(\d+):(\d+))$/.exec(line);
    if (match === null || line.includes('node:internal/')) return [];
    const [, name = null, inner, line1, column1, bare, line2, column2] = match;
    const [at, column] = [Number(line1 ?? line2), Number(column1 ?? column2)];
    return [{ file: inner ?? bare!, line: at, column, function: name === '<anonymous>' ? null : name }];
  });
}

/** Opens maps for one question, and closes them. */
async function withMaps<T>(paths: readonly string[], ask: (maps: SourceMaps) => T): Promise<T> {
  const maps = await openSourceMaps(paths);
  try {
    return ask(maps);
  } finally {
    maps.close();
  }
}

describe('the stacks of a real death', () => {
  describe.each(BUILDS)('built by $name', ({ name }) => {
    let script = '';
    let printed = '';
    let root = '';
    beforeAll(async () => {
      root = join(scratch.path, name);
      script = await buildProgram(root, name);
      printed = runScript(script);
    });

    it('are at the lines that people wrote, under the names that they gave', async () => {
      const frames = framesOf(printed);
      expect(frames).toHaveLength(STACKS.length);
      const mapped = await withMaps([join(root, 'dist')], (maps) => frames.map((frame) => maps.map(frame)));
      for (const [index, { name: wanted, text }] of STACKS.entries()) {
        const place = mapped[index]!;
        expect(readFileSync(place.file, 'utf8').split('\n')[place.line - 1]).toContain(text);
        const called = place.function ?? frames[index]!.function;
        // Minifiers take a variable away that is used once, and the function's name with it.
        expect(called, text).toBe(wanted === 'sumOf' && name.startsWith('minified') ? null : wanted);
      }
    });

    it('are where node --enable-source-maps finds them', async () => {
      // Node finds no map that the script does not name.
      if (name === 'minified-hidden') appendFileSync(script, '\n//# sourceMappingURL=main.js.map\n');
      const theirs = framesOf(runScript(script, ['--enable-source-maps']));
      expect(theirs).toHaveLength(STACKS.length);
      const ours = await withMaps([script, join(dirname(script), 'list.js')].slice(0, name.startsWith('tsc') ? 2 : 1), (maps) =>
        framesOf(printed).map((frame) => maps.map(frame)),
      );
      expect(ours.map((place) => `${place?.file}:${place?.line}:${place?.column}`)).toEqual(
        theirs.map(({ file, line, column }) => `${file}:${line}:${column}`),
      );
    });
  });

  it('are found through an index map of two scripts in one', async () => {
    const root = join(scratch.path, 'index');
    await buildProgram(root, 'minified');
    const main = readFileSync(join(root, 'dist', 'main.js'), 'utf8');
    const map: unknown = JSON.parse(readFileSync(join(root, 'dist', 'main.js.map'), 'utf8'));
    // Blocks of their own, on the second line and behind a comment on the third.
    const body = main.replace(/\n?\/\/# sourceMappingURL.*\s*$/, '').replace(/export\s*\{\s*\};?/, '');
    writeFileSync(join(root, 'dist', 'both.js'), `//\n{${body}}\n/**/{${body}}\n//# sourceMappingURL=both.js.map`);
    const sections = [
      { offset: { line: 1, column: 1 }, map },
      { offset: { line: 2, column: 5 }, map },
    ];
    writeFileSync(join(root, 'dist', 'both.js.map'), JSON.stringify({ version: 3, sections }));
    const script = join(root, 'dist', 'both.js');
    const frames = framesOf(runScript(script));
    // Node 24 maps nothing by an index map: what each of the two alone is mapped to is what both are.
    const alone = framesOf(runScript(join(root, 'dist', 'main.js'), ['--enable-source-maps']));
    const ours = await withMaps([`${script}.map`], (maps) => frames.map((frame) => maps.map(frame)));
    expect(new Set(frames.map(({ line }) => line))).toEqual(new Set([2, 3]));
    expect(frames.length).toBeGreaterThan(alone.length);
    expect(new Set(ours.map((place) => `${place?.file}:${place?.line}:${place?.column}`))).toEqual(
      new Set(alone.map(({ file, line, column }) => `${file}:${line}:${column}`)),
    );
    expect(ours.map((place) => place?.function)).toContain('handleRequest');
  });
});

describe('names of functions', () => {
  it('are not taken from another function that a minifier calls the same', async () => {
    // The function and the arrow's parameter are both `e`; V8 has no name for the arrow.
    const script = 'function e(n){return n.map(e=>{throw e})}';
    const map = { version: 3, sources: ['a.js'], names: ['visit', 'each'], mappings: 'AAAA,SAASA,kBAAkBC' };
    writeFileSync(join(scratch.path, 'same.js'), script);
    writeFileSync(join(scratch.path, 'same.js.map'), JSON.stringify(map));
    const namesAt = async (text: string, printed: readonly string[]): Promise<(string | null | undefined)[]> =>
      withMaps([join(scratch.path, 'same.js')], (maps) =>
        printed.map(
          (name) => maps.map({ file: '/same.js', line: 1, column: script.indexOf(text) + 1, function: name })?.function,
        ),
      );
    expect(await namesAt('throw', ['e', 'new e', 'e.run', 'n'])).toEqual([null, null, null, null]);
    expect(await namesAt('n.map', ['e', 'new e', 'async e', 'e.run', 'n', 'Object.<anonymous>'])).toEqual([
      ...['visit', 'new visit', 'visit'],
      ...[null, null, null],
    ]);
  });

  it('are left as printed without the script, which only tells whose they are', async () => {
    const root = join(scratch.path, 'alone');
    const script = await buildProgram(root, 'minified');
    const frames = framesOf(runScript(script));
    mkdirSync(join(root, 'maps'));
    cpSync(`${script}.map`, join(root, 'maps', 'main.js.map'));
    const places = await withMaps([join(root, 'maps', 'main.js.map')], (maps) => frames.map((frame) => maps.map(frame)));
    expect(places.every((place) => place !== null && place.function === null)).toBe(true);
    expect(places[0]?.file).toBe(join(root, 'src', 'list.ts'));
  });
});

describe('which script a place is in', () => {
  const MAP = JSON.stringify({ version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA;AACA' });
  function project(name: string, files: Readonly<Record<string, string>>): string {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(scratch.path, name, path)), { recursive: true });
      writeFileSync(join(scratch.path, name, path), content);
    }
    return join(scratch.path, name);
  }
  const fileOf = (maps: SourceMaps, file: string): string | undefined => maps.map({ file, line: 1, column: 1 })?.file;

  it('is known by the longest common end of the paths, never by a name that two have', async () => {
    const root = project('ends', {
      'dist/api/index.js': 'one\ntwo',
      'dist/api/index.js.map': MAP,
      'dist/web/index.js': 'one\ntwo',
      'dist/web/index.js.map': MAP,
    });
    await withMaps([root], (maps) => {
      expect(fileOf(maps, '/srv/app/api/index.js')).toBe(join(root, 'dist/api/a.ts'));
      expect(fileOf(maps, 'file:///x%20y/web/index.js')).toBe(join(root, 'dist/web/a.ts'));
      expect(fileOf(maps, '/app/other/index.js')).toBeUndefined();
      expect(fileOf(maps, '/app/other.js')).toBeUndefined();
      expect(maps.diagnostics).toEqual([
        {
          code: 'source-map-ambiguous',
          message: expect.stringMatching(/^\/app\/other\/index\.js may be .*api.* or .*web/) as string,
        },
      ]);
    });
  });

  it('is not one of another package of the same name, nor two at once', async () => {
    const root = project('packages', { 'index.js': 'one\ntwo', 'index.js.map': MAP });
    await withMaps([root], (maps) => {
      expect(fileOf(maps, '/app/node_modules/express/index.js')).toBeUndefined();
      expect(maps.diagnostics).toEqual([]);
      expect(fileOf(maps, '/app/lib/index.js')).toBe(join(root, 'a.ts'));
      expect(fileOf(maps, '/app/bin/index.js')).toBeUndefined();
      expect(maps.diagnostics).toMatchObject([{ code: 'source-map-ambiguous' }]);
    });
  });

  it('is said where the place is not in it: of another build', async () => {
    const root = project('builds', { 'app.js': 'one\ntwo', 'app.js.map': MAP });
    await withMaps([root], (maps) => {
      for (const [line, column] of [
        [1, 5],
        [1, 2],
        [3, 1],
        [0, 1],
        [1, 0],
        [2 ** 31, 1],
        [1, 2 ** 31],
      ] as const) {
        expect(maps.map({ file: '/app.js', line, column })).toBeNull();
      }
      expect(maps.map({ file: '/app.js', line: 2, column: 4 })).toEqual({
        ...{ file: join(root, 'a.ts'), line: 2, column: 1 },
        function: null,
      });
      expect(maps.diagnostics).toEqual([
        {
          code: 'source-map-mismatch',
          message: expect.stringMatching(/does not cover \/app\.js:1:5: is it of another/) as string,
        },
      ]);
    });
  });

  it('has no names and places any more when it is gone, and that is said', async () => {
    const root = project('gone', { 'app.js': 'one\ntwo', 'app.js.map': MAP });
    await withMaps([root], (maps) => {
      rmSync(join(root, 'app.js'));
      expect(fileOf(maps, '/app.js')).toBeUndefined();
      expect(maps.diagnostics).toMatchObject([{ code: 'source-map-unreadable' }]);
    });
  });

  it('has lines of which all is from one line', async () => {
    const map = JSON.stringify({ version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA,CAAC;AACA,CACA' });
    const root = project('lines', { 'app.js': 'one\ntwo', 'app.js.map': map });
    await withMaps([root], (maps) => {
      expect(maps.mapLine('/app.js', 1)).toEqual({ file: join(root, 'a.ts'), line: 1 });
      expect(maps.mapLine('/app.js', 2)).toBeNull();
      expect(maps.mapLine('/app.js', 3)).toBeNull();
      expect(maps.mapLine('/other.js', 1)).toBeNull();
      expect(maps.diagnostics).toEqual([]);
    });
  });

  it('has no map where there is none, and that is said', async () => {
    const root = project('missing', {
      'plain.js': 'one',
      'far.js': 'one\n//# sourceMappingURL=https://example.com/far.js.map',
      'out.js': 'one\n//# sourceMappingURL=../secret.js.map\n',
      'absolute.js': `one\n//# sourceMappingURL=${join(scratch.path, 'secret.js.map')}`,
      'inline.js': 'one\n//# sourceMappingURL=data:text/plain,abc',
      'broken.js.map': '{',
      'quoted.js': 'x = "//# sourceMappingURL=" + y\n/*# sourceMappingURL=other.map */',
      'other.map': MAP,
    });
    writeFileSync(join(scratch.path, 'secret.js.map'), MAP);
    symlinkSync(scratch.path, join(root, 'loop'));
    symlinkSync(join(scratch.path, 'secret.js.map'), join(root, 'link.js.map'));
    await withMaps([root], (maps) => {
      for (const name of ['plain', 'far', 'out', 'absolute', 'inline', 'broken', 'secret', 'link'])
        expect(fileOf(maps, `/app/${name}.js`), name).toBeUndefined();
      expect(fileOf(maps, '/app/quoted.js')).toBe(join(root, 'a.ts'));
      expect(maps.diagnostics.map(({ code, message }) => `${code} ${/\w+\.js/.exec(message)?.[0]}`)).toEqual([
        'source-map-malformed inline.js',
        'source-map-malformed broken.js',
        'source-map-missing far.js',
        'source-map-missing out.js',
        'source-map-missing absolute.js',
        'source-map-missing inline.js',
      ]);
    });
    await withMaps([join(root, 'plain.js')], (maps) => {
      expect(maps.diagnostics).toMatchObject([{ code: 'source-map-missing' }]);
    });
    await expect(openSourceMaps([join(root, 'broken.js.map')])).rejects.toMatchObject({ code: 'SOURCE_MAP_MALFORMED' });
    await expect(openSourceMaps([join(root, 'gone.js')])).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  });

  it('is told apart from images by its name', async () => {
    const root = project('among', { 'app.js.map': MAP, 'kernel.elf': '' });
    const { maps, images } = await openSourceMapsAmong([join(root, 'kernel.elf'), join(root, 'app.js.map')]);
    expect(images).toEqual([join(root, 'kernel.elf')]);
    expect(maps).not.toBeNull();
    maps?.close();
    expect(maps?.map({ file: '/app.js', line: 1, column: 1 })).toBeNull();
    expect(await openSourceMapsAmong([join(root, 'kernel.elf')])).toMatchObject({ maps: null });
  });
});

describe('names of sources', () => {
  it.each([
    ['../src/a.ts', '', 'dist', 'src/a.ts'],
    ['a.ts', '../src', 'dist', 'src/a.ts'],
    ['/a.ts', '../src/', '/app/dist', '/app/src/a.ts'],
    ['/src/a.ts', '', 'dist', '/src/a.ts'],
    ['webpack://shop/./src/a.ts', '', 'dist', 'src/a.ts'],
    ['webpack:///src/a.ts?1f2e', '', 'dist', 'src/a.ts'],
    ['./src/a.ts', 'webpack://shop/', 'dist', 'src/a.ts'],
    ['webpack://shop/../../etc/passwd', '', 'dist', 'etc/passwd'],
    ['file:///home/me/a%20b.ts', '', 'dist', '/home/me/a%20b.ts'.replace('%20', ' ')],
    ['https://example.com/a.ts', '', 'dist', 'https://example.com/a.ts'],
    ['../../../a\u001b[31m.ts', '', 'dist', '../../a?[31m.ts'],
  ])('%s under %s in %s is %s', (source, root, folder, path) => {
    expect(sourcePath(source, root, folder)).toBe(path);
  });
});

describe('maps that somebody made up', () => {
  const plain = { version: 3, sources: ['a.ts'], names: ['b'], mappings: 'AAAAA' };

  it.each([
    ['no JSON', '{'],
    ['a list', '[]'],
    ['null', 'null'],
    ['another version', JSON.stringify({ ...plain, version: 2 })],
    ['no mappings', JSON.stringify({ ...plain, mappings: undefined })],
    ['mappings that are numbers', JSON.stringify({ ...plain, mappings: 5 })],
    ['mappings of other characters', JSON.stringify({ ...plain, mappings: 'AAAA\u0141' })],
    ['mappings without end', JSON.stringify({ ...plain, mappings: 'A,'.repeat(17 * 1024 * 1024) })],
    ['no sources', JSON.stringify({ ...plain, sources: { __proto__: null, length: 5 } })],
    ['too many sources', JSON.stringify({ ...plain, sources: Array.from({ length: 100_001 }, () => 'a') })],
    [
      'sections in sections',
      JSON.stringify({ version: 3, sections: [{ offset: { line: 0, column: 0 }, map: { version: 3, sections: [] } }] }),
    ],
    ['sections elsewhere', JSON.stringify({ version: 3, sections: [{ offset: { line: 0, column: 0 }, url: 'http://x/' }] })],
    ['sections nowhere', JSON.stringify({ version: 3, sections: [{ offset: { line: -1, column: 0 }, map: plain }] })],
    ['a deep list', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
  ])('are refused: %s', (_what, text) => {
    expect(codeOf(() => decodeSourceMap(text, '.', 'x.map'))).toBe('SOURCE_MAP_MALFORMED');
  });

  it.each([
    ['a source that is not there', { ...plain, mappings: 'AEAA' }],
    ['a name that is not there', { ...plain, mappings: 'AAAAE' }],
    ['half a number', { ...plain, mappings: 'AAAg' }],
    ['a negative line', { ...plain, mappings: 'AADA' }],
    ['a huge number', { ...plain, mappings: 'AAggggggggE' }],
    ['sections out of order', { version: 3, sections: [4, 2].map((line) => ({ offset: { line, column: 0 }, map: plain })) }],
  ])('are remarked on, or refused when they were asked for: %s', async (_what, map) => {
    const path = scratch.write('bad.js.map', JSON.stringify(map));
    const result = await withMaps(
      [path],
      (maps) => [maps.map({ file: '/bad.js', line: 1, column: 1 }), maps.diagnostics] as const,
    ).catch((error: unknown) => errorCode(error));
    if (typeof result === 'string') expect(result).toBe('SOURCE_MAP_MALFORMED');
    else expect(result).toMatchObject([null, [{ code: 'source-map-malformed' }]]);
  });

  it('hold names of objects as names', async () => {
    const text =
      '{"__proto__":{"version":1},"version":3,"sources":["__proto__","constructor"],"names":["__proto__"],"mappings":"AAAAA,CCAA"}';
    const path = scratch.write('proto.js.map', text);
    const places = await withMaps([path], (maps) =>
      [1, 2].map((column) => maps.map({ file: '/proto.js', line: 1, column })?.file),
    );
    expect(places).toEqual([join(scratch.path, '__proto__'), join(scratch.path, 'constructor')]);
  });

  it('throw nothing else, cut at any byte or changed anywhere', async () => {
    const root = join(scratch.path, 'fuzz');
    const script = await buildProgram(root, 'minified');
    const text = readFileSync(`${script}.map`, 'utf8').replace(/"sourcesContent":\[.*?\],"map/, '"map');
    for (let length = 0; length < text.length; length += 1) {
      expect(
        codeOf(() => decodeSourceMap(text.slice(0, length), '.', 'x.map')),
        String(length),
      ).toBe('SOURCE_MAP_MALFORMED');
    }
    const at = text.indexOf('"mappings":"') + 12;
    const end = text.indexOf('"', at);
    const digit = fc.constantFrom('A', 'B', 'C', 'D', 'E', 'g', 'Q', 'h', 'z', '9', '+', '/', ',', ';');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.integer({ min: at, max: end - 1 }), digit), { maxLength: 20 }), async (changes) => {
        const changed = text.split('');
        for (const [index, char] of changes) changed[index] = char;
        writeFileSync(`${script}.map`, changed.join(''));
        await withMaps([`${script}.map`], (maps) => {
          for (let column = 1; column < 800; column += 7) maps.map({ file: script, line: 1, column, function: 'e' });
          for (const { code } of maps.diagnostics) expect(['source-map-malformed', 'source-map-mismatch']).toContain(code);
        });
      }),
      { numRuns: 60 },
    );
  });
});

function codeOf(act: () => unknown): string | null {
  try {
    act();
    return null;
  } catch (error) {
    return errorCode(error) ?? String(error);
  }
}
