// `unidbg symbolize` on the console of a guest that runs JavaScript: places in scripts are told in terms of their source, and every byte
// that came goes through.

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Annotator } from '../../src/cli/symbolize/annotate.ts';
import { Names } from '../../src/cli/symbolize/names.ts';
import { openSourceMaps } from '../../src/symbolize/source-maps.ts';
import { Scratch } from '../elf/scratch.ts';
import { UNIDBG } from '../support/cli.ts';
import { cuts } from '../support/cuts.ts';
import { buildProgram, runScript } from '../symbolize/script-programs.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

const NOTE = / → (?:[\w.]+(?: \w+)? at )?src\/(?:list|main)\.ts:\d+(?::\d+)?/g;

describe('places in scripts in a log', () => {
  let log = '';
  beforeAll(async () => {
    const script = await buildProgram(scratch.path, 'minified');
    // The guest has the script elsewhere.
    log = runScript(script).replaceAll(`file://${scratch.path}/dist/`, '/srv/app/').replaceAll('\n', '\r\n');
  });

  /** Runs in the project's folder, as its author would. */
  function symbolize(
    args: readonly string[],
    input: string | Uint8Array = '',
  ): { stdout: string; stderr: string; status: number | null } {
    const result = spawnSync(process.execPath, [UNIDBG, 'symbolize', ...args], { input, cwd: scratch.path });
    return { stdout: result.stdout.toString('utf8'), stderr: result.stderr.toString('utf8'), status: result.status };
  }

  it('are followed by what people wrote there, and under which name', () => {
    const { stdout, stderr, status } = symbolize(['--symbols', 'dist'], log);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toContain('\r\n    at e.lookUp (/srv/app/main.js:1:139 → Registry.lookUp at src/list.ts:14:40)\r\n');
    expect(stdout).toContain('\r\n    at async o (/srv/app/main.js:1:577 → serveAll at src/main.ts:16:5)\r\n');
    expect(stdout).toMatch(/\r\n {4}at \/srv\/app\/main\.js:1:\d+ → src\/main\.ts:10:82\r\n/);
    expect(stdout.match(NOTE)?.length).toBeGreaterThan(15);
    expect(stdout.replace(NOTE, '')).toBe(log);
  });

  it('are told the same whatever pieces the text comes in', async () => {
    const text = log.split('\r\n').slice(0, 4).join('\r\n');
    const maps = await openSourceMaps([join(scratch.path, 'dist')]);
    const names = Names.place([], { loadBias: null, bases: new Map() }, []);
    const whole = new Annotator(names, maps);
    const expected = whole.push(Buffer.from(text)) + whole.end();
    expect(expected.length).toBeGreaterThan(text.length);
    for (const pieces of cuts(Buffer.from(text))) {
      const annotator = new Annotator(names, maps);
      const told = pieces.map((piece, index) => annotator.push(piece) + (index % 2 === 0 ? annotator.flush() : '')).join('');
      expect(told + annotator.end()).toBe(expected);
    }
    maps.close();
  });

  it('are data with --json, and may be arguments', () => {
    const [line] = symbolize(['--symbols', 'dist', '--json'], log).stdout.split('\n');
    const source = { file: 'src/list.ts', line: 14, column: 40, function: 'Registry.lookUp' };
    expect(JSON.parse(line!)).toMatchObject({ line: 2, addresses: [], positions: [{ text: '/srv/app/main.js:1:139', source }] });
    expect(symbolize(['--symbols', 'dist', 'main.js:1:139', 'main.js:9:1'])).toEqual({
      stdout: 'main.js:1:139 → src/list.ts:14:40\n',
      stderr: expect.stringMatching(
        /"main\.js:9:1"\nunidbg: the map of dist\/main\.js does not cover main\.js:9:1: is it of/,
      ) as string,
      status: 0,
    });
    expect(JSON.parse(symbolize(['--symbols', 'dist', '--json', 'main.js:1:139']).stdout)).toEqual({
      schemaVersion: 1,
      addresses: [{ position: 'main.js:1:139', source: { ...source, function: null } }],
    });
  });

  it('bring nothing from a map that could move the cursor', () => {
    mkdirSync(join(scratch.path, 'evil'));
    const map = { version: 3, sources: ['\u001b[2J\u009b1m.ts'], names: ['\u001b]0;x\u0007'], mappings: 'AAAAA' };
    writeFileSync(join(scratch.path, 'evil', 'a.js'), 'function f(){}');
    writeFileSync(join(scratch.path, 'evil', 'a.js.map'), JSON.stringify(map));
    expect(symbolize(['--symbols', 'evil'], 'at f (a.js:1:1)').stdout).toBe('at f (a.js:1:1 → evil/?[2J?1m.ts:1:1)');
  });

  it('cost time in proportion to the text, whatever it is', () => {
    const started = performance.now();
    for (const part of ['.js:1', '.js:1:1', 'at (', '((((', 'a'.repeat(400), 'main.js:1:2 ']) {
      const input = part.repeat(Math.ceil(200_000 / part.length));
      expect(symbolize(['--symbols', 'dist'], input).stdout.replace(NOTE, '')).toBe(input);
    }
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});
