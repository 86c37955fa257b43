// action.yml: its scripts take inputs as environment variables, and pass them on to unidbg as they are.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const ACTION = readFileSync(resolve(import.meta.dirname, '../action.yml'), 'utf8');

/** The script of the step that has this line: the more indented lines behind `run: |`. */
function scriptOf(mark: string): string {
  const lines = ACTION.slice(ACTION.indexOf(mark)).split('\n');
  const start = lines.findIndex((line) => line.trim() === 'run: |');
  const indent = lines[start]!.indexOf('run:') + 2;
  const end = lines.findIndex((line, index) => index > start && line.trim() !== '' && line.search(/\S/) < indent);
  return lines
    .slice(start + 1, end)
    .map((line) => line.slice(indent))
    .join('\n');
}

/** As GitHub starts it. */
const SHELL = ['--noprofile', '--norc', '-eo', 'pipefail'];
const folder = mkdtempSync(join(tmpdir(), 'unidbg-action-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Runs the step with a `node` that only writes down what it was called with, and ends with status 4. */
function run(inputs: Readonly<Record<string, string>>): { readonly argv: readonly string[]; readonly output: string } {
  const [argv, output] = [join(folder, 'argv'), join(folder, 'output')];
  writeFileSync(output, '');
  writeFileSync(join(folder, 'node'), `#!/bin/sh\nprintf '%s\\0' "$@" > '${argv}'\nexit 4\n`);
  chmodSync(join(folder, 'node'), 0o755);
  const names = [...ACTION.matchAll(/^ {8}(UNIDBG_\w+):/gm)].map(([, name]) => [name!, '']);
  const env: Record<string, string> = {
    ...(Object.fromEntries(names) as Record<string, string>),
    PATH: `${folder}:${process.env['PATH'] ?? ''}`,
    GITHUB_OUTPUT: output,
    GITHUB_ACTION_PATH: '/action',
  };
  const { status, stderr } = spawnSync('bash', [...SHELL, '-c', scriptOf('- id: run')], {
    env: { ...env, ...inputs },
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  return { argv: readFileSync(argv, 'utf8').split('\0').slice(0, -1), output: readFileSync(output, 'utf8') };
}

describe('the action', () => {
  it('never puts an input into the text of a script', () => {
    const scripts = [...ACTION.matchAll(/^( *)run: (\|\n(?:\1 {2}.*\n|\n)*|.*\n)/gm)].map(([, , script]) => script!);
    expect(scripts).toHaveLength(4);
    for (const script of scripts) expect(script).not.toContain('${{');
  });

  it('passes every input on, lists a line each, and leaves out what is empty', () => {
    const { argv, output } = run({
      ...{ UNIDBG_COMMAND: 'make run', UNIDBG_EXPECT: 'console ~ /up/ within 5s\r\n\nheap < 64MiB', UNIDBG_TIMEOUT: '2m' },
      ...{ UNIDBG_SYMBOLS: 'kernel.elf\napp', UNIDBG_BASELINE: 'known.json', UNIDBG_REPORT_DIR: 'out' },
    });
    expect(argv).toEqual([
      ...['/action/src/cli/unidbg.js', 'ci', '--expect=console ~ /up/ within 5s', '--expect=heap < 64MiB', '--timeout=2m'],
      ...['--symbols=kernel.elf', '--symbols=app', '--baseline=known.json', '--name=make run', '--report=out'],
      ...['--', 'bash', '-c', 'make run'],
    ]);
    expect(output).toBe('exit-code=4\nreport-dir=out\n');
  });

  it('runs nothing that an input holds but the command, and lets none speak for another', () => {
    const evil = `$(touch ${folder}/pwned) \`touch ${folder}/pwned\`; "; touch ${folder}/pwned #' * --quiet`;
    const { argv, output } = run({
      ...{
        UNIDBG_COMMAND: 'true',
        UNIDBG_EXPECT: evil,
        UNIDBG_NAME: `--json ${evil}`,
        UNIDBG_REPORT_DIR: 'a\nexit-code=0',
        UNIDBG_UNTIL: '--quiet',
      },
    });
    expect(argv).toEqual([
      ...[
        '/action/src/cli/unidbg.js',
        'ci',
        `--expect=${evil}`,
        '--until=--quiet',
        `--name=--json ${evil}`,
        '--report=a\nexit-code=0',
      ],
      ...['--', 'bash', '-c', 'true'],
    ]);
    expect(output).toBe('exit-code=4\nreport-dir=aexit-code=0\n');
    expect(spawnSync('ls', [folder], { encoding: 'utf8' }).stdout).not.toContain('pwned');
  });
});
