// What a sign of a death is told as: from the dead guest's registers, stacks and last words, as far as the guest can still be asked.

import type { Crash, CrashKind } from '../model/crash.ts';
import { errorCode } from '../model/error.ts';
import type { Frame } from '../model/frame.ts';
import { findPc } from '../model/registers.ts';
import type { VmState } from '../qemu/vm-status.ts';
import type { OpenTarget } from '../targets/target.ts';
import type { Code, LastWords } from './code.ts';
import type { DeathSign } from './crash-watch.ts';
import { explainReported, explainSilent } from './explain-crash.ts';
import { findResetCause } from './reset-cause.ts';
import type { Look } from './sampler.ts';
import type { Session } from './session.ts';
import { type StackWalker, walkerOf } from './stack-walker.ts';

type SilentSign = Extract<DeathSign, { type: 'silent' }>;

const RESET_UNSEEN =
  'the guest was reset without a word: a triple fault, or a reboot of its own\nIts registers went with it; QEMU started with -no-reboot -no-shutdown keeps them';
/** So many lines of the console are quoted with a panic that nobody could read. */
const LAST_LINES = 5;

/** What a death is explained from. */
export interface DeathWitnesses {
  readonly target: OpenTarget;
  readonly session: Session;
  readonly code: () => Code;
  readonly lastLook: () => Look | null;
}

/** Explains the deaths of one live guest. */
export class DeathExplainer {
  private readonly target: OpenTarget;
  private readonly session: Session;
  private readonly code: () => Code;
  private readonly lastLook: () => Look | null;

  constructor({ target, session, code, lastLook }: DeathWitnesses) {
    this.target = target;
    this.session = session;
    this.code = code;
    this.lastLook = lastLook;
  }

  /** The crash. The guest may go while we look at what is left of it: it is then told with less, but never left out. */
  async explain(sign: DeathSign): Promise<Crash> {
    try {
      return sign.type === 'text' ? await explainReported(sign.crash, this.code(), this.walker()) : await this.explainSign(sign);
    } catch (error) {
      if (errorCode(error) === null) throw error;
      if (sign.type === 'text') return explainReported(sign.crash, this.code(), null);
      const { kind, message, from: witness, vcpu } = sign;
      return explainSilent({ kind, message, witness, vcpu, registers: null, frames: [] }, this.code(), null);
    }
  }

  private async explainSign(sign: SilentSign): Promise<Crash> {
    const { status, event } = this.target.state();
    // Once reset or gone there is no stack of the death any more; the last look is of the time before, and is not passed off as one.
    const isLost = status === 'gone' || status === 'connecting' || event === 'RESET';
    const vcpus = isLost ? [] : await this.target.allRegisters();
    const registers = (vcpus.find(({ vcpu }) => vcpu === sign.vcpu) ?? vcpus[0])?.registers ?? null;
    const frames = isLost ? [] : (sign.frames ?? this.framesOfThreads(sign.threads));
    const { kind, from: witness, vcpu } = sign;
    const message = kind === 'panic' ? this.withLastLines(sign.message) : sign.message;
    // A deadlock is told by its threads, and a stack seen earlier had other registers: those of now say nothing of it.
    const telling = frames !== null && frames.length > 0 ? null : registers;
    return explainSilent({ kind, message, witness, vcpu, registers: telling, frames }, this.code(), this.walker());
  }

  private framesOfThreads(ids: readonly string[]): readonly Frame[] | null {
    const stack = this.lastLook()?.stacks.find((candidate) => candidate.kind === 'thread' && ids.includes(candidate.id));
    return stack?.frames ?? null;
  }

  /** Null when there is nothing left to walk. */
  walker(): StackWalker | null {
    if (['gone', 'connecting'].includes(this.target.state().status)) return null;
    return walkerOf(this.target, this.code);
  }

  /** Why the guest reset itself. QEMU may be gone before it can be asked (-no-reboot without -no-shutdown): then nobody can tell a reboot from a fault. */
  async explainReset(): Promise<DeathSign> {
    try {
      const cause = await findResetCause(this.target, async (registers) => (await this.walker()?.walk(registers)) ?? []);
      if (cause !== null) return { ...silent('fault', cause.message), vcpu: cause.vcpu };
      return silent('fault', 'the guest asked for a reset, without a word on the console');
    } catch (error) {
      if (errorCode(error) === null) throw error;
      return silent('fault', RESET_UNSEEN);
    }
  }

  // A panic that comes without words which a grammar knows may still have some.
  private withLastLines(reason: string): string {
    const lines = this.session
      .snapshot()
      .console.slice(-LAST_LINES)
      .filter(({ text }) => text.trim() !== '');
    return lines.length === 0 ? reason : [reason, 'The last lines on its console:', ...lines.map(({ text }) => text)].join('\n');
  }
}

/** A guest that was reset took its registers with it. */
export function unseenReset(): SilentSign {
  return silent('fault', RESET_UNSEEN);
}

/** The guest's panic reached QEMU (it may go on running all the same: `-action panic=none`), or QEMU gave up on it. */
export function isPanic({ status, event }: VmState): boolean {
  return status === 'crashed' || event === 'GUEST_PANICKED' || event === 'GUEST_CRASHLOADED';
}

/** What the text of a crash says of where code is. */
export function lastWords(sign: DeathSign): LastWords {
  if (sign.type !== 'text') return { loadOffset: null, addresses: [] };
  const { registers, frames, loadOffsets } = sign.crash;
  const pc = registers === null ? null : findPc(registers);
  const addresses = [pc, ...frames.map(({ address }) => address)].filter((address) => address !== null);
  return { loadOffset: loadOffsets.find(({ module }) => module === null)?.base ?? null, addresses };
}

/** A sign from the VM itself. */
export function silent(kind: CrashKind, message: string): SilentSign {
  return { type: 'silent', kind, message, vcpu: null, from: 'vm', threads: [], frames: null };
}
