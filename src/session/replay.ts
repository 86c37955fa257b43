// A recording played into a session: each event with its own time, waited for as it was then.

import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestEvent } from '../model/event.ts';
import type { Session } from './session.ts';

/** A pause in the recording is waited for at most so long: nobody wants to watch an idle night. */
const LONGEST_WAIT_MS = 5_000;

/** Plays `events`; `speed` 0 = all at once. Ends early when `signal` aborts. */
export async function replayInto(
  session: Session,
  events: Iterable<GuestEvent>,
  options: { readonly speed: number; readonly signal: AbortSignal },
): Promise<void> {
  let before: number | null = null;
  for (const event of events) {
    const waitMs = before === null || options.speed === 0 ? 0 : Math.min((event.at - before) / options.speed, LONGEST_WAIT_MS);
    if (waitMs >= 1) await sleep(waitMs, undefined, { signal: options.signal }).catch(() => undefined);
    if (options.signal.aborted) return;
    before = event.at;
    const shown = event.type === 'identity' ? { ...event, identity: { ...event.identity, kind: 'replay' as const } } : event;
    session.emit(shown);
  }
}
