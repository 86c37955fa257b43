// Stops of a real process or guest with what gdb makes of its stack: the oracle of the unwinder. gdb runs once, stops it at
// breakpoints, by single steps and at random moments, and writes, for each stop, registers, the stack's bytes and its own frames.

import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Registers } from '../../src/model/registers.ts';

/** A real frame as gdb sees it: neither an inlined one nor one that it infers from a tail call. */
export interface GdbFrame {
  readonly pc: bigint;
  readonly sp: bigint;
  readonly name: string | null;
  /** A signal trampoline or a trap vector. */
  readonly isSignalFrame: boolean;
}

/** One stop: everything that unwinding needs, and the answer. */
export interface GdbStop {
  readonly registers: Registers;
  /** The stacks that gdb's frames lie on. */
  readonly pieces: readonly { readonly start: bigint; readonly bytes: Uint8Array }[];
  readonly frames: readonly GdbFrame[];
}

/** Where to stop: at a breakpoint, then `steps` times after up to `stride` instructions; or `random` times after some milliseconds. */
export type Stops = { readonly at: string; readonly steps: number; readonly stride: number } | { readonly random: number };

/** A program to stop: C source, compiler flags, and where. */
export interface Program {
  readonly source: string;
  readonly flags: readonly string[];
  readonly stops: readonly Stops[];
}

const SCRIPT = `
import gdb, json, os, random, signal, threading
gdb.execute('set pagination off')
gdb.execute('set confirm off')
gdb.execute('set debuginfod enabled off')
gdb.execute('set backtrace past-main on')
gdb.execute('handle SIGUSR1 nostop noprint pass', to_string=True)
random.seed(7)
for command in START:
    gdb.execute(command, to_string=True)
inferior = gdb.selected_inferior()
NAMES = 'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip'.split()
MASK = 2**64 - 1
out = open(OUTPUT, 'w')

def piece(start):
    for pages in (4, 3, 2, 1, 0):
        size = (start & ~4095) + 4096 * (pages + 1) - start
        try:
            return [str(start), bytes(inferior.read_memory(start, size)).hex()]
        except gdb.MemoryError:
            pass
    return [str(start), '']

def record():
    frame = gdb.newest_frame()
    registers = {name: str(int(frame.read_register(name)) & MASK) for name in NAMES}
    frames = []
    pieces = []
    while frame is not None and len(frames) < 1000:
        sp = int(frame.read_register('rsp')) & MASK
        if not any(int(start) <= sp < int(start) + len(data) // 2 - 256 for start, data in pieces):
            pieces.append(piece(sp - 128))
        if frame.type() in (gdb.NORMAL_FRAME, gdb.SIGTRAMP_FRAME):
            frames.append([str(frame.pc()), str(sp), frame.name(), frame.type() == gdb.SIGTRAMP_FRAME])
        frame = frame.older()
    out.write(json.dumps({'registers': registers, 'pieces': pieces, 'frames': frames}) + '\\n')

def run_a_while():
    timer = threading.Timer(random.uniform(0.04, 0.08), lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        gdb.execute('continue', to_string=True)
    except KeyboardInterrupt:
        pass
    timer.join()

for stop in STOPS:
    for _ in range(stop.get('random', 0)):
        run_a_while()
        record()
    if 'at' in stop:
        gdb.execute('tbreak ' + stop['at'], to_string=True)
        gdb.execute('continue', to_string=True)
        record()
        for _ in range(stop['steps']):
            gdb.execute('stepi %d' % random.randint(1, stop['stride']), to_string=True)
            record()
out.close()
gdb.execute(END)
`;

interface StopRecord {
  readonly registers: Readonly<Record<string, string>>;
  readonly pieces: readonly (readonly [string, string])[];
  readonly frames: readonly (readonly [string, string, string | null, boolean])[];
}

/** Compiles `program` (static, not position-independent: link addresses are run-time addresses) and collects its stops. */
export async function collectStops(program: Program): Promise<{
  readonly elf: string;
  readonly stops: readonly GdbStop[];
  readonly remove: () => void;
}> {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-stops-'));
  const [source, elf] = [join(folder, 'program.c'), join(folder, 'program')];
  writeFileSync(source, program.source);
  const flags = ['-g', '-static', '-no-pie', '-fno-pic', ...program.flags];
  execFileSync('gcc', [...flags, '-o', elf, source], { stdio: ['ignore', 'ignore', 'inherit'] });
  const stops = await runGdb(folder, elf, { start: ['break main', 'run', 'delete'], stops: program.stops, end: 'kill' });
  return {
    elf,
    stops,
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Collects stops of a guest whose gdbstub listens on a socket; `folder` takes gdb's files. The guest runs on afterwards. */
export async function collectGuestStops(guest: {
  readonly folder: string;
  readonly elf: string;
  readonly socket: string;
  readonly stops: readonly Stops[];
}): Promise<readonly GdbStop[]> {
  return runGdb(guest.folder, guest.elf, { start: [`target remote ${guest.socket}`], stops: guest.stops, end: 'detach' });
}

async function runGdb(
  folder: string,
  elf: string,
  plan: { readonly start: readonly string[]; readonly stops: readonly Stops[]; readonly end: string },
): Promise<GdbStop[]> {
  const [script, output] = [join(folder, 'stops.py'), join(folder, 'stops.jsonl')];
  const settings = { START: plan.start, STOPS: plan.stops, END: plan.end, OUTPUT: output };
  const assignments = Object.entries(settings).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`);
  writeFileSync(script, assignments.join('') + SCRIPT);
  await promisify(execFile)('gdb', ['-nx', '-batch', '-x', script, elf], { timeout: 100_000, maxBuffer: 1 << 26 });
  return readFileSync(output, 'utf8')
    .trim()
    .split('\n')
    .map((line) => stopOf(JSON.parse(line) as StopRecord));
}

function stopOf(record: StopRecord): GdbStop {
  const values = Object.fromEntries(Object.entries(record.registers).map(([name, value]) => [name, BigInt(value)]));
  return {
    registers: { machine: 'x86_64', values },
    pieces: record.pieces.map(([start, bytes]) => ({ start: BigInt(start), bytes: Buffer.from(bytes, 'hex') })),
    frames: record.frames.map(([pc, sp, name, isSignalFrame]) => ({ pc: BigInt(pc), sp: BigInt(sp), name, isSignalFrame })),
  };
}
