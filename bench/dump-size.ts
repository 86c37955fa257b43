// Does the size of a dump matter? The demo guest dies with 64 MiB, 1 GiB and 8 GiB of memory; each is dumped by QEMU (ELF, holes made where
// zeros are, and kdump-zlib), and `unidbg analyze` told to explain it, in turn with gdb, drgn and crash, where they are installed.
//   node bench/dump-size.ts [ROUNDS]      (10 unless told; some minutes, 9 GiB of sparse files in the temporary folder)

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openQmp } from '../src/qemu/qmp/client.ts';
import { startDemoGuest } from '../test/support/demo-guest.ts';
import { median } from './statistics.ts';
import { firstLine, formatMs, machineFacts, printAlone, type Section } from './table.ts';

const UNIDBG = resolve(import.meta.dirname, '../src/cli/unidbg.js');
const SIZES = ['64M', '1G', '8G'] as const;
const FORMATS = ['elf', 'kdump-zlib'] as const;
const DUMP_TIMEOUT_MS = 300_000;
const POLL_MS = 5;
/** What /proc counts CPU time in: USER_HZ, 100 on every Linux. */
const TICK_MS = 10;

interface Subject {
  readonly size: string;
  readonly format: string;
  readonly path: string;
  readonly elf: string;
}

interface Tool {
  readonly name: string;
  readonly command: (subject: Subject) => readonly string[];
  /** What its output must have, else it did not open the dump. */
  readonly proof: RegExp;
}

const DRGN_SCRIPT = 'print(prog.stack_trace(next(prog.threads()).tid))';
const TOOLS: readonly Tool[] = [
  {
    name: 'unidbg',
    command: ({ path, elf }) => [process.execPath, UNIDBG, 'analyze', path, '--symbols', elf],
    proof: /crash_null/,
  },
  { name: 'gdb', command: ({ path, elf }) => ['gdb', '-nx', '-batch', '-ex', 'bt', elf, path], proof: /halt_dead/ },
  { name: 'drgn', command: ({ path, elf }) => ['drgn', '-q', '-c', path, '-s', elf, '-e', DRGN_SCRIPT], proof: /halt_dead/ },
  { name: 'crash', command: ({ path, elf }) => ['crash', '--minimal', elf, path], proof: /crash> |KERNEL:/ },
];

interface Run {
  readonly ms: number;
  /** On all CPUs together, in the program and for it in the kernel. */
  readonly cpuMs: number;
  readonly residentBytes: number;
  readonly output: string;
}

/** Dumps of a dead guest of that size, in `folder`. */
async function makeDumps(size: string, folder: string): Promise<Subject[]> {
  const guest = await startDemoGuest({ append: 'crash=null', qemuArgs: ['-m', size] });
  const qmp = await openQmp({ kind: 'unix', path: guest.qmpPath });
  try {
    await guest.waitForConsole(/halted|PANIC[^]*#\d+ .*thread_/, 60_000);
    await qmp.execute('stop');
    const subjects: Subject[] = [];
    for (const format of FORMATS) {
      const path = join(folder, `${size}.${format}`);
      const pipe = `${path}.pipe`;
      spawnSync('mkfifo', [pipe]);
      const copy = spawn('dd', [`if=${pipe}`, `of=${path}`, 'bs=64K', 'iflag=fullblock', 'conv=sparse'], { stdio: 'ignore' });
      const copied = new Promise((done) => copy.once('exit', done));
      await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${pipe}`, format }, { timeoutMs: DUMP_TIMEOUT_MS });
      await copied;
      subjects.push({ size, format, path, elf: guest.elf });
    }
    return subjects;
  } finally {
    qmp.close();
    await guest.stop();
  }
}

/** Runs a program to its end; CPU time and peak of resident memory are what the kernel last said of it. */
async function measure([program, ...args]: readonly string[]): Promise<Run> {
  const from = performance.now();
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  let used = { residentBytes: 0, cpuMs: 0 };
  const poll = setInterval(() => {
    used = usageOf(child.pid) ?? used;
  }, POLL_MS);
  await new Promise((done) => child.once('close', done).once('error', done));
  clearInterval(poll);
  return { ms: performance.now() - from, ...used, output };
}

function usageOf(pid: number | undefined): Pick<Run, 'residentBytes' | 'cpuMs'> | null {
  try {
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid ?? 0}/status`, 'latin1'))?.[1];
    // Fields 14 and 15, behind the name in parentheses.
    const [user, system] = readFileSync(`/proc/${pid ?? 0}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')
      .slice(11, 13);
    return peak === undefined ? null : { residentBytes: Number(peak) * 1024, cpuMs: TICK_MS * (Number(user) + Number(system)) };
  } catch {
    return null;
  }
}

/** Every tool on every dump: one unmeasured round to warm caches, and to see who opens what; then `rounds` in turn. */
export async function measureDumpSizes(rounds = 10): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-dump-size-'));
  try {
    const subjects: Subject[] = [];
    for (const size of SIZES) subjects.push(...(await makeDumps(size, folder)));
    const pairs = subjects.flatMap((subject) => TOOLS.map((tool) => ({ subject, tool, runs: [] as Run[], failure: '' })));
    for (let round = 0; round <= rounds; round += 1) {
      for (const pair of pairs) {
        if (pair.failure !== '') continue;
        const run = await measure(pair.tool.command(pair.subject));
        if (!pair.tool.proof.test(run.output)) pair.failure = explainFailure(pair.tool, run);
        else if (round > 0) pair.runs.push(run);
      }
    }
    const medianOf = (runs: readonly Run[], what: 'ms' | 'cpuMs' | 'residentBytes'): number =>
      median(runs.map((run) => run[what]));
    const rows = pairs.map(({ subject, tool, runs, failure }) => {
      const smallest = pairs.find((other) => other.tool === tool && other.subject.format === subject.format)!.runs;
      const compared = (what: 'ms' | 'cpuMs'): string =>
        `${formatMs(medianOf(runs, what))} (${(medianOf(runs, what) / medianOf(smallest, what)).toFixed(2)})`;
      const { size, blocks } = statSync(subject.path);
      const measured =
        failure === '' ? [compared('ms'), compared('cpuMs'), mebibytes(medianOf(runs, 'residentBytes'))] : [failure, '', ''];
      return [
        `${subject.format}, ${subject.size}`,
        `${mebibytes(size)}, ${mebibytes(blocks * 512)} on disk`,
        tool.name,
        ...measured,
      ];
    });
    return {
      title: 'The size of a dump',
      about: `The demo guest after a null dereference, ${rounds} rounds in turn, medians. unidbg: \`analyze\`, the whole report with all threads; the others: the stack of the vCPU.`,
      columns: ['dump', 'file', 'tool', 'time (times the smallest)', 'CPU time (times the smallest)', 'peak RSS'],
      rows,
      remarks: [
        ...machineFacts(),
        `${firstLine('drgn', '--version').replace(/ \(.*/s, '')}; ${firstLine('crash', '-v').trim() || 'crash'}`,
      ],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function explainFailure({ name }: Tool, { output }: Run): string {
  const lines = output.split('\n').map((line) => line.trim());
  const complaint =
    lines.findLast((line) => line.startsWith(`${name}:`)) ?? lines.find((line) => /error|not a core|Exception/i.test(line));
  return output === ''
    ? `no ${name}`
    : `does not open it: ${(complaint ?? lines[0] ?? '').replace(/\S*\/\S*/g, '…').slice(0, 90)}`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
}

await printAlone(import.meta.main, () => measureDumpSizes(Number(process.argv[2] ?? 10)));
