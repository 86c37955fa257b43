// Attach → first symbolised stack: from the start of the process to the first stack with a named frame. Beside it, on the same
// guest and in the same rounds: gdb over the gdbstub, drgn on a dump, and the bound, a Node that does nothing.
//   DRGN='chroot /some/debian13 drgn' node bench/attach.ts     names another drgn than the one on the PATH

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { SYSTEMS } from '../src/cli/systems.ts';
import { findSource } from '../src/cli/target.ts';
import { openLiveSession } from '../src/session/live-session.ts';
import { UNIDBG } from '../test/support/cli.ts';
import { type ObservedGuest, startObservedGuest } from './observed-guest.ts';
import { median, quantile, range } from './statistics.ts';
import { formatMs, printAlone, type Section } from './table.ts';

const ROUNDS = 15;
/** Tells on stderr when Node has started and is about to read the program. */
const MARK_START = `data:text/javascript,process.stderr.write('started '+(performance.timeOrigin+performance.now())+'\\n')`;

/** What one run gave; `ms` is null when no named frame came, and then `words` say why. */
interface Outcome {
  readonly ms: number | null;
  /** The part of `ms` before the program itself began. */
  readonly runtimeMs: number;
  readonly words: string;
}

interface Contender {
  readonly name: string;
  readonly run: (guest: ObservedGuest) => Promise<Outcome>;
}

const CONTENDERS: readonly Contender[] = [
  { name: '`unidbg attach` (whole command)', run: runUnidbg },
  { name: 'the same, in a process that runs already', run: runInProcess },
  { name: 'bound: `node -e 0`', run: runBareNode },
  { name: '`gdb -batch -ex "target remote …" -ex bt`', run: runGdb },
  { name: '`drgn` on a dump (`dump-guest-memory`)', run: runDrgn },
];

/** Measures all contenders in turn, in changing order. */
export async function measureAttach(): Promise<Section> {
  const guest = await startObservedGuest();
  try {
    const seen = CONTENDERS.map((contender) => ({
      contender,
      outcomes: [] as Outcome[],
      stops: [] as number[],
      still: [] as number[],
    }));
    await runUnidbg(guest); // the first run of all reads files from the disk
    for (let round = 0; round < ROUNDS; round += 1) {
      const turn = seen.map((_, index) => seen[(index + round) % seen.length]!);
      for (const one of turn) {
        await guest.observe();
        one.outcomes.push(await one.contender.run(guest));
        const { stops, stoppedMs } = await guest.observe();
        one.stops.push(stops);
        one.still.push(stoppedMs);
      }
    }
    const rows = seen.map(({ contender, outcomes, stops, still }) => row(contender.name, outcomes, stops, still));
    const own = seen[0]!.outcomes.flatMap(({ ms, runtimeMs }) => (ms === null ? [] : [ms - runtimeMs]));
    rows.splice(1, 0, ['its own part, after Node has started', formatMs(median(own)), ...bounds(own), '', '']);
    const refusal = seen.at(-1)!.outcomes[0]!;
    return {
      title: 'Attach: process start to the first stack with a function name',
      about: `The demo guest, running; ${ROUNDS} rounds, each contender once a round in changing order. STOP events as QEMU reports them on another monitor, in all rounds together.`,
      columns: ['', 'median', 'best', '90 %', 'STOP events', 'guest stopped, median'],
      rows,
      remarks: refusal.ms === null ? [`drgn has no stack to show: ${refusal.words}`] : [],
    };
  } finally {
    await guest.stop();
  }
}

function row(name: string, outcomes: readonly Outcome[], stops: readonly number[], still: readonly number[]): string[] {
  const times = outcomes.flatMap(({ ms }) => (ms === null ? [] : [ms]));
  const total = stops.reduce((sum, count) => sum + count, 0);
  const middle = times.length === 0 ? 'no stack' : formatMs(median(times));
  return [name, middle, ...bounds(times), String(total), total === 0 ? '0' : formatMs(median(still))];
}

function bounds(times: readonly number[]): [string, string] {
  return times.length === 0 ? ['–', '–'] : [formatMs(range(times)[0]), formatMs(quantile(times, 0.9))];
}

async function runUnidbg(guest: ObservedGuest): Promise<Outcome> {
  const args = ['--import', MARK_START, UNIDBG, 'attach', String(guest.pid), '--plain', '--json', '--for', '100ms'];
  const startedAt = performance.timeOrigin + performance.now();
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (text: Buffer) => {
    errors += text.toString();
  });
  const found = await waitForLine(child, [/"type":"stacks"/, /"status":"symbolicated"/]);
  const ms = performance.timeOrigin + performance.now() - startedAt;
  await once(child, 'close');
  const nodeAt = Number(/^started ([\d.]+)/m.exec(errors)?.[1]);
  return found ? { ms, runtimeMs: nodeAt - startedAt, words: '' } : { ms: null, runtimeMs: 0, words: errors };
}

/** Whether stdout came to a line that matches all patterns before it ended. */
async function waitForLine(child: ChildProcess, patterns: readonly RegExp[]): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const lines = createInterface({ input: child.stdout! });
  lines.on('line', (line) => {
    if (patterns.every((pattern) => pattern.test(line))) resolve(true);
  });
  lines.on('close', () => {
    resolve(false);
  });
  return promise;
}

async function runInProcess(guest: ObservedGuest): Promise<Outcome> {
  const named = Promise.withResolvers<number>();
  const from = performance.now();
  const live = await openLiveSession(
    findSource(String(guest.pid)),
    { systems: SYSTEMS, symbols: [], sourceRoots: [], takeConsole: false },
    (session) => {
      session.subscribe((event) => {
        if (event.type !== 'stacks') return;
        if (event.stacks.some(({ frames }) => frames.some((frame) => frame.function !== null)))
          named.resolve(performance.now() - from);
      });
    },
  );
  const ms = await named.promise;
  await live.close();
  return { ms, runtimeMs: 0, words: '' };
}

async function runBareNode(): Promise<Outcome> {
  const from = performance.now();
  await once(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }), 'close');
  return { ms: performance.now() - from, runtimeMs: 0, words: '' };
}

async function runGdb(guest: ObservedGuest): Promise<Outcome> {
  const commands = [`target remote ${guest.gdbPath}`, 'bt', 'detach'].flatMap((command) => ['-ex', command]);
  return runDebugger('gdb', ['-nx', '-batch', guest.guest.elf, ...commands], /^#0 .* in [a-z_]+ \(/);
}

// The only way in for drgn, which speaks neither QMP nor RSP: a dump of all memory, for which QEMU stops the guest.
async function runDrgn(guest: ObservedGuest): Promise<Outcome> {
  const [program, ...first] = (process.env['DRGN'] ?? 'drgn').split(' ');
  const core = join(guest.guest.folder, 'core');
  const elf = join(guest.guest.folder, 'demo.elf');
  await copyFile(guest.guest.elf, elf);
  const from = performance.now();
  await guest.hmp(`dump-guest-memory -p ${core}`);
  const code = 'for thread in prog.threads(): print(thread.stack_trace())';
  const outcome = await runDebugger(
    program!,
    [...first, '-q', '-c', core, '--extra-symbols', elf, '-e', code],
    /^#0 .*\b[a-z_]+ \(/,
  );
  const ms = performance.now() - from;
  await rm(core, { force: true });
  return outcome.ms === null ? outcome : { ...outcome, ms };
}

async function runDebugger(program: string, args: readonly string[], frame: RegExp): Promise<Outcome> {
  const from = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 });
  let errors = '';
  child.stderr.on('data', (text: Buffer) => {
    errors += text.toString();
  });
  const ended = new Promise<void>((done) => {
    child.once('error', (error) => {
      errors = error.message;
      done();
    });
    child.once('close', () => {
      done();
    });
  });
  const found = await waitForLine(child, [frame]);
  const ms = performance.now() - from;
  await ended;
  return found ? { ms, runtimeMs: 0, words: '' } : { ms: null, runtimeMs: 0, words: errors.split(';')[0]!.trim() };
}

await printAlone(import.meta.main, measureAttach);
