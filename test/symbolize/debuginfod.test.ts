// The debuginfod client against a server of our own, which misbehaves on request; test/live/debuginfod.test.ts has the real one.

import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openElf } from '../../src/elf/file.ts';
import {
  type DebuginfodClient,
  debuginfodFromEnvironment,
  type FetchProgress,
  fetchFromDebuginfod,
  findCached,
} from '../../src/symbolize/debuginfod.ts';
import { openImageWithDebug, openImageWithLocalDebug } from '../../src/symbolize/open-image.ts';
import { outputOf, Scratch } from '../elf/scratch.ts';

const scratch = new Scratch();
type Answer = (response: ServerResponse) => void;
let answers: Record<string, Answer> = {};
const asked: string[] = [];
const server = createServer((request, response) => {
  asked.push(request.url!);
  const answer = Object.entries(answers).find(([prefix]) => request.url!.startsWith(prefix))?.[1];
  if (answer !== undefined) answer(response);
  else response.writeHead(404).end('not here');
});

let stripped: string;
let buildId: string;
let debug: Buffer;
let caches = 0;
let client: DebuginfodClient;
let base: string;
/** An address where nobody listens. */
let closed: string;

beforeAll(async () => {
  scratch.write(
    'part.c',
    'static __attribute__((noinline)) int hidden(int x) { return x + 1; }\nint main(int argc, char **argv) { return hidden(argc); }\n',
  );
  const program = scratch.compile('program', ['part.c'], ['-g', '-O1', '-Wl,--build-id']);
  stripped = join(scratch.path, 'stripped');
  outputOf('eu-strip', ['-o', stripped, '-f', join(scratch.path, 'unlinked.debug'), program]);
  outputOf('objcopy', ['--remove-section=.gnu_debuglink', stripped]);
  debug = readFileSync(join(scratch.path, 'unlinked.debug'));
  const elf = openElf(program);
  buildId = elf.buildId!;
  elf.close();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const gone = createServer();
  await new Promise<void>((done) => gone.listen(0, '127.0.0.1', done));
  closed = `http://127.0.0.1:${(gone.address() as AddressInfo).port}`;
  await new Promise((done) => gone.close(done));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  scratch.remove();
});
beforeEach(() => {
  caches += 1;
  asked.length = 0;
  answers = { [`/buildid/${buildId}/debuginfo`]: (response) => response.end(debug) };
  client = { urls: [base], cache: join(scratch.path, `cache${caches}`), timeoutMs: 5000, maxBytes: 1 << 26 };
});

/** All files in the cache, relative to it. */
function cacheFiles(): string[] {
  const names = readdirSync(dirname(client.cache)).includes(`cache${caches}`)
    ? readdirSync(client.cache, { recursive: true, encoding: 'utf8' })
    : [];
  return names.filter((name) => statSync(join(client.cache, name)).isFile()).sort();
}

describe('a debug file from debuginfod', () => {
  it('gives the image its names and lines, then comes from the cache', async () => {
    const progress: FetchProgress[] = [];
    const image = await openImageWithDebug(stripped, { debuginfod: client }, { onProgress: (step) => progress.push(step) });
    expect(image.debug.path).toBe(join(client.cache, buildId, 'debuginfo'));
    expect(image.locate(image.findLinkSymbol('hidden')!.address)[0]).toMatchObject({ function: 'hidden', line: 1 });
    expect(image.diagnostics).toEqual([]);
    image.close();
    expect(progress.at(-1)).toEqual({ url: `${base}/buildid/${buildId}/debuginfo`, received: debug.length, total: debug.length });
    expect(asked).toEqual([`/buildid/${buildId}/debuginfo`]);
    openImageWithLocalDebug(stripped, { debuginfod: client }).close();
    (await openImageWithDebug(stripped, { debuginfod: { ...client, urls: [closed] } })).close();
    expect(asked).toHaveLength(1);
    expect(cacheFiles()).toEqual([`${buildId}/debuginfo`]);
    expect(statSync(image.debug.path).mode & 0o777).toBe(0o400);
    expect(statSync(dirname(image.debug.path)).mode & 0o777).toBe(0o700);
  });

  it('is asked of each server in turn, with /buildid added where the address lacks it', async () => {
    answers = {
      '/broken': (response) => response.destroy(),
      '/good/buildid': (response) => response.end(debug),
    };
    const urls = [`${base}/none`, closed, `${base}/broken/`, `${base}/good/buildid/`, `${base}/unused`];
    const answer = await fetchFromDebuginfod({ ...client, urls }, buildId, 'debuginfo');
    expect(answer.path).toBe(join(client.cache, buildId, 'debuginfo'));
    expect(answer.tried).toEqual([
      `${base}/none/buildid/${buildId}/debuginfo (HTTP 404)`,
      expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/buildid\/.*ECONNREFUSED/),
      expect.stringMatching(/broken\/buildid\/.*\(.+\)$/),
    ]);
    expect(asked).not.toContain(`/unused/buildid/${buildId}/debuginfo`);
  });

  it('is followed where a server sends us', async () => {
    answers = {
      '/buildid': (response) => response.writeHead(302, { location: '/elsewhere' }).end(),
      '/elsewhere': (response) => response.end(debug),
    };
    expect((await fetchFromDebuginfod(client, buildId, 'debuginfo')).path).not.toBeNull();
  });

  const refused: Record<string, [Answer, RegExp]> = {
    'of another build': [
      (response) => response.end(readFileSync(process.execPath).subarray(0, 8 << 20)),
      /no ELF file: ELF_TRUNCATED|has build-id/,
    ],
    'that is no ELF file': [(response) => response.end('<html>'), /no ELF file: ELF_NOT_ELF/],
    'that is cut off': [
      (response) =>
        response.writeHead(200, { 'content-length': debug.length }).end(debug.subarray(0, 900), () => response.destroy()),
      /\(.+\)/,
    ],
    'that is empty': [(response) => response.end(), /no ELF file/],
    'that a failing server sends': [(response) => response.writeHead(500).end('oops'), /HTTP 500/],
  };
  it.each(Object.entries(refused))('%s is refused, and leaves nothing in the cache', async (_, [answer, why]) => {
    answers = { '/buildid': answer };
    const result = await fetchFromDebuginfod(client, buildId, 'debuginfo');
    expect(result).toEqual({ path: null, tried: [expect.stringMatching(why)] });
    expect(cacheFiles()).toEqual([]);
  });

  it('beyond the limit is refused, whether the server says its size or not', async () => {
    const small = { ...client, maxBytes: 1000 };
    const why = [expect.stringMatching(/larger than 1000 bytes; DEBUGINFOD_MAXSIZE/)];
    expect(await fetchFromDebuginfod(small, buildId, 'debuginfo')).toEqual({ path: null, tried: why });
    answers = {
      '/buildid': (response) => {
        response.write(debug.subarray(0, 600));
        response.end(debug.subarray(600));
      },
    };
    expect(await fetchFromDebuginfod(small, buildId, 'debuginfo')).toEqual({ path: null, tried: why });
    expect(cacheFiles()).toEqual([]);
  });

  it('from a server that falls silent is given up', async () => {
    const silences: Answer[] = [() => undefined, (response) => void response.writeHead(200).write(debug.subarray(0, 100))];
    for (const silence of silences) {
      answers = { '/buildid': silence };
      const started = Date.now();
      const result = await fetchFromDebuginfod({ ...client, timeoutMs: 150 }, buildId, 'debuginfo');
      expect(result.tried).toEqual([expect.stringMatching(/no data for 0\.15 s/)]);
      expect(Date.now() - started).toBeLessThan(3000);
    }
    expect(cacheFiles()).toEqual([]);
  });

  it('can be given up by a signal, before and while it comes', async () => {
    const controller = new AbortController();
    answers = { '/buildid': (response) => void response.writeHead(200).write(debug.subarray(0, 100)) };
    const stop = new Error('the user pressed a key');
    const opening = openImageWithDebug(
      stripped,
      { debuginfod: client },
      {
        signal: controller.signal,
        onProgress: () => {
          controller.abort(stop);
        },
      },
    );
    await expect(opening).rejects.toBe(stop);
    expect(cacheFiles()).toEqual([]);
    await expect(openImageWithDebug(stripped, { debuginfod: client }, { signal: controller.signal })).rejects.toBe(stop);
  });

  it('that no server has is not asked for again for a while', async () => {
    answers = {};
    const missing = await openImageWithDebug(stripped, { debuginfod: client });
    expect(missing.diagnostics[0]).toMatchObject({
      code: 'no-debug-info',
      message: expect.stringContaining('(HTTP 404)') as string,
    });
    missing.close();
    expect(cacheFiles()).toEqual([`${buildId}/debuginfo`]);
    expect((await fetchFromDebuginfod(client, buildId, 'debuginfo')).tried).toEqual([expect.stringMatching(/had none lately/)]);
    expect(asked).toHaveLength(1);
    expect(findCached(client, buildId, 'debuginfo')).toBeNull();
    const path = join(client.cache, buildId, 'debuginfo');
    utimesSync(path, new Date(), new Date(Date.now() - 700_000));
    answers = { '/buildid': (response) => response.end(debug) };
    expect((await fetchFromDebuginfod(client, buildId, 'debuginfo')).path).toBe(path);
  });

  it('is asked for again as soon as the cache says so', async () => {
    mkdirSync(join(client.cache, buildId), { recursive: true });
    writeFileSync(join(client.cache, buildId, 'debuginfo'), '');
    writeFileSync(join(client.cache, 'cache_miss_s'), '5\n');
    const past = new Date(Date.now() - 10_000);
    utimesSync(join(client.cache, buildId, 'debuginfo'), past, past);
    expect((await fetchFromDebuginfod(client, buildId, 'debuginfo')).path).not.toBeNull();
  });

  it('is never asked for by what is no build-id', async () => {
    expect(await fetchFromDebuginfod(client, '../../etc', 'debuginfo')).toEqual({ path: null, tried: [] });
    expect(asked).toEqual([]);
  });
});

describe('the environment', () => {
  it('says which servers, which cache, how long and how much', () => {
    const environment = {
      HOME: '/home/someone',
      DEBUGINFOD_URLS: ' https://one.example/  ima:enforcing http://two.example file:///three https:// ',
      DEBUGINFOD_TIMEOUT: '7',
      DEBUGINFOD_MAXSIZE: '1000000',
    };
    expect(debuginfodFromEnvironment(environment)).toEqual({
      urls: ['https://one.example/', 'http://two.example'],
      cache: '/home/someone/.cache/debuginfod_client',
      timeoutMs: 7000,
      maxBytes: 1_000_000,
    });
    expect(debuginfodFromEnvironment({ ...environment, XDG_CACHE_HOME: '/x' }).cache).toBe('/x/debuginfod_client');
    expect(debuginfodFromEnvironment({ ...environment, XDG_CACHE_HOME: '/x', DEBUGINFOD_CACHE_PATH: '/y' }).cache).toBe('/y');
    expect(debuginfodFromEnvironment({ HOME: '/home/someone', DEBUGINFOD_TIMEOUT: 'soon' })).toMatchObject({
      urls: [],
      timeoutMs: 90_000,
    });
    mkdirSync(join(scratch.path, '.debuginfod_client_cache'), { recursive: true });
    expect(debuginfodFromEnvironment({ HOME: scratch.path, XDG_CACHE_HOME: '/x' }).cache).toBe(
      join(scratch.path, '.debuginfod_client_cache'),
    );
  });

  it('of a CI asks no server unless told to', () => {
    const environment = { HOME: '/h', DEBUGINFOD_URLS: 'https://one.example' };
    expect(debuginfodFromEnvironment({ ...environment, CI: 'true' }).urls).toEqual([]);
    expect(debuginfodFromEnvironment({ ...environment, CI: 'true' }, { online: true }).urls).toHaveLength(1);
    expect(debuginfodFromEnvironment({ ...environment, CI: 'false' }).urls).toHaveLength(1);
    expect(debuginfodFromEnvironment(environment, { online: false }).urls).toEqual([]);
  });
});
