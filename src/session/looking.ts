// What a person asks to see of a guest: its memory, and what stands around a place in its code. Works on whatever is open, and stops nothing.

import { formatAddress } from '../model/address.ts';
import { UnidbgError } from '../model/error.ts';
import type { ListingPlace } from '../model/event.ts';
import { formatLocation } from '../model/frame.ts';
import type { Registers } from '../model/registers.ts';
import type { Memory } from '../model/target.ts';
import type { OpenTarget } from '../targets/target.ts';
import type { Code } from './code.ts';
import { listInstructions, listSource } from './listing.ts';
import { findPlace, readWindow } from './memory-window.ts';
import type { Session } from './session.ts';

/** Bytes read for instructions around a place. */
const LISTING_BYTES = 160;

/** What looking needs. */
export interface LookingContext {
  readonly target: OpenTarget;
  readonly session: Session;
  readonly code: () => Code;
  readonly sourceRoots: readonly string[];
}

/** Shows what is asked for, as events. All throw UnidbgError with words for the user. */
export class Looking {
  private readonly context: LookingContext;

  constructor(context: LookingContext) {
    this.context = context;
  }

  async showMemory(address: bigint, length: number): Promise<void> {
    const { target, session } = this.context;
    const space = target.memory(await this.registers());
    session.emit({ type: 'memory', window: await space.walk((memory) => readWindow(memory, address, length)) });
  }

  /** `expression` as `findPlace` takes it. */
  async showMemoryOf(expression: string, length: number): Promise<void> {
    await this.showMemory(findPlace(expression, await this.registers(), this.context.code().symbolizer), length);
  }

  async showListing(place: ListingPlace): Promise<void> {
    const { target, session, code, sourceRoots } = this.context;
    const { pc } = place;
    // The frame's own line: that of the call in a caller, and of each inlined call at one pc.
    const source = listSource(place, sourceRoots);
    if (source !== null) {
      session.emit({ type: 'listing', place, listing: source });
      return;
    }
    const location = code().symbolizer.symbolize(pc)[0]!;
    const title = location.function === null ? formatAddress(pc) : formatLocation(location);
    const memory = await this.readAhead(pc);
    session.emit({ type: 'listing', place, listing: await listInstructions(target.machine, memory, pc, title) });
  }

  private async readAhead(pc: bigint): Promise<Memory> {
    const space = this.context.target.memory(await this.registers());
    const { bytes, unreadable } = await space.walk((memory) => readWindow(memory, pc, LISTING_BYTES));
    const readable = unreadable[0]?.start ?? bytes.length;
    return {
      read: (address, length) => {
        const start = Number(address - pc);
        return start < 0 || start + length > readable ? null : bytes.subarray(start, start + length);
      },
    };
  }

  private async registers(): Promise<Registers> {
    const [first] = await this.context.target.allRegisters();
    if (first === undefined) throw new UnidbgError('REGISTERS_UNREADABLE', 'there is no vCPU whose memory could be looked at');
    return first.registers;
  }
}
