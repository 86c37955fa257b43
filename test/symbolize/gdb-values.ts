// Stops of a real process with what gdb says of the variables in its frames: the oracle of arguments and locals. For each stop gdb
// writes registers, the process's writable memory, and every frame's parameters and locals, inlined frames too.

import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Registers } from '../../src/model/registers.ts';
import type { Memory } from '../../src/model/target.ts';

/** A variable as gdb sees it. `integer` of integers, pointers and enums, `float` of floats; `text` as `print` has it. */
export interface GdbVariable {
  readonly name: string;
  readonly isArgument: boolean;
  readonly type: string;
  /** Null: optimised out, not saved, not readable. */
  readonly integer: bigint | null;
  readonly float: number | null;
  readonly text: string;
}

/** A frame as gdb sees it, inlined ones too, innermost first. */
export interface GdbValueFrame {
  readonly pc: bigint;
  readonly name: string | null;
  readonly inlined: boolean;
  readonly variables: readonly GdbVariable[];
}

/** One stop. */
export interface ValueStop {
  readonly registers: Registers;
  readonly memory: Memory;
  readonly frames: readonly GdbValueFrame[];
}

/** Where to stop: at a breakpoint `times` times, then after `steps` times up to `stride` instructions more. */
export interface ValueStops {
  readonly at: string;
  readonly times?: number;
  readonly steps: number;
  readonly stride: number;
}

const SCRIPT = `
import gdb, json, random
for command in ('set pagination off', 'set confirm off', 'set debuginfod enabled off', 'set disable-randomization on',
                'set print frame-arguments none', 'set print entry-values no', 'set language auto', 'handle all nostop noprint pass'):
    gdb.execute(command, to_string=True)
random.seed(7)
gdb.execute('break main', to_string=True)
gdb.execute('run', to_string=True)
gdb.execute('delete', to_string=True)
inferior = gdb.selected_inferior()
NAMES = 'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip'.split()
MASK = 2**64 - 1
out = open(OUTPUT, 'w')
raw = open(OUTPUT + '.raw', 'wb')

def mappings():
    lines = gdb.execute('info proc mappings', to_string=True).splitlines()
    for line in lines:
        parts = line.split()
        if len(parts) >= 5 and parts[0].startswith('0x') and 'w' in parts[4] and '[v' not in line:
            yield int(parts[0], 16), int(parts[1], 16), '[stack]' in line

def snapshot(sp):
    pieces = []
    for start, end, is_stack in mappings():
        if is_stack:
            start = max(start, (sp - 1024) & ~4095)
        data = bytes(inferior.read_memory(start, end - start))
        pieces.append([str(start), raw.tell(), len(data)])
        raw.write(data)
    return pieces

def scalar(value):
    kind = value.type.strip_typedefs()
    code = kind.code
    if code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_PTR):
        bits = kind.sizeof * 8
        if bits > 64:
            return None, None
        return str(int(value) & ((1 << bits) - 1)), None
    if code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        return str(int(value.referenced_value().address) & MASK), None
    if code == gdb.TYPE_CODE_FLT and kind.sizeof <= 8:
        number = float(value)
        return None, number if number - number == 0 else None
    return None, None

def variable(frame, symbol):
    integer = number = None
    try:
        value = symbol.value(frame)
        # gdb 13 recurses without end over some Rust enums: a program that has such leaves structures out.
        is_record = value.type.strip_typedefs().code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION)
        if value.is_optimized_out:
            text = '<optimized out>'
        else:
            text = '' if is_record and not RECORDS else value.format_string(max_elements=8)
        if not value.is_optimized_out:
            integer, number = scalar(value)
    except Exception as error:
        text = '<' + str(error) + '>'
    return [symbol.name, symbol.is_argument, str(symbol.type), integer, number, text[:400]]

def variables(frame):
    try:
        block = frame.block()
    except RuntimeError:
        return []
    found = []
    seen = set()
    while block is not None:
        for symbol in block:
            if (symbol.is_argument or symbol.is_variable) and symbol.name not in seen and symbol.addr_class != gdb.SYMBOL_LOC_STATIC:
                seen.add(symbol.name)
                found.append(variable(frame, symbol))
        if block.function is not None:
            break
        block = block.superblock
    return found

def record():
    frame = gdb.newest_frame()
    registers = {name: str(int(frame.read_register(name)) & MASK) for name in NAMES}
    for index in range(16):
        halves = frame.read_register('xmm%d' % index)['v2_int64']
        registers['xmm%d' % index] = str((int(halves[1]) & MASK) << 64 | int(halves[0]) & MASK)
    pieces = snapshot(int(registers['rsp']))
    frames = []
    while frame is not None and len(frames) < 60:
        kind = frame.type()
        if kind in (gdb.NORMAL_FRAME, gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            if kind != gdb.TAILCALL_FRAME:
                frames.append([str(frame.pc()), frame.name(), kind == gdb.INLINE_FRAME, variables(frame)])
        frame = frame.older()
    out.write(json.dumps({'registers': registers, 'pieces': pieces, 'frames': frames}) + '\\n')

try:
    for stop in STOPS:
        gdb.execute('break ' + stop['at'], to_string=True)
        for _ in range(stop.get('times', 1)):
            gdb.execute('continue', to_string=True)
            record()
        gdb.execute('delete', to_string=True)
        for _ in range(stop['steps']):
            gdb.execute('stepi %d' % random.randint(1, stop['stride']), to_string=True)
            record()
finally:
    out.close()
    raw.close()
gdb.execute('kill')
`;

interface StopRecord {
  readonly registers: Readonly<Record<string, string>>;
  readonly pieces: readonly (readonly [string, number, number])[];
  readonly frames: readonly (readonly [string, string | null, boolean, readonly VariableRecord[]])[];
}
type VariableRecord = readonly [string, boolean, string, string | null, number | null, string];

/** Runs `program` under gdb; `folder` takes gdb's files. */
export async function collectValueStops(input: {
  readonly folder: string;
  readonly program: string;
  readonly stops: readonly ValueStops[];
  /** Whether gdb prints structures; true unless told. */
  readonly records?: boolean;
}): Promise<readonly ValueStop[]> {
  const [script, output] = [join(input.folder, 'values.py'), join(input.folder, 'values.jsonl')];
  const records = input.records === false ? 'False' : 'True';
  const assignments = `RECORDS = ${records}\nSTOPS = ${JSON.stringify(input.stops)}\nOUTPUT = ${JSON.stringify(output)}\n`;
  writeFileSync(script, assignments + SCRIPT);
  await promisify(execFile)('gdb', ['-nx', '-batch', '-x', script, input.program], { timeout: 100_000, maxBuffer: 1 << 26 });
  const raw = readFileSync(`${output}.raw`);
  return readFileSync(output, 'utf8')
    .trim()
    .split('\n')
    .map((line) => stopOf(JSON.parse(line) as StopRecord, raw));
}

function stopOf({ registers, pieces, frames }: StopRecord, raw: Uint8Array): ValueStop {
  const values = Object.fromEntries(Object.entries(registers).map(([name, value]) => [name, BigInt(value)]));
  const held = pieces.map(([start, at, length]) => ({ start: BigInt(start), bytes: raw.subarray(at, at + length) }));
  return {
    registers: { machine: 'x86_64', values },
    memory: {
      read: (address, length) => {
        const piece = held.find(
          ({ start, bytes }) => address >= start && address + BigInt(length) <= start + BigInt(bytes.length),
        );
        if (piece === undefined) return null;
        const from = Number(address - piece.start);
        return piece.bytes.subarray(from, from + length);
      },
    },
    frames: frames.map(([pc, name, inlined, variables]) => ({
      pc: BigInt(pc),
      name,
      inlined,
      variables: variables.map(([own, isArgument, type, integer, float, text]) => ({
        ...{ name: own, isArgument, type, float, text },
        integer: integer === null ? null : BigInt(integer),
      })),
    })),
  };
}
