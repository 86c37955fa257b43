// gdb in lock step, the oracle of the unwinder: it brings a process or guest to a stop at some random instruction, says what
// it makes of the stack there, and hands out registers and memory of that very moment for as long as it is asked. Talks over
// a pair of FIFOs, so that a read is synchronous, as unwinders want it.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine } from '../../src/model/machine.ts';
import type { Registers } from '../../src/model/registers.ts';
import type { Memory } from '../../src/model/target.ts';

/** A real frame as gdb sees it: neither an inlined one nor one that it infers from a tail call. */
export interface OracleFrame {
  readonly pc: bigint;
  readonly sp: bigint;
  readonly name: string | null;
  /** Where its function begins; null where debug info does not say. */
  readonly entry: bigint | null;
  /** A signal trampoline or a trap vector. */
  readonly isSignalFrame: boolean;
}

/** One stop. */
export interface OracleStop {
  readonly registers: Registers;
  /** Innermost first. */
  readonly frames: readonly OracleFrame[];
  /** Why gdb goes no further, in its words; empty when the outermost frame says so itself. */
  readonly end: string;
}

/** How to come to the next stop. */
export type Approach =
  /** After some seconds of running, or at the first of these functions, and then `steps` instructions on. */
  | { readonly seconds: number; readonly functions?: readonly string[]; readonly steps: number }
  /** `steps` instructions from here. */
  | { readonly steps: number };

/** A started gdb. Everything blocks until gdb answers; throws when it died. */
export interface GdbSession {
  /** Runs to the next stop; null when the program has ended. */
  stop(approach: Approach): OracleStop | null;
  /** Memory at the present stop. */
  readonly memory: Memory;
  /** Runs a command and gives its output, or what went wrong. */
  execute(command: string): string;
  /**
   * Lets the program run until it is at `pc` with that stack pointer: gdb's stack there, or null when that did not come to
   * pass within `seconds`.
   */
  runTo(pc: bigint, sp: bigint, seconds: number): OracleStop | null;
  /**
   * Follows the program instruction by instruction, over calls, until it returns from the present frame: where it then is. Needs no
   * unwinding, so it is the judge of it. Null when that does not happen within a few thousand instructions.
   */
  stepOut(seconds: number): { readonly pc: bigint; readonly sp: bigint } | null;
  close(): void;
}

/** What to start gdb with. */
export interface GdbPlan {
  /** The gdb to run; `gdb` unless told. */
  readonly gdb?: string;
  readonly machine?: Machine;
  /** An existing folder for its files. */
  readonly folder: string;
  readonly elf: string;
  /** Commands that bring it to the program: `target remote …`, or `break main` and `run`. */
  readonly start: readonly string[];
  /** What it does last; `kill` unless told. */
  readonly end?: string;
  /** Frames asked for at most; 1000 unless told. */
  readonly limit?: number;
}

const GENERAL: Readonly<Record<Machine, readonly string[]>> = {
  x86_64: [
    ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
    ...['rip', 'fs_base', 'gs_base'],
  ],
  i386: ['eax', 'ebx', 'ecx', 'edx', 'esi', 'edi', 'ebp', 'esp', 'eip'],
  aarch64: [...Array.from({ length: 31 }, (_, index) => `x${index}`), 'sp', 'pc'],
  riscv64: [
    ...['ra', 'sp', 'gp', 'tp', 't0', 't1', 't2', 's0', 's1', 'a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 's2', 's3', 's4'],
    ...['s5', 's6', 's7', 's8', 's9', 's10', 's11', 't3', 't4', 't5', 't6', 'pc'],
  ],
};

/** gdb's own name of a register that we call otherwise. */
const GDB_NAMES: Readonly<Record<string, string>> = { s0: 'fp' };

const SCRIPT = `
import gdb, json, os, signal, threading, time
for command in ('set pagination off', 'set confirm off', 'set debuginfod enabled off', 'set backtrace past-main on',
                'set backtrace past-entry on', 'set backtrace limit unlimited', 'set width 0', 'set python print-stack none',
                'handle SIGUSR1 nostop noprint pass', 'handle SIGSEGV nostop noprint pass', 'handle SIGURG nostop noprint pass'):
    try:
        gdb.execute(command, to_string=True)
    except gdb.error:
        pass
MASK = 2**64 - 1
requests = open(REQUESTS)
answers = open(ANSWERS, 'w')

def say(value):
    answers.write(json.dumps(value) + '\\n')
    answers.flush()

def frame_entry(frame):
    function = frame.function()
    return None if function is None else str(int(function.value().address) & MASK)

def alive():
    try:
        gdb.newest_frame()
        return True
    except gdb.error:
        return False

def record():
    if not alive():
        return None
    frame = gdb.newest_frame()
    registers = {}
    for name in NAMES:
        try:
            registers[name] = str(int(frame.read_register(GDB_NAMES.get(name, name))) & MASK)
        except (ValueError, gdb.error):
            pass
    frames = []
    end = ''
    try:
        while frame is not None and len(frames) < LIMIT:
            if frame.type() in (gdb.NORMAL_FRAME, gdb.SIGTRAMP_FRAME):
                sp = int(frame.read_register('sp')) & MASK
                frames.append([str(frame.pc() & MASK), str(sp), frame.name(), frame_entry(frame), frame.type() == gdb.SIGTRAMP_FRAME])
            last = frame
            frame = frame.older()
        if frame is None and last.unwind_stop_reason() != gdb.FRAME_UNWIND_OUTERMOST:
            end = gdb.frame_stop_reason_string(last.unwind_stop_reason())
    except (gdb.error, gdb.MemoryError) as error:
        end = str(error)
    return {'registers': registers, 'frames': frames, 'end': end}

def run_for(seconds):
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        gdb.execute('continue', to_string=True)
    except KeyboardInterrupt:
        pass
    except gdb.error:
        pass
    timer.cancel()
    timer.join()

def stop(seconds=None, functions=(), steps=0):
    if seconds is not None:
        points = []
        for name in functions:
            try:
                points.append(gdb.Breakpoint('*' + name if name.startswith('0x') else name, internal=True))
            except gdb.error:
                pass
        run_for(seconds)
        for point in points:
            if point.is_valid():
                point.delete()
    if steps > 0 and alive():
        try:
            gdb.execute('stepi %d' % steps, to_string=True)
        except (gdb.error, KeyboardInterrupt):
            pass
    return record()

def run_to(pc, sp, seconds, recorded=True):
    point = gdb.Breakpoint('*' + pc, internal=True)
    point.condition = '$sp == ' + sp
    run_for(seconds)
    found = None
    if alive():
        frame = gdb.newest_frame()
        if frame.pc() & MASK == int(pc) and int(frame.read_register('sp')) & MASK == int(sp):
            found = record() if recorded else True
    if point.is_valid():
        point.delete()
    return found

def here():
    frame = gdb.newest_frame()
    return frame.pc() & MASK, int(frame.read_register('sp')) & MASK

CALLS = ('call', 'bl\\t', 'blr', 'jal\\t', 'jalr\\t')
RETURNS = ('ret', 'iret', 'bnd ret', 'repz ret', 'sysret', 'eret', 'uret', 'sret', 'mret')

def is_call(text):
    # jal and jalr are calls unless they link to no register.
    return text.startswith(CALLS) and not text.startswith(('jal\\tzero', 'jalr\\tzero'))

def step_out(seconds):
    deadline = time.monotonic() + seconds
    for _ in range(4000):
        if not alive() or time.monotonic() > deadline:
            return None
        pc, sp = here()
        instruction = gdb.newest_frame().architecture().disassemble(pc)[0]
        text = instruction['asm']
        if text.startswith(RETURNS):
            gdb.execute('stepi', to_string=True)
            return [str(value) for value in here()]
        if is_call(text):
            gdb.execute('stepi', to_string=True)
            if run_to(str(pc + instruction['length']), str(sp), deadline - time.monotonic(), False) is None:
                return None
        else:
            gdb.execute('stepi', to_string=True)
    return None

def read(address, length):
    try:
        return bytes(gdb.selected_inferior().read_memory(int(address), length)).hex()
    except (gdb.error, gdb.MemoryError, OverflowError):
        return None

def execute(command):
    try:
        return gdb.execute(command, to_string=True)
    except gdb.error as error:
        return str(error)

for command in START:
    gdb.execute(command, to_string=True)
say('ready')
for line in requests:
    request = json.loads(line)
    verb = request.pop('verb')
    if verb == 'close':
        break
    try:
        say({'stop': stop, 'read': read, 'execute': execute, 'run_to': run_to, 'step_out': step_out}[verb](**request))
    except (KeyboardInterrupt, gdb.error):
        say(None)
execute(END)
`;

interface StopRecord {
  readonly registers: Readonly<Record<string, string>>;
  readonly frames: readonly (readonly [string, string, string | null, string | null, boolean])[];
  readonly end: string;
}

const PAGE = 4096n;

/** Starts gdb and waits until its program is stopped for the first time. Throws with gdb's words when that fails. */
export function startGdb(plan: GdbPlan): GdbSession {
  const { folder, machine = 'x86_64' } = plan;
  const [script, requests, answers, log] = ['gdb.py', 'requests', 'answers', 'gdb.log'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
    string,
  ];
  execFileSync('mkfifo', [requests, answers]);
  const settings = {
    ...{ REQUESTS: requests, ANSWERS: answers, NAMES: GENERAL[machine], GDB_NAMES: machine === 'riscv64' ? GDB_NAMES : {} },
    ...{ START: plan.start, END: plan.end ?? 'kill', LIMIT: plan.limit ?? 1000 },
  };
  const assignments = Object.entries(settings).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`);
  writeFileSync(script, assignments.join('') + SCRIPT);
  // The shell's own answer comes when gdb has died, so that nobody waits for one for ever.
  const command = '"$0" -nx -batch -iex "set demangle-style none" -x "$1" "$2" >"$3" 2>&1 </dev/null; echo \'"died"\' >"$4"';
  const child = spawn('sh', ['-c', command, plan.gdb ?? 'gdb', script, plan.elf, log, answers], { stdio: 'ignore' });
  return new Session(child, requests, answers, log, machine);
}

class Session implements GdbSession {
  private readonly child: ChildProcess;
  private readonly log: string;
  private readonly machine: Machine;
  private readonly requests: number;
  private readonly answers: number;
  private readonly pages = new Map<bigint, Uint8Array | null>();
  private rest = '';
  private ended = false;

  constructor(child: ChildProcess, requests: string, answers: string, log: string, machine: Machine) {
    this.child = child;
    this.log = log;
    this.machine = machine;
    // Open for both, so that opening does not wait for gdb and the end of gdb's shell is no end of the file.
    this.requests = openSync(requests, constants.O_RDWR);
    this.answers = openSync(answers, constants.O_RDWR);
    this.answer();
  }

  readonly memory: Memory = {
    read: (address, length) => {
      const end = address + BigInt(length);
      const bytes = new Uint8Array(length);
      for (let page = address - (address % PAGE); page < end; page += PAGE) {
        const found = this.page(page);
        if (found === null) return null;
        const from = page > address ? page : address;
        const to = page + PAGE < end ? page + PAGE : end;
        bytes.set(found.subarray(Number(from - page), Number(to - page)), Number(from - address));
      }
      return bytes;
    },
  };

  stop(approach: Approach): OracleStop | null {
    return this.record({ verb: 'stop', ...approach });
  }

  runTo(pc: bigint, sp: bigint, seconds: number): OracleStop | null {
    return this.record({ verb: 'run_to', pc: pc.toString(), sp: sp.toString(), seconds });
  }

  stepOut(seconds: number): { readonly pc: bigint; readonly sp: bigint } | null {
    this.pages.clear();
    const place = this.ask({ verb: 'step_out', seconds }) as readonly [string, string] | null;
    return place === null ? null : { pc: BigInt(place[0]), sp: BigInt(place[1]) };
  }

  execute(command: string): string {
    this.pages.clear();
    return String(this.ask({ verb: 'execute', command }));
  }

  close(): void {
    if (!this.ended) writeSync(this.requests, `${JSON.stringify({ verb: 'close' })}\n`);
    while (!this.ended) this.tryAnswer();
    closeSync(this.requests);
    closeSync(this.answers);
    this.child.kill();
  }

  private record(request: object): OracleStop | null {
    this.pages.clear();
    const record = this.ask(request) as StopRecord | null;
    return record === null ? null : stopOf(record, this.machine);
  }

  private page(address: bigint): Uint8Array | null {
    const known = this.pages.get(address);
    if (known !== undefined) return known;
    const hex = this.ask({ verb: 'read', address: address.toString(), length: Number(PAGE) }) as string | null;
    const bytes = hex === null ? null : Buffer.from(hex, 'hex');
    this.pages.set(address, bytes);
    return bytes;
  }

  private ask(request: object): unknown {
    writeSync(this.requests, `${JSON.stringify(request)}\n`);
    return this.answer();
  }

  private answer(): unknown {
    const answer = this.tryAnswer();
    if (this.ended) throw new Error(`gdb ended; see ${this.log}`);
    return answer;
  }

  private tryAnswer(): unknown {
    const buffer = Buffer.alloc(1 << 16);
    while (!this.rest.includes('\n')) this.rest += buffer.toString('utf8', 0, readSync(this.answers, buffer));
    const end = this.rest.indexOf('\n');
    const answer: unknown = JSON.parse(this.rest.slice(0, end));
    this.rest = this.rest.slice(end + 1);
    if (answer === 'died') this.ended = true;
    return answer;
  }
}

function stopOf(record: StopRecord, machine: Machine): OracleStop {
  return {
    registers: {
      machine,
      values: Object.fromEntries(Object.entries(record.registers).map(([name, value]) => [name, BigInt(value)])),
    },
    frames: record.frames.map(([pc, sp, name, entry, isSignalFrame]) => ({
      ...{ pc: BigInt(pc), sp: BigInt(sp), name, entry: entry === null ? null : BigInt(entry), isSignalFrame },
    })),
    end: record.end,
  };
}
