// A debuginfod client (elfutils' debuginfod(8), "Webapi"; debuginfod_find_debuginfo(3) for the environment and the cache): debug
// files by build-id over HTTP. The cache has the layout and the file names of elfutils' own client, so both share what either got.

import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { chmod, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { openElf } from '../elf/file.ts';
import { errorMessage, UnidbgError } from '../model/error.ts';

/** Where debug files are asked for, and on which terms. */
export interface DebuginfodClient {
  /** Servers, asked in order; none when offline. */
  readonly urls: readonly string[];
  /** Directory of the cache. */
  readonly cache: string;
  /** A server that sends nothing for so long is given up. */
  readonly timeoutMs: number;
  /** Files beyond this size are refused. */
  readonly maxBytes: number;
}

/** What is asked of a server by build-id. */
export type DebuginfodArtifact = 'debuginfo' | 'executable';

/** Bytes so far of a file that is being fetched; `total` null where the server does not say. */
export interface FetchProgress {
  readonly url: string;
  readonly received: number;
  readonly total: number | null;
}

/** The file in the cache, or null and why each place had none. */
export interface DebuginfodAnswer {
  readonly path: string | null;
  readonly tried: readonly string[];
}

const DEFAULT_TIMEOUT_SECONDS = 90;
/** The largest debug files known (browsers, kernels with everything) are near 2 GiB. */
const DEFAULT_MAX_BYTES = 4 * 1024 ** 3;
/** For so long a server's "not found" holds, unless the cache's own `cache_miss_s` says otherwise. */
const CACHE_MISS_SECONDS = 600;

/**
 * The client that the environment describes: DEBUGINFOD_URLS, DEBUGINFOD_CACHE_PATH, XDG_CACHE_HOME, DEBUGINFOD_TIMEOUT,
 * DEBUGINFOD_MAXSIZE. Under CI no server is asked unless `online` is true; false asks none anywhere. The cache is used always.
 */
export function debuginfodFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  options: { readonly online?: boolean } = {},
): DebuginfodClient {
  const inCi = !['', '0', 'false'].includes((environment['CI'] ?? '').toLowerCase());
  const online = options.online ?? !inCi;
  return {
    urls: online ? serversOf(environment['DEBUGINFOD_URLS'] ?? '') : [],
    cache: cacheOf(environment),
    timeoutMs: positive(environment['DEBUGINFOD_TIMEOUT'], DEFAULT_TIMEOUT_SECONDS) * 1000,
    maxBytes: positive(environment['DEBUGINFOD_MAXSIZE'], DEFAULT_MAX_BYTES),
  };
}

/** Servers are separated by spaces; other words (`ima:enforcing`) are settings for elfutils. */
function serversOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => /^https?:\/\//.test(word) && URL.canParse(word));
}

function cacheOf(environment: Readonly<Record<string, string | undefined>>): string {
  const home = environment['HOME'] ?? homedir();
  const given = environment['DEBUGINFOD_CACHE_PATH'];
  if (given !== undefined && given !== '') return given;
  const old = join(home, '.debuginfod_client_cache');
  if (existsSync(old)) return old;
  const xdg = environment['XDG_CACHE_HOME'];
  return join(xdg === undefined || xdg === '' ? join(home, '.cache') : xdg, 'debuginfod_client');
}

function positive(text: string | undefined, otherwise: number): number {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : otherwise;
}

/** Where the cache keeps a file; null for what is no build-id. */
export function debuginfodCachePath(client: DebuginfodClient, buildId: string, artifact: DebuginfodArtifact): string | null {
  return /^[0-9a-f]{4,128}$/.test(buildId) ? join(client.cache, buildId, artifact) : null;
}

/** The file if the cache has it, without asking any server. Empty files there say that the servers had none. */
export function findCached(client: DebuginfodClient, buildId: string, artifact: DebuginfodArtifact): string | null {
  const path = debuginfodCachePath(client, buildId, artifact);
  const found = path === null ? undefined : statSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true && found.size > 0 ? path : null;
}

/**
 * Gets the file of a build-id from the cache, else from the first server that has it. Only an abort by `signal` throws (its
 * reason); everything else that can go wrong is told in `tried`.
 */
export async function fetchFromDebuginfod(
  client: DebuginfodClient,
  buildId: string,
  artifact: DebuginfodArtifact,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: FetchProgress) => void } = {},
): Promise<DebuginfodAnswer> {
  const path = debuginfodCachePath(client, buildId, artifact);
  if (path === null) return { path: null, tried: [] };
  const cached = findCached(client, buildId, artifact);
  if (cached !== null) return { path: cached, tried: [] };
  if (client.urls.length === 0) return { path: null, tried: [path] };
  if (await isKnownMissing(client, path)) return { path: null, tried: [`${path} (the servers had none lately)`] };
  const tried: string[] = [];
  let isMissingEverywhere = true;
  for (const server of client.urls) {
    options.signal?.throwIfAborted();
    const url = urlOf(server, buildId, artifact);
    const outcome = await fetchOne(client, url, path, buildId, options);
    if (outcome === null) return { path, tried };
    tried.push(`${url} (${outcome.why})`);
    isMissingEverywhere &&= outcome.isMissing;
  }
  if (isMissingEverywhere) await rememberMissing(path);
  return { path: null, tried };
}

function urlOf(server: string, buildId: string, artifact: DebuginfodArtifact): string {
  const base = server.replace(/\/+$/, '');
  return `${base.endsWith('/buildid') ? base : `${base}/buildid`}/${buildId}/${artifact}`;
}

interface Failure {
  readonly why: string;
  readonly isMissing: boolean;
}

/** Null when `path` is there now. */
async function fetchOne(
  client: DebuginfodClient,
  url: string,
  path: string,
  buildId: string,
  { signal, onProgress }: { readonly signal?: AbortSignal; readonly onProgress?: (progress: FetchProgress) => void },
): Promise<Failure | null> {
  const idle = new IdleTimer(client.timeoutMs);
  const stop = signal === undefined ? idle.signal : AbortSignal.any([signal, idle.signal]);
  const partial = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const response = await fetch(url, { signal: stop, headers: { 'user-agent': 'unidbg' } });
    if (!response.ok) return { why: `HTTP ${response.status}`, isMissing: response.status === 404 };
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const total = sizeOf(response);
    if (total !== null && total > client.maxBytes) throw tooLarge(client);
    let received = 0;
    const file = await open(partial, 'wx', 0o600);
    try {
      for await (const chunk of bodyOf(response)) {
        idle.restart();
        received += chunk.length;
        if (received > client.maxBytes) throw tooLarge(client);
        await file.writeFile(chunk);
        onProgress?.({ url, received, total });
      }
    } finally {
      await file.close();
    }
    const wrong = objectionTo(partial, buildId);
    if (wrong !== null) return { why: wrong, isMissing: false };
    await chmod(partial, 0o400);
    await rename(partial, path);
    return null;
  } catch (error) {
    signal?.throwIfAborted();
    if (idle.signal.aborted) return { why: `no data for ${client.timeoutMs / 1000} s`, isMissing: false };
    return { why: reasonOf(error), isMissing: false };
  } finally {
    idle.stop();
    await rm(partial, { force: true });
  }
}

function bodyOf(response: Response): AsyncIterable<Uint8Array> | readonly Uint8Array[] {
  return (response.body as ReadableStream<Uint8Array> | null) ?? [];
}

function sizeOf(response: Response): number | null {
  // The first is debuginfod's own, for what it sends compressed.
  const text = response.headers.get('x-debuginfod-size') ?? response.headers.get('content-length');
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

function tooLarge(client: DebuginfodClient): Error {
  return new Error(`it is larger than ${client.maxBytes} bytes; DEBUGINFOD_MAXSIZE raises the limit`);
}

/** What `fetch` throws says "fetch failed"; what failed is its cause. */
function reasonOf(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? errorMessage(error.cause) : errorMessage(error);
}

/** Why a file that came is not the one that was asked for; null when it is. */
function objectionTo(path: string, wanted: string): string | null {
  try {
    const file = openElf(path);
    const { buildId } = file;
    file.close();
    return buildId === wanted ? null : `what came has build-id ${buildId ?? 'none'}`;
  } catch (error) {
    if (!(error instanceof UnidbgError)) throw error;
    return `what came is no ELF file: ${error.code}`;
  }
}

async function isKnownMissing(client: DebuginfodClient, path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  if (found?.isFile() !== true || found.size > 0) return false;
  const seconds = positive(await readFile(join(client.cache, 'cache_miss_s'), 'latin1').catch(() => ''), CACHE_MISS_SECONDS);
  if (Date.now() - found.mtimeMs < seconds * 1000) return true;
  await rm(path, { force: true });
  return false;
}

/** An empty file, as elfutils' client leaves; that it cannot be written does not matter. */
async function rememberMissing(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch(() => null);
  await writeFile(path, '', { flag: 'wx' }).catch(() => null);
}

/** Aborts when nobody restarts it for `timeoutMs`. */
class IdleTimer {
  private readonly controller = new AbortController();
  private readonly timer: NodeJS.Timeout;

  constructor(timeoutMs: number) {
    this.timer = setTimeout(() => {
      this.controller.abort(new Error('idle'));
    }, timeoutMs);
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  restart(): void {
    this.timer.refresh();
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
