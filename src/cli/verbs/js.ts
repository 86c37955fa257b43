// `unidbg js <vm> heap|stacks|profile|heap-snapshot`: the JavaScript of a Node.js guest, through its V8 inspector.

import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { FoundInspector } from '../../inspector/find.ts';
import { type CpuProfile, MAX_PROFILE_MS, rankFunctions, recordProfile } from '../../inspector/profile.ts';
import { InspectorSession } from '../../inspector/session.ts';
import { type SnapshotProgress, writeHeapSnapshot } from '../../inspector/snapshot-file.ts';
import { stopForStack } from '../../inspector/stop.ts';
import { errorMessage, UnidbgError } from '../../model/error.ts';
import { encodeJson } from '../../model/json.ts';
import { formatNanoseconds, formatSize, parseDuration, parseSize } from '../../model/quantity.ts';
import { formatEndpoint } from '../../qemu/qmp/endpoint.ts';
import { mapReportedFrames } from '../../session/map-frames.ts';
import { openSourceMapsAmong, type SourceMaps } from '../../symbolize/source-maps.ts';
import { collect } from '../collect.ts';
import { EXIT } from '../exit-codes.ts';
import { findProgram } from '../js/find-program.ts';
import { heapLines, rankLines, sampledLines, stackLines } from '../js/text.ts';
import type { Verb } from '../verb.ts';

interface JsOptions {
  readonly inspect?: string;
  readonly symbols: readonly string[];
  readonly for?: string;
  readonly out?: string;
  readonly maxSize: string;
  readonly exact?: boolean;
  readonly evaluate: boolean;
  readonly json?: boolean;
}

/** An attached program, and what was asked. */
interface Asked {
  readonly session: InspectorSession;
  readonly program: FoundInspector;
  readonly options: JsOptions;
  readonly maps: SourceMaps | null;
}

/** What one question answers: a JSON object's fields, and lines. */
interface Answer {
  readonly document: object;
  readonly lines: readonly string[];
}

const NOTES = `
What:
  heap           the heap, its spaces; with --for the collections meanwhile
  stacks         the stacks that a sampling of 50ms (--for) saw; a frame's line
                 is where its function begins. Switching that on holds the
                 program up for some ms (seconds without KVM): it says how long.
                 With --exact the stack of this moment, stopped for some ms
  profile        CPU profile of 5s (--for): who took the time; --out FILE writes
                 a .cpuprofile for DevTools
  heap-snapshot  --out FILE: all objects, for DevTools. The JavaScript stands
                 still meanwhile, seconds on a large heap

Examples:
  unidbg js my-vm heap --for 10s
  unidbg js my-vm profile --for 5s --out app.cpuprofile --symbols dist/
  unidbg js --inspect unix:/run/node.sock stacks --json

The guest runs \`node --inspect=0.0.0.0:9229\`, QEMU forwards that port (-netdev
user,hostfwd=tcp:127.0.0.1:9229-:9229), or --inspect says where it is.
\`heap\` evaluates a small reader in the guest (--no-evaluate: only used and held).
Whoever reaches that port owns the program: forward it on 127.0.0.1 alone.`;

const QUESTIONS: Readonly<Record<string, (asked: Asked) => Promise<Answer>>> = {
  heap: askHeap,
  stacks: askStacks,
  profile: askProfile,
  'heap-snapshot': askSnapshot,
};

export const js: Verb = {
  register: (program: Command, finish) => {
    program
      .command('js')
      .argument('<words...>', '[vm] what: a VM as for attach, and heap, stacks, profile or heap-snapshot')
      .usage('[options] [vm] heap|stacks|profile|heap-snapshot')
      .description("look into a Node.js guest's JavaScript through its V8 inspector")
      .option('--inspect <where>', "HOST:PORT or unix:PATH of the inspector; else among the VM's forwarded ports")
      .option('--symbols <maps>', 'source map, script or folder of them; may be given many times', collect, [])
      .option('--for <time>', 'how long to look: 500ms, 5s, 1m')
      .option('--out <file>', 'where to write the profile or the snapshot')
      .option('--max-size <size>', 'a snapshot larger than this is cut off', '4GiB')
      .option('--exact', 'stacks: stop the JavaScript for the stack of this moment')
      .option('--no-evaluate', 'run nothing of ours in the guest')
      .option('--json', 'print one JSON document')
      .addHelpText('after', NOTES)
      .action(finish(async (words: readonly string[], options: JsOptions) => run(words, options)));
  },
};

async function run(words: readonly string[], options: JsOptions): Promise<number> {
  const what = words.at(-1) ?? '';
  const ask = Object.hasOwn(QUESTIONS, what) ? QUESTIONS[what] : undefined;
  if (ask === undefined || words.length > 2) {
    throw new UnidbgError('USAGE', `"${words.join(' ')}": write [vm] and one of ${Object.keys(QUESTIONS).join(', ')}`);
  }
  if (what === 'heap-snapshot' && options.out === undefined)
    throw new UnidbgError('USAGE', 'heap-snapshot: where to? Give --out FILE');
  const { maps, images } = await openSourceMapsAmong(options.symbols);
  try {
    if (images.length > 0)
      throw new UnidbgError('USAGE', `--symbols: ${images.join(', ')}: only source maps and scripts help here`);
    return await attachAndAsk(words.length === 2 ? words[0] : undefined, options, maps, ask);
  } finally {
    maps?.close();
  }
}

async function attachAndAsk(
  vm: string | undefined,
  options: JsOptions,
  maps: SourceMaps | null,
  ask: (asked: Asked) => Promise<Answer>,
): Promise<number> {
  const program = await findProgram(vm, options.inspect);
  const remarks: string[] = [];
  const session = new InspectorSession(program.endpoint, {
    evaluate: options.evaluate && ask === askHeap,
    onRemark: (code, message) => {
      if (code !== 'inspector-attached') remarks.push(message);
    },
  });
  try {
    await session.open();
    const { document, lines } = await ask({ session, program, options, maps });
    const { product, title, endpoint } = program;
    const diagnostics = [...remarks, ...(maps?.diagnostics ?? []).map(({ message }) => message)];
    if (options.json === true) {
      const target = { endpoint: formatEndpoint(endpoint), product, title };
      process.stdout.write(`${encodeJson({ schemaVersion: 1, target, ...document, diagnostics })}\n`);
    } else {
      for (const remark of diagnostics) process.stderr.write(`unidbg: ${remark}\n`);
      process.stdout.write(`${lines.join('\n')}\n`);
    }
    return EXIT.fine;
  } finally {
    await session.close();
  }
}

async function askHeap({ session, options }: Asked): Promise<Answer> {
  const watchedMs = options.for === undefined ? null : parseDuration(options.for);
  if (watchedMs !== null) await sleep(watchedMs);
  const { reading } = await session.read();
  const { statistics, spaces, gc } = reading;
  const collections =
    gc === null || watchedMs === null ? null : { watchedMs, totals: Object.fromEntries(gc.totals), recent: gc.recent };
  return { document: { statistics, spaces, collections }, lines: heapLines(reading, watchedMs) };
}

async function askStacks({ session, options, maps }: Asked): Promise<Answer> {
  if (options.exact !== true) {
    const profile = await record({ session, maps }, parseDuration(options.for ?? '50ms'), 500);
    const { stacks, durationMs, startMs } = profile;
    return { document: { sampledMs: durationMs, startMs, stoppedMs: null, stacks }, lines: sampledLines(profile) };
  }
  const stopped = await stopForStack(session.connection(), parseDuration(options.for ?? '1s'));
  if (stopped === null) {
    return {
      document: { sampledMs: null, stoppedMs: 0, stacks: [] },
      lines: ['no JavaScript ran meanwhile, so none was stopped'],
    };
  }
  const frames = mapReportedFrames(stopped.frames, maps);
  const head = `the JavaScript was stopped for ${formatNanoseconds(stopped.stoppedMs * 1e6)}`;
  const document = { sampledMs: null, stoppedMs: stopped.stoppedMs, stacks: [{ frames, ms: null }] };
  return { document, lines: [head, ...stackLines(frames)] };
}

async function askProfile({ session, options, maps }: Asked): Promise<Answer> {
  const forMs = parseDuration(options.for ?? '5s');
  if (forMs > MAX_PROFILE_MS) throw new UnidbgError('USAGE', `--for: a profile is ${MAX_PROFILE_MS / 60_000}m long at most`);
  const profile = await record({ session, maps }, forMs, 1000);
  const functions = rankFunctions(profile.stacks);
  if (options.out !== undefined) write(options.out, JSON.stringify(profile.raw));
  const { durationMs, startMs } = profile;
  const document = { durationMs, startMs, functions: functions.slice(0, 1000), out: options.out ?? null };
  return { document, lines: rankLines(functions, profile) };
}

async function askSnapshot({ session, options }: Asked): Promise<Answer> {
  const path = options.out ?? '';
  const progress = showProgress();
  const written = await writeHeapSnapshot(session.connection(), path, parseSize(options.maxSize), progress.show).finally(
    progress.end,
  );
  const span = formatNanoseconds(written.stoppedMs * 1e6);
  return {
    document: { out: path, bytes: written.bytes, stoppedMs: written.stoppedMs },
    lines: [`${path}: ${formatSize(written.bytes)}; the JavaScript stood still for up to ${span}`],
  };
}

async function record({ session, maps }: Pick<Asked, 'session' | 'maps'>, ms: number, micros: number): Promise<CpuProfile> {
  const profile = await recordProfile(session.connection(), ms, micros);
  return { ...profile, stacks: profile.stacks.map((seen) => ({ ...seen, frames: mapReportedFrames(seen.frames, maps) })) };
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text, { mode: 0o600 });
  } catch (cause) {
    throw new UnidbgError('FILE_UNREADABLE', `cannot write ${path}: ${errorMessage(cause)}`, { cause });
  }
}

/** One line on a terminal, written over. */
function showProgress(): { readonly show: (progress: SnapshotProgress) => void; readonly end: () => void } {
  if (!process.stderr.isTTY) return { show: () => undefined, end: () => undefined };
  return {
    show: ({ done, total, bytes }) => {
      const walked = total === 0 ? '' : ` ${Math.min(100, Math.round((done / total) * 100))}% of the heap walked,`;
      process.stderr.write(`\r\x1b[Kheap snapshot:${walked} ${formatSize(bytes)} written`);
    },
    end: () => {
      process.stderr.write('\r\x1b[K');
    },
  };
}
