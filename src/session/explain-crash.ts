// From what the console (or the VM, or memory) said of a crash to the crash itself: the best stack that can be had, names,
// lines, title and signature. Text frames, printed registers and the dead guest's own memory are three witnesses; they are
// weighed, never mixed within a stack.

import type { ReportedCrash, ReportedFrame } from '../model/console-text.ts';
import type { Crash, CrashWitness } from '../model/crash.ts';
import type { Frame } from '../model/frame.ts';
import { findPc, findSp, type Registers } from '../model/registers.ts';
import { type Machinery, withoutMachinery } from './blame.ts';
import type { Code } from './code.ts';
import { mapReportedCrash } from './map-frames.ts';
import { withoutLeftovers } from './scan-chain.ts';
import { identityOf } from './signature.ts';
import type { StackWalker } from './stack-walker.ts';
import { type CrashFacts, findGuilty, findRecursion, NEAR_STACK, NULL_PAGE, titleOf } from './title.ts';

/** A crash that the console told. */
export async function explainReported(printed: ReportedCrash, code: Code, walker: StackWalker | null): Promise<Crash> {
  const reported = mapReportedCrash(printed, code.maps);
  const registers = reported.registers;
  const { frames, held } = await chooseFrames(reported, code, walker);
  const faultAddress = reported.faultAddress ?? (held === null ? null : findUntoldAddress(reported, held, frames));
  const isPrinted = reported.firstLine > 0;
  return finish({
    code,
    witness: isPrinted ? 'console' : 'inspector',
    frames,
    facts: {
      ...reported,
      faultAddress,
      pc: registers === null ? onlyPlace(reported) : findPc(registers),
      sp: registers === null ? (frames[0]?.cfa ?? null) : findSp(registers),
      frames,
    },
    registers,
    vcpu: reported.vcpu,
    corrupted: reported.corrupted,
    consoleLines: isPrinted ? { first: reported.firstLine, last: reported.lastLine } : null,
  });
}

/** A text that prints nothing but the pc (Rumprun) has it as its only frame. */
function onlyPlace({ frames }: ReportedCrash): bigint | null {
  const [first, second] = frames;
  return first?.addressIs === 'exact' && second === undefined ? first.address : null;
}

/** What a walk reads through a frame pointer that is null: the next one and the return address beside it. */
export const LAST_FRAME = 8n;

/**
 * Where memory was touched, of a page fault whose text does not say: CR2 of the vCPU that still sits in its handler. A later fault
 * overwrites it, so it is believed only where it explains the fault: near null, or at the end of the stack. Seen: OSv's own backtrace
 * reads on through the last frame pointer, which is null, and leaves that in CR2.
 */
function findUntoldAddress({ message }: ReportedCrash, held: Registers, frames: readonly Frame[]): bigint | null {
  const address = held.values.cr2;
  if (address === undefined || !/page fault/i.test(message)) return null;
  const end = frames[0]?.cfa ?? null;
  const isAtStack = end !== null && findRecursion(frames).length > 0 && address < end && end - address < NEAR_STACK;
  const isNearNull = address > LAST_FRAME && address < NULL_PAGE;
  return isNearNull || isAtStack ? address : null;
}

/** A crash without a word. `frames` are the witness's own; without them the vCPU is walked. */
export async function explainSilent(
  death: Pick<CrashFacts, 'kind' | 'message'> & {
    readonly witness: CrashWitness;
    readonly vcpu: number | null;
    readonly registers: Registers | null;
    readonly faultAddress?: bigint | null;
    readonly frames: readonly Frame[] | null;
  },
  code: Code,
  walker: StackWalker | null,
): Promise<Crash> {
  const { registers } = death;
  const frames = death.frames ?? (registers === null || walker === null ? [] : await walkSafely(walker, registers));
  const facts: CrashFacts = {
    kind: death.kind,
    message: death.message,
    faultAddress: death.faultAddress ?? null,
    pc: registers === null ? null : findPc(registers),
    sp: registers === null ? null : findSp(registers),
    location: null,
    frames,
    unikernel: code.unikernel?.name ?? null,
    runtime: null,
  };
  const { witness, vcpu } = death;
  return finish({ code, witness, frames, facts, registers, vcpu, corrupted: null, consoleLines: null });
}

interface Finding extends Pick<Crash, 'witness' | 'registers' | 'vcpu' | 'corrupted' | 'consoleLines'> {
  readonly code: Code;
  readonly frames: readonly Frame[];
  readonly facts: CrashFacts;
}

function finish({ code, facts, frames, ...rest }: Finding): Crash {
  const machinery = code.machineryOf(facts.unikernel);
  return {
    kind: facts.kind,
    title: titleOf(facts, machinery),
    message: facts.message,
    ...identityOf(facts, machinery),
    unikernel: facts.unikernel ?? code.unikernel?.name ?? null,
    runtime: facts.runtime,
    faultAddress: facts.faultAddress,
    frames,
    guiltyFrame: findGuilty(facts, machinery)?.index ?? null,
    ...rest,
  };
}

/** A stack, and the registers now of the vCPU that it was walked from; null when it was not. */
interface Chosen {
  readonly frames: readonly Frame[];
  readonly held: Registers | null;
}

/**
 * The best stack: (1) the dead guest's memory, walked from the registers it printed; (2) the stack of a vCPU that still sits in the
 * crash machinery, from the printed pc on where that is in it; (3) what the guest printed. A language's own frames (OCaml, Go)
 * know lines that no stack knows any more, so they win over (2).
 */
async function chooseFrames(reported: ReportedCrash, code: Code, walker: StackWalker | null): Promise<Chosen> {
  const printed = symbolizeReported(reported.frames, code);
  const machinery = code.machineryOf(reported.unikernel);
  if (walker === null) return { frames: printed, held: null };
  const { registers } = reported;
  const walked =
    registers !== null && findPc(registers) !== null && findSp(registers) !== null ? await walkSafely(walker, registers) : [];
  if (agrees(walked, printed, machinery)) return { frames: walked, held: null };
  if (printed.some((frame) => frame.function !== null && frame.file !== null && frame.pc === 0n))
    return { frames: printed, held: null };
  if (reported.kind === 'exception' && registers === null && code.endsByExit(reported.runtime))
    return { frames: printed, held: null };
  const dead = await walkDeadVcpu(reported, code, walker);
  // The held stack begins behind the crash machinery; what the guest printed of that is no more to tell.
  const saysMore = dead.frames.length > withoutMachinery(printed, machinery).length;
  const isBetter = saysMore || (dead.frames.length > 0 && printed.every((frame) => frame.function === null));
  return isBetter ? dead : { frames: printed, held: null };
}

/** A walked stack counts when it names more than nothing and does not contradict the return addresses the guest printed itself. */
function agrees(walked: readonly Frame[], printed: readonly Frame[], machinery: Machinery): boolean {
  if (!walked.some((frame) => frame.function !== null)) return false;
  // What the guest printed of its own fault handlers comes before the registers it printed.
  const reported = withoutMachinery(
    printed.filter((frame) => frame.trust === 'reported'),
    machinery,
  );
  const found = new Set(walked.map((frame) => frame.pc));
  // The guest's own frame-pointer walk may miss a frame or run on into garbage, but its first named entry is right. OSv prints
  // return addresses less one.
  const [first] = reported;
  return first === undefined || found.has(first.pc) || found.has(first.pc + 1n);
}

async function walkDeadVcpu(reported: ReportedCrash, code: Code, walker: StackWalker): Promise<Chosen> {
  const pc = reported.registers === null ? null : findPc(reported.registers);
  for (const { registers } of await walker.vcpus()) {
    const frames = await walkSafely(walker, registers);
    const at = pc === null ? -1 : frames.findIndex((frame) => frame.pc === pc);
    if (at >= 0) return { frames: renumber(frames.slice(at)), held: registers };
    const [guilty] = withoutMachinery(frames, code.machineryOf(reported.unikernel));
    // Only a vCPU that sits in the crash machinery tells of this crash; what stands above that is its story.
    if (pc === null && guilty !== undefined && guilty !== frames[0])
      return { frames: renumber(frames.slice(frames.indexOf(guilty))), held: registers };
  }
  return { frames: [], held: null };
}

async function walkSafely(walker: StackWalker, registers: Registers): Promise<readonly Frame[]> {
  try {
    return await walker.walk(registers);
  } catch {
    // Memory that cannot be read here leaves the other witnesses; the reader's own failure is a diagnostic elsewhere.
    return [];
  }
}

/** What the guest printed, with names where it printed addresses and where its own names are missing. */
export function symbolizeReported(reported: readonly ReportedFrame[], code: Code): readonly Frame[] {
  const frames = reported.flatMap((frame): Frame[] => {
    const own = {
      index: 0,
      pc: frame.address ?? 0n,
      trust: frame.trust,
      cfa: null,
      function: frame.function,
      functionOffset: frame.functionOffset,
      file: frame.file,
      line: frame.line,
      column: frame.column,
      inlined: frame.inlined,
      module: null,
      status: frame.function === null ? ('no-symbol' as const) : ('symbolicated' as const),
    };
    if (frame.address === null || frame.file !== null) return [own];
    const { address, trust } = frame;
    const found = code.symbolizer.symbolize(address, { isReturnAddress: frame.addressIs === 'return' });
    if (found.every((location) => location.function === null)) {
      const { module, status } = found[0]!;
      return [frame.function === null ? { ...own, module, status } : { ...own, module }];
    }
    return found.map((location) => ({ ...location, index: 0, pc: address, cfa: null, trust }));
  });
  return renumber(withoutLeftovers(frames, code));
}

/** The same frames, numbered from the first. */
export function renumber(frames: readonly Frame[]): readonly Frame[] {
  return frames.map((frame, index) => ({ ...frame, index }));
}
