// The package as it is published: `npm run build` and `npm pack`, unpacked where npm would put it, with nothing of the clone around.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };

const ROOT = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'unidbg-package-'));
const modules = join(folder, 'node_modules');
const installed = join(modules, 'unidbg');

beforeAll(() => {
  // Packing builds it (prepack).
  const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: ROOT, encoding: 'utf8' });
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, packed.trim().split('\n').at(-1)!), '-C', installed, '--strip-components=1']);
  for (const name of Object.keys(packageJson.dependencies)) {
    const [scope, own] = name.split('/');
    if (own !== undefined) mkdirSync(join(modules, scope!), { recursive: true });
    symlinkSync(realpathSync(join(ROOT, 'node_modules', name)), join(modules, name));
  }
}, 120_000);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function unidbg(...args: string[]): ReturnType<typeof spawnSync> {
  return spawnSync(process.execPath, [join(installed, 'src/cli/unidbg.js'), ...args], { cwd: folder, encoding: 'utf8' });
}

describe('the published package', () => {
  it('holds no source of ours but what starts it and what is built, the licence and the documents', () => {
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
    expect(files.filter((file) => file.endsWith('.ts'))).toEqual([]);
    expect(files).toEqual(
      expect.arrayContaining(['dist/main.js', 'dist/guardian.js', 'README.md', 'probes/guest/unidbg_probe.c']),
    );
  });

  it('says its version and its verbs', () => {
    expect(unidbg('--version').stdout).toBe(`${packageJson.version}\n`);
    const { stdout, status } = unidbg('--help');
    expect(status).toBe(0);
    for (const verb of ['attach', 'run', 'symbolize', 'backtrace', 'replay', 'gdb', 'ls']) expect(stdout).toContain(`  ${verb} `);
  });

  it('symbolizes', () => {
    const program = join(folder, 'program');
    execFileSync('gcc', ['-g', '-no-pie', '-xc', '-o', program, '-'], { input: 'int main(void) {\n  return 0;\n}\n' });
    const main = /([0-9a-f]+) T main$/m.exec(execFileSync('nm', [program], { encoding: 'utf8' }))![1]!;
    expect(unidbg('symbolize', '-f', '-e', program, main).stdout).toMatch(/^main\n.*<stdin>:1\n$/);
  });

  it('the guardian of a debug session starts, and ends without an order', () => {
    const { stderr, status } = spawnSync(process.execPath, [join(installed, 'dist/guardian.js')], {
      input: '',
      encoding: 'utf8',
    });
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  });
});
