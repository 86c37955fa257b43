// Carries out what a user asks: looks and listings at once, control through the gdbstub, expressions through the real gdb.

import { type Gdb, openGdb } from '../gdb/gdb.ts';
import { formatAddress } from '../model/address.ts';
import { errorMessage } from '../model/error.ts';
import type { ListingPlace } from '../model/event.ts';
import { formatLocation } from '../model/frame.ts';
import type { Intent } from '../model/intent.ts';
import type { LiveTarget } from '../targets/live.ts';
import type { Code } from './code.ts';
import type { Control } from './control.ts';
import { listInstructions, listSource } from './listing.ts';
import { findPlace, readWindow } from './memory-window.ts';
import type { NetworkSource } from './network-source.ts';
import type { Session } from './session.ts';

/** What intents need. */
export interface IntentContext {
  readonly target: LiveTarget;
  readonly session: Session;
  readonly code: () => Code;
  readonly control: Control;
  readonly network: NetworkSource;
  readonly sourceRoots: readonly string[];
  /** Looks at the stacks now rather than at the next tick. */
  readonly refresh: () => Promise<void>;
}

/** The session's intent handler; owns the gdb that expressions need. */
export class Intents {
  private readonly context: IntentContext;
  private gdb: Promise<Gdb> | null = null;

  constructor(context: IntentContext) {
    this.context = context;
  }

  /** Throws UnidbgError (and RspError) with words for the user. */
  async carryOut(intent: Intent): Promise<void> {
    const { control, refresh } = this.context;
    switch (intent.type) {
      case 'show-memory':
        return this.showMemory(intent.address, intent.length);
      case 'show-memory-of': {
        const { registers } = await this.firstVcpu();
        return this.showMemory(findPlace(intent.expression, registers, this.context.code().symbolizer), intent.length);
      }
      case 'show-listing':
        return this.showListing(intent.place);
      case 'refresh-stacks':
        return refresh();
      case 'capture':
        return intent.on ? this.context.network.open() : this.context.network.close();
      case 'evaluate':
        return this.evaluate(intent.expression);
      case 'halt':
        await control.halt();
        return refresh();
      case 'resume':
        await control.resume();
        return refresh();
      case 'step':
        await control.step(intent.vcpu);
        return refresh();
      case 'break':
        await control.breakAt(intent.location);
        return refresh();
      case 'delete-breakpoints':
        return control.deleteBreakpoints();
    }
  }

  async close(): Promise<void> {
    const gdb = await this.gdb?.catch(() => null);
    await gdb?.close();
  }

  private async firstVcpu(): Promise<Awaited<ReturnType<LiveTarget['allRegisters']>>[number]> {
    return (await this.context.target.allRegisters())[0]!;
  }

  private async showMemory(address: bigint, length: number): Promise<void> {
    const { target, session } = this.context;
    const { registers } = await this.firstVcpu();
    const window = await target.memory(registers).walk((memory) => readWindow(memory, address, length));
    session.emit({ type: 'memory', window });
  }

  private async showListing(place: ListingPlace): Promise<void> {
    const { target, session, code, sourceRoots } = this.context;
    const { pc } = place;
    const location = code().symbolizer.symbolize(pc)[0]!;
    // The frame's own line: that of the call in a caller, and of each inlined call at one pc.
    const source = listSource(place, sourceRoots);
    if (source !== null) {
      session.emit({ type: 'listing', place, listing: source });
      return;
    }
    const { registers } = await this.firstVcpu();
    const bytes = await target.memory(registers).walk((memory) => readWindow(memory, pc, 160));
    const memory = {
      read: (at: bigint, length: number) =>
        sliceOf(bytes.bytes, bytes.unreadable.length > 0 ? bytes.unreadable[0]!.start : bytes.bytes.length, at - pc, length),
    };
    const title = location.function === null ? formatAddress(pc) : formatLocation(location);
    session.emit({ type: 'listing', place, listing: await listInstructions(target.machine, memory, pc, title) });
  }

  private async evaluate(expression: string): Promise<void> {
    const { session, code, control, target } = this.context;
    if (control.holding) {
      session.emit({ type: 'evaluated', expression, value: null, error: 'unidbg itself holds the guest: :cont first' });
      return;
    }
    this.gdb ??= openGdb({ images: code().symbolizer.images, machine: target.machine, guard: () => control.guardOptions() });
    try {
      const gdb = await this.gdb;
      session.emit({ type: 'evaluated', expression, value: await gdb.evaluate(expression), error: null });
    } catch (error) {
      this.gdb = null;
      session.emit({ type: 'evaluated', expression, value: null, error: errorMessage(error) });
    }
  }
}

function sliceOf(bytes: Uint8Array, readable: number, at: bigint, length: number): Uint8Array | null {
  const start = Number(at);
  return start < 0 || start + length > readable ? null : bytes.subarray(start, start + length);
}
