// The demo guest's build: what its images consist of, by readelf and nm, and that building is safe and says what it lacks.

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildDemoGuest, DEMO_SOURCE_ROOT, type DemoVariant, demoCompileFlags } from './build.ts';

const run = promisify(execFile);
let cache = '';

beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'demo-build-'));
});

afterAll(async () => {
  await rm(cache, { recursive: true, force: true });
});

async function readelf(elf: string, ...options: string[]): Promise<string> {
  return (await run('readelf', ['-W', ...options, elf], { maxBuffer: 1 << 26 })).stdout;
}

describe('the build of the demo guest', () => {
  it.each([
    ['fp', '.eh_frame', '.debug_frame'],
    ['cfi', '.debug_frame', '.eh_frame'],
    ['eh', '.eh_frame', '.debug_frame'],
  ] satisfies [DemoVariant, string, string][])('gives %s its CFI in %s and none in %s', async (variant, has, lacks) => {
    const sections = await readelf(await buildDemoGuest(variant), '-S');
    expect(sections).toContain(` ${has} `);
    expect(sections).not.toContain(` ${lacks} `);
    expect(/ \.eh_frame .* A /.test(sections)).toBe(has === '.eh_frame');
  });

  it('has a PVH entry and a build-id that is loaded, and no machine path in its DWARF', async () => {
    const elf = await buildDemoGuest('fp');
    expect(await readelf(elf, '-n')).toMatch(/Xen +0x00000008[^]*Build ID: [0-9a-f]{40}/);
    expect(await readelf(elf, '-l')).toMatch(/01 +\.note\.Xen \.note\.gnu\.build-id \.rodata \.eh_frame/);
    const text = await readFile(elf, 'latin1');
    expect(text).toContain('demo/app.c');
    expect(text).not.toContain(resolve(DEMO_SOURCE_ROOT, '../..'));
  });

  it('compiles without a warning', async () => {
    const names = await readdir(join(DEMO_SOURCE_ROOT, 'demo'));
    const sources = names.filter((name) => name.endsWith('.c')).map((name) => `demo/${name}`);
    const { stderr } = await run('gcc', [...demoCompileFlags('fp'), '-fsyntax-only', ...sources], { cwd: DEMO_SOURCE_ROOT });
    expect(stderr).toBe('');
  });

  it('takes more sources in, and may run twice at once', async () => {
    const extra = join(cache, 'extra.c');
    await writeFile(extra, '#include "hook.h"\nvoid extension_start(void) { periodic_hook = extension_start; }\n');
    const images = join(cache, 'images');
    const build = `buildDemoGuest('cfi', ${JSON.stringify({ cache: images, sources: [extra] })})`;
    const script = `import { buildDemoGuest } from '${join(DEMO_SOURCE_ROOT, 'build.ts')}'; console.log(await ${build});`;
    const builds = [1, 2].map(() => run(process.execPath, ['--input-type=module', '-e', script]));
    const paths = (await Promise.all(builds)).map(({ stdout }) => stdout.trim());
    expect(paths[0]).toBe(paths[1]);
    expect(await readdir(images)).toHaveLength(1);
    expect((await run('nm', [paths[0]!])).stdout).toMatch(/ W extension_start$/m);
  });

  it('says which package is missing when there is no gcc', async () => {
    const path = process.env['PATH'];
    process.env['PATH'] = cache;
    try {
      await expect(buildDemoGuest('fp', { cache })).rejects.toThrow('apt-get install --yes gcc binutils');
    } finally {
      process.env['PATH'] = path;
    }
  });
});
