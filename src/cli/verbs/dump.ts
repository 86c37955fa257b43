// `unidbg dump <vm>`: everything of a running guest into one file, a bundle (docs/bundle.md), or its memory alone as an ELF core.

import type { Command } from 'commander';
import { createFileSink } from '../../bytes/byte-sink.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { UnidbgError } from '../../model/error.ts';
import { encodeJson } from '../../model/json.ts';
import { formatSize } from '../../model/quantity.ts';
import { type CoreFacts, writeCore } from '../../qemu/dump/dump-core.ts';
import { planCore } from '../../qemu/dump/plan-core.ts';
import { reportToJson } from '../../report/json.ts';
import { reportOfSnapshot } from '../../report/snapshot-report.ts';
import { BundleRecorder } from '../../session/bundle-recorder.ts';
import { type WrittenBundle, writeBundle } from '../../session/crash-bundle.ts';
import { openLiveSession } from '../../session/live-session.ts';
import { type LiveSource, openLive } from '../../targets/live.ts';
import { dumpName } from '../dump-name.ts';
import { dumpProgress } from '../dump-progress.ts';
import { EXIT } from '../exit-codes.ts';
import { debugDirOption, symbolsOption } from '../file-options.ts';
import { fetchProgress } from '../symbolize/progress.ts';
import { SYSTEMS } from '../systems.ts';
import { chooseVm, findSource } from '../target.ts';
import type { Verb } from '../verb.ts';
import { version } from '../version.ts';

interface DumpVerbOptions {
  readonly output?: string;
  readonly core?: boolean;
  readonly live?: boolean;
  readonly json?: boolean;
  readonly symbols: readonly string[];
  readonly debugDir: readonly string[];
}

const NOTES = `
Examples:
  unidbg dump my-vm
  unidbg dump my-vm -o before.unicrash --live
  unidbg dump my-vm --core -o guest.elf.zst

A bundle holds the report, the console, the events that were seen and the
memory; attach, analyze, backtrace, ps and the rest open it. It is a tar:
\`tar xf\` opens it too, and \`zstd -d\` makes of its core an ELF file for gdb.
It holds all that is in the guest's memory, its secrets too, and QEMU's command
line: it is made for its owner alone to read (docs/bundle.md).

The guest is stopped while its memory is copied, and told for how long; with
--live it is not stopped, and its pages are of different moments.`;

export const dump: Verb = {
  register: (program: Command, finish) => {
    program
      .command('dump')
      .argument('[vm]', 'name or pid from `unidbg ls`, or a QMP socket (unix:PATH, HOST:PORT)')
      .description('write everything of a running guest into one file: report, console, memory')
      .option('-o, --output <file>', 'a new file; without it the name of the VM and the time')
      .option('--core', 'memory and registers alone, as an ELF core: compressed when its name ends in .zst')
      .option('--live', 'do not stop the guest')
      .addOption(symbolsOption())
      .addOption(debugDirOption())
      .option('--json', 'print one JSON document, and nothing else to stdout')
      .addHelpText('after', NOTES)
      .action(finish(async (vm: string | undefined, options: DumpVerbOptions) => run(vm, options)));
  },
};

/** What both kinds of file tell. */
interface Dumped {
  readonly target: string;
  readonly path: string;
  readonly bytes: number;
  readonly core: CoreFacts | null;
  readonly noCore: string | null;
  readonly partial: string | null;
  readonly diagnostics: readonly Diagnostic[];
}

async function run(vm: string | undefined, options: DumpVerbOptions): Promise<number> {
  const { output, core = false, json = false } = options;
  if (!core && /\.(elf|zst)$/.test(output ?? ''))
    throw new UnidbgError(
      'USAGE',
      `${output ?? ''}: a bundle is a tar and ends in .unicrash; an ELF core is written with --core`,
    );
  const source = vm === undefined ? await chooseVm() : findSource(vm);
  const from = performance.now();
  const dumped = await (core ? dumpMemory(source, options) : dumpAll(source, options));
  const totalMs = performance.now() - from;
  if (json) process.stdout.write(`${encodeJson(documentOf(dumped, options, totalMs))}\n`);
  else for (const line of linesOf(dumped)) process.stdout.write(`${line}\n`);
  const why = dumped.partial ?? dumped.noCore;
  if (why !== null) process.stderr.write(`unidbg: ${dumped.path} is not whole: ${why}\n`);
  return why === null ? EXIT.fine : EXIT.cannotAttach;
}

async function dumpMemory(source: LiveSource, { output, live = false, json = false }: DumpVerbOptions): Promise<Dumped> {
  const target = await openLive(source);
  try {
    const { monitor, facts, machine } = target;
    const path = output ?? `${dumpName(facts.name, Date.now())}.elf.zst`;
    const plan = await planCore({ monitor, pid: facts.pid, machine });
    const progress = dumpProgress(json);
    try {
      const sink = await createFileSink(path);
      try {
        const options = { live, compressed: path.endsWith('.zst'), onProgress: progress.onProgress };
        const core = await writeCore(plan, sink, options);
        const { partial, diagnostics } = core;
        return { target: facts.name, path, bytes: sink.written, core, noCore: null, partial, diagnostics };
      } finally {
        await sink.close();
      }
    } finally {
      progress.close();
      plan.close();
    }
  } finally {
    target.close();
  }
}

/** So long nothing is looked at again: one look is what the report is made of. */
const NEVER_MS = 24 * 60 * 60 * 1000;

async function dumpAll(
  source: LiveSource,
  { output, live = false, json = false, symbols, debugDir }: DumpVerbOptions,
): Promise<Dumped> {
  const fetching = fetchProgress();
  let recorder: BundleRecorder | null = null;
  const record = 'pid' in source ? source : null;
  try {
    const opened = await openLiveSession(
      source,
      {
        systems: SYSTEMS,
        symbols,
        debugSearch: { roots: debugDir, splitRoots: debugDir },
        sourceRoots: [],
        takeConsole: false,
        lookEveryMs: NEVER_MS,
        sampleEveryMs: NEVER_MS,
        onFetch: fetching.onProgress,
        onConsole: (bytes) => recorder?.hearConsole(bytes),
      },
      (session) => {
        recorder = new BundleRecorder(session, { unidbg: version(), target: record?.name ?? 'vm' });
      },
    ).finally(fetching.close);
    try {
      const { name } = opened.target.facts;
      const path = output ?? `${dumpName(name, Date.now())}.unicrash`;
      return { target: name, ...(await writeAsked(opened, recorder!, { path, record, live, json })) };
    } finally {
      await opened.close();
    }
  } finally {
    (recorder as BundleRecorder | null)?.close();
  }
}

type OpenedSession = Awaited<ReturnType<typeof openLiveSession>>;

async function writeAsked(
  { session, target }: OpenedSession,
  recorder: BundleRecorder,
  { path, record, live, json }: { path: string; record: LiveSource | null; live: boolean; json: boolean },
): Promise<WrittenBundle> {
  const progress = dumpProgress(json);
  try {
    return await writeBundle({
      ...{ path, session, target, recorder, onProgress: progress.onProgress },
      record: record !== null && 'pid' in record ? record : null,
      unidbg: version(),
      why: 'asked',
      reason: null,
      report: reportToJson(reportOfSnapshot(session.snapshot(), { source: target.facts.name, seenAt: Date.now() })),
      core: live ? 'live' : 'consistent',
    });
  } finally {
    progress.close();
  }
}

function documentOf(
  { target, path, bytes, core, noCore, partial, diagnostics }: Dumped,
  options: DumpVerbOptions,
  totalMs: number,
): object {
  return {
    schemaVersion: 1,
    target,
    path,
    kind: options.core === true ? 'core' : 'bundle',
    mode: options.live === true ? 'live' : 'consistent',
    bytes,
    guestBytes: core?.bytes ?? null,
    pages: core?.pages ?? null,
    pagesWithData: core?.pagesWithData ?? null,
    pagesUntouched: core?.pagesUntouched ?? null,
    pagesUnreadable: core?.pagesUnreadable ?? null,
    stoppedMs: core?.stoppedMs ?? null,
    copyMs: core?.copyMs ?? null,
    totalMs,
    bytesPerSecond: core === null ? null : (core.bytes / totalMs) * 1000,
    reader: core?.reader ?? null,
    noCore,
    partial,
    diagnostics,
  };
}

function linesOf({ path, bytes, core, noCore, diagnostics }: Dumped): readonly string[] {
  if (core === null) return [`${path}: ${formatSize(bytes)}, without memory: ${noCore ?? 'it could not be read'}`];
  const size = `${path}: ${formatSize(bytes)} for ${formatSize(core.bytes)} of guest memory`;
  const pages = `${core.pagesWithData} of ${core.pages} pages hold data, ${core.pagesUntouched} were never used`;
  const stop =
    core.stoppedMs === null ? 'the guest was not stopped' : `the guest was stopped for ${core.stoppedMs.toFixed(1)} ms`;
  return [`${size} (${pages}); ${stop}`, ...diagnostics.map(({ message }) => message)];
}
