// The debuginfod client with the server that Debian ships, and one cache shared with elfutils' own client.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openElf } from '../../src/elf/file.ts';
import { type DebuginfodClient, debuginfodFromEnvironment, fetchFromDebuginfod } from '../../src/symbolize/debuginfod.ts';
import { openImage } from '../../src/symbolize/image.ts';
import { openImageWithDebug, openImageWithLocalDebug } from '../../src/symbolize/open-image.ts';
import { Scratch } from '../elf/scratch.ts';

const scratch = new Scratch();
let server: ChildProcess;
let url: string;

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done) => probe.listen(0, '127.0.0.1', done));
  const address = probe.address();
  await new Promise((done) => probe.close(done));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function buildIdOf(path: string): string {
  const elf = openElf(path);
  const { buildId } = elf;
  elf.close();
  return buildId!;
}

function run(tool: string, ...args: readonly string[]): void {
  execFileSync(tool, args, { cwd: scratch.path, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** A client with a cache of its own. */
function clientFor(cache: string): DebuginfodClient {
  const environment = { DEBUGINFOD_URLS: `http://127.0.0.1:9/ ${url}`, DEBUGINFOD_CACHE_PATH: join(scratch.path, cache) };
  return debuginfodFromEnvironment(environment, { online: true });
}

function debuginfodFind(cache: string, urls: string, ...args: readonly string[]): { status: number | null; stdout: string } {
  return spawnSync('debuginfod-find', args, {
    env: {
      PATH: process.env['PATH'],
      HOME: scratch.path,
      DEBUGINFOD_URLS: urls,
      DEBUGINFOD_CACHE_PATH: join(scratch.path, cache),
    },
    encoding: 'utf8',
  });
}

beforeAll(async () => {
  const served = join(scratch.path, 'served');
  mkdirSync(served);
  scratch.write(
    'many.h',
    Array.from(
      { length: 60 },
      (_, n) => `struct common_thing_${n} { int field_one_${n}; struct common_thing_${n} *link; };\n`,
    ).join(''),
  );
  scratch.write(
    'program.c',
    '#include "many.h"\nstatic __attribute__((noinline)) int hidden(int x) { return x + 1; }\nstruct common_thing_59 thing;\nint main(int argc, char **argv) { return hidden(argc) + thing.field_one_59; }\n',
  );
  for (const name of ['plain', 'first', 'second']) {
    scratch.compile(name, ['program.c'], ['-g', '-gdwarf-4', '-O1', '-Wl,--build-id', `-DNAME_${name}`, `-frandom-seed=${name}`]);
  }
  run('objcopy', '--only-keep-debug', 'plain', join(served, 'plain.debug'));
  run('strip', '-o', 'plain.stripped', 'plain');
  run('cp', 'first', 'first.whole');
  run('dwz', '-m', 'common.debug', 'first', 'second');
  run('cp', 'common.debug', join(served, 'common.debug'));
  run('objcopy', '--only-keep-debug', 'first', join(served, 'first.debug'));
  run('strip', '-o', 'first.stripped', 'first');
  rmSync(join(scratch.path, 'common.debug'));
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const database = join(scratch.path, 'debuginfod.sqlite');
  server = spawn('timeout', ['120', 'debuginfod', '-F', '-p', String(port), '-d', database, '-t', '2', served], {
    stdio: 'ignore',
  });
  const id = buildIdOf(join(scratch.path, 'common.debug').replace('common.debug', 'served/common.debug'));
  const deadline = Date.now() + 60_000;
  for (;;) {
    const answer = await fetch(`${url}/buildid/${id}/debuginfo`).catch(() => null);
    await answer?.arrayBuffer();
    if (answer?.ok === true) break;
    if (Date.now() > deadline) throw new Error(`debuginfod does not serve ${id}: ${answer?.status ?? 'no answer'}`);
    await pause(200);
  }
});
afterAll(() => {
  server.kill();
  scratch.remove();
});

describe("Debian's debuginfod server", () => {
  it('gives a stripped program its debug info, after a server that is not there', async () => {
    const image = await openImageWithDebug(join(scratch.path, 'plain.stripped'), { debuginfod: clientFor('cache') });
    expect(image.locate(image.findLinkSymbol('hidden')!.address)[0]).toMatchObject({ function: 'hidden', line: 2 });
    expect(image.diagnostics).toEqual([]);
    image.close();
  });

  it('and then gives what dwz moved out of it', async () => {
    const image = await openImageWithDebug(join(scratch.path, 'first.stripped'), { debuginfod: clientFor('dwz') });
    const whole = openImage(join(scratch.path, 'first.whole'));
    const text = whole.elf.findSection('.text')!;
    for (let address = text.address; address < text.address + BigInt(text.size); address += 2n) {
      expect(image.locate(address)).toEqual(whole.locate(address));
    }
    expect(image.diagnostics).toEqual([]);
    image.close();
    whole.close();
  });

  it('fills a cache that elfutils reads, and the other way round', async () => {
    const id = buildIdOf(join(scratch.path, 'plain'));
    const { path } = await fetchFromDebuginfod(clientFor('ours'), id, 'debuginfo');
    expect(debuginfodFind('ours', 'http://127.0.0.1:9', 'debuginfo', id)).toMatchObject({ status: 0, stdout: `${path!}\n` });
    expect(debuginfodFind('theirs', url, 'debuginfo', id).status).toBe(0);
    const image = openImageWithLocalDebug(join(scratch.path, 'plain.stripped'), {
      debuginfod: { ...clientFor('theirs'), urls: [] },
    });
    expect(image.debug.path).toBe(join(scratch.path, 'theirs', id, 'debuginfo'));
    image.close();
  });

  it('shares with elfutils what it does not have', async () => {
    const absent = 'ab'.repeat(20);
    const onlyServer = { ...clientFor('missing'), urls: [url] };
    expect((await fetchFromDebuginfod(onlyServer, absent, 'debuginfo')).tried).toEqual([expect.stringMatching(/HTTP 404/)]);
    expect((await fetchFromDebuginfod(onlyServer, absent, 'debuginfo')).tried).toEqual([
      expect.stringMatching(/had none lately/),
    ]);
    expect(debuginfodFind('missing', url, 'debuginfo', absent).status).not.toBe(0);
    expect(debuginfodFind('missed', url, 'debuginfo', absent).status).not.toBe(0);
    const theirs = { ...clientFor('missed'), urls: [url] };
    expect((await fetchFromDebuginfod(theirs, absent, 'debuginfo')).tried).toEqual([expect.stringMatching(/had none lately/)]);
  });
});
