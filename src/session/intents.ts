// Carries out what a user asks: looks and listings at once, control through the gdbstub, expressions through the real gdb.

import { type Gdb, openGdb } from '../gdb/gdb.ts';
import { errorMessage, UnidbgError } from '../model/error.ts';
import type { Intent } from '../model/intent.ts';
import type { Control } from './control.ts';
import { Looking, type LookingContext } from './looking.ts';
import type { NetworkSource } from './network-source.ts';

/** What intents need. */
export interface IntentContext extends LookingContext {
  readonly control: Control;
  readonly network: NetworkSource;
  /** Looks at the stacks now rather than at the next tick. */
  readonly refresh: () => Promise<void>;
}

/** The session's intent handler; owns the gdb that expressions need. */
export class Intents {
  private readonly context: IntentContext;
  private readonly looking: Looking;
  private gdb: Promise<Gdb> | null = null;

  constructor(context: IntentContext) {
    this.context = context;
    this.looking = new Looking(context);
  }

  /** Throws UnidbgError (and RspError) with words for the user. */
  async carryOut(intent: Intent): Promise<void> {
    const { control, refresh } = this.context;
    switch (intent.type) {
      case 'show-memory':
        return this.looking.showMemory(intent.address, intent.length);
      case 'show-memory-of':
        return this.looking.showMemoryOf(intent.expression, intent.length);
      case 'show-listing':
        return this.looking.showListing(intent.place);
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
      case 'playback':
        throw new UnidbgError('USAGE', 'a running guest has no past to go to: `unidbg replay` goes through a recording');
    }
  }

  async close(): Promise<void> {
    const gdb = await this.gdb?.catch(() => null);
    await gdb?.close();
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
