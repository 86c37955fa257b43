// A session for verbs that look at a guest for a while: a running VM, or a file that holds a guest: a recording, a bundle, a dump.

import type { Command } from 'commander';
import type { Snapshot } from '../model/snapshot.ts';
import { openLiveSession } from '../session/live-session.ts';
import type { NetworkOptions } from '../session/network-source.ts';
import type { Session } from '../session/session.ts';
import { debugDirOption, symbolsOption } from './file-options.ts';
import { addDumpOptions, findStillKind, openStill, type StillOptions } from './still-guest.ts';
import { fetchProgress } from './symbolize/progress.ts';
import { SYSTEMS } from './systems.ts';
import { chooseVm, findSource } from './target.ts';

/** Options of every such verb. */
export interface GuestOptions extends StillOptions {
  readonly json?: boolean;
}

/** What a verb does with it: of a file `session` does not move any more. */
export interface OpenedGuest {
  readonly session: Session;
  readonly isStill: boolean;
}

/** Adds the options that every such verb has. */
export function addGuestOptions(command: Command): Command {
  return addDumpOptions(command)
    .addOption(symbolsOption())
    .addOption(debugDirOption())
    .option('--json', 'print JSON, and nothing else to stdout');
}

/** Opens what `target` names, runs `body`, closes it again; without a name, the only VM there is. Throws as openLiveSession does. */
export async function withGuest<T>(
  target: string | undefined,
  options: GuestOptions & { readonly lookEveryMs?: number; readonly capture?: NetworkOptions },
  body: (guest: OpenedGuest) => Promise<T>,
): Promise<T> {
  const kind = target === undefined ? null : findStillKind(target, options);
  if (target !== undefined && kind !== null) {
    const still = await openStill(target, kind, options);
    try {
      return await body({ session: still.session, isStill: true });
    } finally {
      still.close();
    }
  }
  const source = target === undefined ? await chooseVm() : findSource(target);
  const fetching = fetchProgress();
  const live = await openLiveSession(
    source,
    {
      systems: SYSTEMS,
      symbols: options.symbols,
      debugSearch: { roots: options.debugDir, splitRoots: options.debugDir },
      onFetch: fetching.onProgress,
      sourceRoots: [],
      takeConsole: false,
      ...(options.lookEveryMs === undefined ? {} : { lookEveryMs: options.lookEveryMs }),
      ...(options.capture === undefined ? {} : { capture: options.capture }),
    },
    () => undefined,
  ).finally(fetching.close);
  try {
    return await body({ session: live.session, isStill: false });
  } finally {
    await live.close();
  }
}

/** Remarks that a user of such a verb has to know: what stands in the way of seeing more. */
export function importantRemarks({ diagnostics }: Snapshot): readonly string[] {
  return diagnostics
    .filter(({ code }) => !code.startsWith('memory-reader') && code !== 'image-patched')
    .map(({ message }) => message);
}
