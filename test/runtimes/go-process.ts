// Go programs built by Debian's Go, and processes of them held by gdb at stops: the test reads registers and memory while the process
// stands still, as unidbg reads a guest. gdb has the full binary, the code under test the stripped one; stripping moves nothing.

import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Registers } from '../../src/model/registers.ts';
import type { Memory } from '../../src/model/target.ts';

/** A program and the same without symbols and debug info. */
export interface GoProgram {
  readonly full: string;
  readonly stripped: string;
  readonly folder: string;
  readonly remove: () => void;
}

/** Builds `source`; `go` is the command, for trying other releases by hand. DWARF is left uncompressed for other tools. */
export function buildGo(
  source: string,
  flags: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): GoProgram {
  const go = process.env.UNIDBG_TEST_GO ?? 'go';
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-go-'));
  const [file, full, stripped] = [join(folder, 'main.go'), join(folder, 'full'), join(folder, 'stripped')];
  writeFileSync(file, source);
  const env = { ...process.env, GO111MODULE: 'off', GOFLAGS: '', GOTOOLCHAIN: 'local', ...environment };
  execFileSync(go, ['build', '-ldflags=-compressdwarf=false', ...flags, '-o', full, file], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  execFileSync('strip', ['-o', stripped, full]);
  return {
    ...{ full, stripped, folder },
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A process at a stop. */
export interface GoStop {
  /** The breakpoint's function. */
  readonly at: string;
  readonly registers: Registers;
  readonly memory: Memory;
  /** The pcs of gdb's frames, innermost first. */
  readonly gdbFrames: readonly { readonly pc: bigint; readonly name: string | null }[];
}

/** Stops at the entry of `at` for the `times`th time, then after so many single steps of at most `stride` instructions. */
export interface GoStopPlan {
  readonly at: string;
  readonly times?: number;
  readonly steps?: number;
  readonly stride?: number;
}

const SCRIPT = `
import gdb, json, random, sys
for command in ['set pagination off', 'set confirm off', 'set debuginfod enabled off', 'set backtrace limit 200', 'set backtrace past-main on',
                'handle SIGURG SIGSEGV SIGPIPE nostop noprint pass', 'set print thread-events off']:
    gdb.execute(command, to_string=True)
random.seed(3)
NAMES = 'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip fs_base'.split()
gdb.execute('break main.main', to_string=True)
gdb.execute('run > /dev/null 2>&1', to_string=True)
gdb.execute('delete', to_string=True)
gdb.execute('set scheduler-locking step', to_string=True)

def record(at):
    frame = gdb.newest_frame()
    registers = {name: str(int(frame.read_register(name)) & (2**64 - 1)) for name in NAMES}
    frames = []
    try:
        while frame is not None and len(frames) < 200:
            if frame.type() in (gdb.NORMAL_FRAME, gdb.SIGTRAMP_FRAME):
                frames.append([str(frame.pc()), frame.name()])
            frame = frame.older()
    except gdb.error:
        pass
    print('STOP ' + json.dumps({'at': at, 'pid': gdb.selected_inferior().pid, 'registers': registers, 'frames': frames}))
    sys.stdout.flush()
    sys.stdin.readline()

for plan in PLANS:
    breakpoint = gdb.Breakpoint('*' + plan['address'] if 'address' in plan else plan['at'], temporary=False)
    breakpoint.ignore_count = plan.get('times', 1) - 1
    gdb.execute('continue', to_string=True)
    breakpoint.delete()
    record(plan['at'])
    for _ in range(plan.get('steps', 0)):
        gdb.execute('stepi %d' % random.randint(1, plan.get('stride', 1)), to_string=True)
        record(plan['at'])
gdb.execute('kill')
print('END')
`;

interface StopRecord {
  readonly at: string;
  readonly pid: number;
  readonly registers: Readonly<Record<string, string>>;
  readonly frames: readonly (readonly [string, string | null])[];
}

/** Runs the program under gdb and calls `onStop` at every stop. */
export async function stopInGdb(program: GoProgram, plans: readonly GoStopPlan[], onStop: (stop: GoStop) => void): Promise<void> {
  const script = join(program.folder, 'stops.py');
  writeFileSync(script, `PLANS = ${JSON.stringify(plans)}\n${SCRIPT}`);
  const gdb = spawn('gdb', ['-nx', '-batch', '-x', script, program.full], { stdio: ['pipe', 'pipe', 'pipe'], timeout: 100_000 });
  let trouble = '';
  let done = false;
  gdb.stderr.setEncoding('utf8').on('data', (text: string) => {
    trouble += text;
  });
  const ended = new Promise<void>((resolve) => gdb.once('close', resolve));
  for await (const line of createInterface({ input: gdb.stdout })) {
    if (line === 'END') done = true;
    if (!line.startsWith('STOP ')) continue;
    const record = JSON.parse(line.slice(5)) as StopRecord;
    const { memory, close } = openMemory(record.pid);
    try {
      onStop(stopOf(record, memory));
    } finally {
      close();
    }
    gdb.stdin.write('\n');
  }
  await ended;
  if (!done) throw new Error(`gdb failed: ${trouble}`);
}

function stopOf({ at, registers, frames }: StopRecord, memory: Memory): GoStop {
  const values = Object.fromEntries(Object.entries(registers).map(([name, value]) => [name, BigInt(value)]));
  const gdbFrames = frames.map(([pc, name]) => ({ pc: BigInt(pc), name }));
  return { at, memory, registers: { machine: 'x86_64', values }, gdbFrames };
}

function openMemory(pid: number): { readonly memory: Memory; readonly close: () => void } {
  const file = openSync(`/proc/${pid}/mem`, 'r');
  const read = (address: bigint, length: number): Uint8Array | null => {
    const bytes = new Uint8Array(length);
    try {
      return readSync(file, bytes, 0, length, address) === length ? bytes : null;
    } catch {
      return null;
    }
  };
  return {
    memory: { read },
    close: () => {
      closeSync(file);
    },
  };
}
