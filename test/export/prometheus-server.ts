// The real Prometheus (Debian's package `prometheus`) with a configuration of its own in a folder of its own, and its query API.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** One series of an answer, at one time. */
export interface PrometheusResult {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A running Prometheus. */
export interface PrometheusServer {
  /** Evaluates an expression now. Throws with Prometheus' own words when it is refused. */
  readonly query: (expression: string) => Promise<readonly PrometheusResult[]>;
  /** The raw samples of a range vector (`up[5m]`), times in seconds. */
  readonly samples: (expression: string) => Promise<readonly PrometheusSamples[]>;
  readonly stop: () => Promise<void>;
}

/** One series of an answer over a time. */
export interface PrometheusSamples {
  readonly metric: Readonly<Record<string, string>>;
  readonly times: readonly number[];
}

const START_TIMEOUT_MS = 20_000;

/** Starts it with this configuration (YAML); resolves when it answers. */
export async function startPrometheus(config: string): Promise<PrometheusServer> {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-prometheus-'));
  writeFileSync(join(folder, 'prometheus.yml'), config);
  const address = `127.0.0.1:${await findFreePort()}`;
  const child = spawn(
    'prometheus',
    [
      ...['--config.file', join(folder, 'prometheus.yml'), '--storage.tsdb.path', join(folder, 'data')],
      ...['--web.listen-address', address, '--log.level=warn'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    words += text;
  });
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (status) => {
      reject(new Error(`prometheus ended with status ${status}: ${words}`));
    });
  });
  failed.catch(() => undefined);
  const stop = async (): Promise<void> => {
    await end(child);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await Promise.race([waitUntilReady(address), failed]);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    stop,
    query: (expression) => query(address, expression),
    samples: (expression) => samples(address, expression),
  };
}

interface Answer {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: readonly [time: number, value: string];
  readonly values?: readonly (readonly [time: number, value: string])[];
}

async function ask(address: string, expression: string): Promise<readonly Answer[]> {
  const body = new URLSearchParams({ query: expression });
  const response = await fetch(`http://${address}/api/v1/query`, { method: 'POST', body });
  const answer = (await response.json()) as { readonly error?: string; readonly data?: { readonly result: readonly Answer[] } };
  if (answer.data === undefined) throw new Error(`${expression}: ${answer.error ?? 'no answer'}`);
  return answer.data.result;
}

async function query(address: string, expression: string): Promise<readonly PrometheusResult[]> {
  return (await ask(address, expression)).map(({ metric, value }) => ({ metric, value: Number(value?.[1]) }));
}

async function samples(address: string, expression: string): Promise<readonly PrometheusSamples[]> {
  return (await ask(address, expression)).map(({ metric, values = [] }) => ({ metric, times: values.map(([time]) => time) }));
}

async function waitUntilReady(address: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const response = await fetch(`http://${address}/-/ready`).catch(() => null);
    if (response?.ok === true) return;
    await sleep(100);
  }
  throw new Error(`prometheus does not answer at ${address}; is it installed? apt-get install --yes prometheus`);
}

async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
}
