// `unidbg attach FILE`: a dump, a bundle or a recording on the same screen, as plain lines or as JSON. Nothing in it moves.

import type { Crash } from '../model/crash.ts';
import type { GuestEvent } from '../model/event.ts';
import { encodeEvent } from '../session/event-codec.ts';
import type { Session } from '../session/session.ts';
import { EXIT, exitCodeOfCrash } from './exit-codes.ts';
import { newPlainState, plainLines } from './plain.ts';
import { showScreen } from './screen.ts';
import { openStill, type StillKind, type StillOptions } from './still-guest.ts';

/** Shows it, and gives the exit code: its first crash's. Throws as openStill does. */
export async function attachToStill(
  path: string,
  kind: StillKind,
  options: StillOptions & { readonly json?: boolean },
  onScreen: boolean,
): Promise<number> {
  const crashes: Crash[] = [];
  const still = await openStill(path, kind, options, (session) => {
    session.subscribe((event) => {
      if (event.type === 'crash') crashes.push(event.crash);
    });
    if (!onScreen) printEvents(session, options.json === true);
  });
  try {
    if (onScreen) await showScreen(still.session, {});
  } finally {
    still.close();
  }
  const [first] = crashes;
  return first === undefined ? EXIT.fine : exitCodeOfCrash(first.kind);
}

/** Prints each event of a session as plain lines, or as JSON, one a line. */
export function printEvents(session: Session, json: boolean): void {
  const seen = newPlainState();
  session.subscribe((event: GuestEvent) => {
    const lines = json ? [encodeEvent(event)] : plainLines(event, seen);
    for (const line of lines) process.stdout.write(`${line}\n`);
  });
}
