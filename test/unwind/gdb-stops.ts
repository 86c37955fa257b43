// Stops of a real process with what gdb makes of its stack: the oracle of the unwinder. gdb runs once per program, single-steps
// it and writes, for each stop, registers, the stack's bytes and its own frames.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Registers } from '../../src/model/registers.ts';

/** A real frame as gdb sees it: neither an inlined one nor one that it infers from a tail call. */
export interface GdbFrame {
  readonly pc: bigint;
  readonly sp: bigint;
  readonly name: string | null;
  /** The trampoline that a signal handler returns to. */
  readonly isSignalFrame: boolean;
}

/** One stop: everything that unwinding needs, and the answer. */
export interface GdbStop {
  readonly registers: Registers;
  readonly stack: { readonly start: bigint; readonly bytes: Uint8Array };
  readonly frames: readonly GdbFrame[];
}

/** A program to stop: C source, compiler flags, and where to stop before stepping `steps` times, each `stride` instructions at most. */
export interface Program {
  readonly source: string;
  readonly flags: readonly string[];
  readonly stops: readonly { readonly at: string; readonly steps: number; readonly stride: number }[];
}

const SCRIPT = `
import gdb, json, random
gdb.execute('set pagination off')
gdb.execute('set confirm off')
gdb.execute('set debuginfod enabled off')
gdb.execute('set backtrace past-main on')
gdb.execute('handle SIGUSR1 nostop noprint pass', to_string=True)
gdb.execute('break main', to_string=True)
gdb.execute('run', to_string=True)
gdb.execute('delete')
random.seed(7)
inferior = gdb.selected_inferior()
top = 0
for line in open('/proc/%d/maps' % inferior.pid):
    if '[stack]' in line:
        top = int(line.split()[0].split('-')[1], 16)
NAMES = 'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip'.split()
MASK = 2**64 - 1
out = open(OUTPUT, 'w')
def record():
    frame = gdb.newest_frame()
    registers = {name: str(int(frame.read_register(name)) & MASK) for name in NAMES}
    start = int(registers['rsp']) - 128
    frames = []
    while frame is not None:
        if frame.type() in (gdb.NORMAL_FRAME, gdb.SIGTRAMP_FRAME):
            signal = frame.type() == gdb.SIGTRAMP_FRAME
            frames.append([str(frame.pc()), str(int(frame.read_register('rsp')) & MASK), frame.name(), signal])
        frame = frame.older()
    stack = bytes(inferior.read_memory(start, min(top - start, 16384))).hex()
    out.write(json.dumps({'registers': registers, 'start': str(start), 'stack': stack, 'frames': frames}) + '\\n')
for at, steps, stride in STOPS:
    gdb.execute('tbreak ' + at, to_string=True)
    gdb.execute('continue', to_string=True)
    record()
    for _ in range(steps):
        gdb.execute('stepi %d' % random.randint(1, stride), to_string=True)
        record()
out.close()
gdb.execute('kill')
`;

interface StopRecord {
  readonly registers: Readonly<Record<string, string>>;
  readonly start: string;
  readonly stack: string;
  readonly frames: readonly (readonly [string, string, string | null, boolean])[];
}

/** Compiles `program` (static, not position-independent: link addresses are run-time addresses) and collects its stops. */
export function collectStops(program: Program): {
  readonly elf: string;
  readonly stops: readonly GdbStop[];
  readonly remove: () => void;
} {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-stops-'));
  const remove = (): void => {
    rmSync(folder, { recursive: true, force: true });
  };
  const [source, elf, script, output] = ['program.c', 'program', 'stops.py', 'stops.jsonl'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
    string,
  ];
  writeFileSync(source, program.source);
  const places = program.stops.map(({ at, steps, stride }) => [at, steps, stride]);
  writeFileSync(script, `OUTPUT = ${JSON.stringify(output)}\nSTOPS = ${JSON.stringify(places)}\n${SCRIPT}`);
  const flags = ['-g', '-static', '-no-pie', '-fno-pic', ...program.flags];
  execFileSync('gcc', [...flags, '-o', elf, source], { stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('gdb', ['-nx', '-batch', '-x', script, elf], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 60_000 });
  const stops = readFileSync(output, 'utf8')
    .trim()
    .split('\n')
    .map((line) => stopOf(JSON.parse(line) as StopRecord));
  return { elf, stops, remove };
}

function stopOf(record: StopRecord): GdbStop {
  const values = Object.fromEntries(Object.entries(record.registers).map(([name, value]) => [name, BigInt(value)]));
  return {
    registers: { machine: 'x86_64', values },
    stack: { start: BigInt(record.start), bytes: Buffer.from(record.stack, 'hex') },
    frames: record.frames.map(([pc, sp, name, isSignalFrame]) => ({ pc: BigInt(pc), sp: BigInt(sp), name, isSignalFrame })),
  };
}
