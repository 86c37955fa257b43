// `unidbg export`: the metrics of this host's VMs for Prometheus, and pushed over OTLP, for as long as it runs.

import { type Command, InvalidArgumentError } from 'commander';
import { DEFAULT_LIMITS } from '../../export/bounded.ts';
import { openOtlp } from '../../export/otlp.ts';
import type { SelfCounts } from '../../export/self-families.ts';
import { type ListenAddress, serveExport } from '../../export/server.ts';
import { UnidbgError } from '../../model/error.ts';
import { parseDuration } from '../../model/quantity.ts';
import { frameLine } from '../../report/stack-text.ts';
import { collect } from '../collect.ts';
import { EXIT } from '../exit-codes.ts';
import { WatchedFleet } from '../export/fleet.ts';
import { exportDeclarations } from '../export/metric-sources.ts';
import type { Verb } from '../verb.ts';
import { version } from '../version.ts';

interface ExportOptions {
  readonly listen: string;
  readonly every: string;
  readonly lookEvery: string;
  readonly otlp?: string;
  readonly otlpEvery: string;
  readonly maxSeries: number;
  readonly inspect: boolean;
  readonly evaluate: boolean;
  readonly debugDir: readonly string[];
  readonly for?: string;
}

const DISCOVER_EVERY_MS = 5000;

export const exportVerb: Verb = {
  register: (program: Command, finish) => {
    program
      .command('export')
      .argument('[vms...]', 'names or pids from `unidbg ls`; all VMs of this host without them, also those that come later')
      .description('serve the metrics of the VMs of this host to Prometheus, and push them over OTLP')
      .option('--listen <host:port>', 'where to serve', '127.0.0.1:9464')
      .option('--every <time>', 'how often each VM is measured, however many ask', '1s')
      .option('--look-every <time>', 'how often its stacks are looked at, by which a silent hang is found', '20s')
      .option('--otlp <url>', 'push metrics, and crashes as log records, to this OTLP/HTTP receiver: http://localhost:4318')
      .option('--otlp-every <time>', 'how often metrics are pushed', '10s')
      .option('--max-series <number>', 'series of one VM that are exported at most', parseCount, DEFAULT_LIMITS.series)
      .option('--no-inspect', 'look for no V8 inspector')
      .option('--no-evaluate', 'evaluate nothing in a guest with an inspector: then only the size of its heap is known')
      .option('--debug-dir <dir>', 'where separate debug files are, besides /usr/lib/debug; may be given many times', collect, [])
      .option('--for <time>', 'end after this time; without it on a signal')
      .action(finish(runExport));
  },
};

async function runExport(names: readonly string[], options: ExportOptions): Promise<number> {
  const forMs = options.for === undefined ? null : parseDuration(options.for);
  const sampleEveryMs = parseDuration(options.every);
  const tell = (line: string): void => {
    process.stderr.write(`unidbg export: ${line}\n`);
  };
  const self: SelfCounts = { version: version(), scrapes: 0, scrapeSeconds: 0, pushes: { metrics: 0, logs: 0, failed: 0 } };
  const fleet = new WatchedFleet({
    names,
    discoverEveryMs: DISCOVER_EVERY_MS,
    sampleEveryMs,
    lookEveryMs: parseDuration(options.lookEvery),
    inspect: options.inspect ? 'auto' : null,
    evaluate: options.evaluate,
    debugDirs: options.debugDir,
    onNews: tell,
  });
  const limits = { series: options.maxSeries, staleMs: Math.max(DEFAULT_LIMITS.staleMs, 3 * sampleEveryMs) };
  const input = { fleet, declarations: exportDeclarations(), self, limits };
  const server = await serveExport(parseListen(options.listen), input);
  try {
    const otlp =
      options.otlp === undefined
        ? null
        : await openOtlp(
            { ...input, describeFrame: frameLine, onNews: tell },
            { url: options.otlp, everyMs: parseDuration(options.otlpEvery) },
          );
    await fleet.open();
    process.stdout.write(`http://${server.address}/metrics\n`);
    await untilTold(forMs);
    await otlp?.close();
  } finally {
    await server.close();
    await fleet.close();
  }
  return EXIT.fine;
}

async function untilTold(forMs: number | null): Promise<void> {
  const ending = Promise.withResolvers<string>();
  const timer = forMs === null ? null : setTimeout(ending.resolve, forMs, 'time');
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, ending.resolve);
  await ending.promise;
  if (timer !== null) clearTimeout(timer);
  for (const signal of signals) process.off(signal, ending.resolve);
}

function parseListen(text: string): ListenAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    throw new UnidbgError('USAGE', `--listen ${text}: write HOST:PORT, as 127.0.0.1:9464, [::1]:9464 or 0.0.0.0:9464`);
  }
  return { host: match[1] ?? (match[2] === '' ? '0.0.0.0' : match[2]!), port };
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError('a number from 1 on');
  return count;
}
