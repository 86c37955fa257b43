// A session for verbs that look at a guest for a while: a running VM, or a recording read to its end.

import { statSync } from 'node:fs';
import type { Command } from 'commander';
import type { Snapshot } from '../model/snapshot.ts';
import { openLiveSession } from '../session/live-session.ts';
import type { NetworkOptions } from '../session/network-source.ts';
import { openRecording } from '../session/recording.ts';
import { Session } from '../session/session.ts';
import { collect } from './collect.ts';
import { fetchProgress } from './symbolize/progress.ts';
import { SYSTEMS } from './systems.ts';
import { chooseVm, findSource } from './target.ts';

/** Options of every such verb. */
export interface GuestOptions {
  readonly symbols: readonly string[];
  readonly debugDir: readonly string[];
  readonly json?: boolean;
}

/** What a verb does with it: `session` of a recording does not move any more. */
export interface OpenedGuest {
  readonly session: Session;
  readonly isRecording: boolean;
}

/** Adds the options that every such verb has. */
export function addGuestOptions(command: Command): Command {
  return command
    .option(
      '--symbols <elf>',
      'ELF file, source map or folder of maps; may be given many times; found from the VM without it',
      collect,
      [],
    )
    .option('--debug-dir <dir>', 'where separate debug files are, besides /usr/lib/debug; may be given many times', collect, [])
    .option('--json', 'print JSON, and nothing else to stdout');
}

/** Opens what `target` names, runs `body`, closes it again; without a name, the only VM there is. Throws as openLiveSession does. */
export async function withGuest<T>(
  target: string | undefined,
  options: GuestOptions & { readonly lookEveryMs?: number; readonly capture?: NetworkOptions },
  body: (guest: OpenedGuest) => Promise<T>,
): Promise<T> {
  if (target !== undefined && statSync(target, { throwIfNoEntry: false })?.isFile() === true) {
    return body({ session: readRecording(target), isRecording: true });
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
    return await body({ session: live.session, isRecording: false });
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

function readRecording(path: string): Session {
  const reader = openRecording(path);
  try {
    const session = new Session();
    for (const event of reader.events()) session.emit(event);
    return session;
  } finally {
    reader.close();
  }
}
