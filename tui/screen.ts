// The screen of a session: ties the pure parts (update, compose) to the terminal and the session. The one place here that waits.

import type { SessionView } from '../src/model/session.ts';
import { drawScreen } from './compose.ts';
import { readEnvironment } from './environment.ts';
import type { Effect } from './outcome.ts';
import { createPainter } from './painter.ts';
import { initialState } from './state.ts';
import { openTerminal } from './terminal.ts';
import type { Input } from './update.ts';
import { update } from './update.ts';

/** Why the screen was left: by the user, by a signal to unidbg, because the terminal hung up, or closed by its owner. */
export type QuitReason =
  | { readonly kind: 'user' }
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }
  | { readonly kind: 'terminal-lost' }
  | { readonly kind: 'closed' };

/** What a screen is opened on. */
export interface ScreenOptions {
  readonly session: SessionView;
  /** Shown in place of the target's own name. */
  readonly title?: string;
  /** Where the session is being recorded: shows the badge. */
  readonly recording?: string;
  /** Called once, after the terminal has been restored and before `closed` resolves. */
  readonly onQuit?: (reason: QuitReason) => void;
  readonly input?: NodeJS.ReadStream;
  readonly output?: NodeJS.WriteStream;
  readonly variables?: Readonly<Record<string, string | undefined>>;
}

/** An open screen. `closed` resolves once the terminal is as it was before. */
export interface OpenScreen {
  readonly closed: Promise<QuitReason>;
  close(): void;
}

const SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'];
const CLOCK_MS = 1000;

/** Opens the screen on a session. Ask findScreenObstacle first: a pipe has no screen. */
export async function openScreen(options: ScreenOptions): Promise<OpenScreen> {
  const { session } = options;
  const { promise: closed, resolve } = Promise.withResolvers<QuitReason>();
  let isClosed = false;
  let guestChanged = true;

  const terminal = await openTerminal({
    input: options.input ?? process.stdin,
    output: options.output ?? process.stdout,
    environment: readEnvironment(options.variables ?? process.env),
    onKey: (key) => {
      feed({ type: 'key', key });
      painter.soon();
    },
    onResize: () => {
      feed({ type: 'resize', size: terminal.size() });
      painter.soon();
    },
    onLost: () => {
      leave({ kind: 'terminal-lost' });
    },
  });
  let state = initialState({
    size: terminal.size(),
    now: Date.now(),
    title: options.title ?? null,
    recording: options.recording ?? null,
  });

  const painter = createPainter(() => {
    if (guestChanged) {
      guestChanged = false;
      feed({ type: 'guest' });
    } else {
      feed({ type: 'clock', now: Date.now() });
    }
    terminal.draw(drawScreen(session.snapshot(), state));
  });
  const unsubscribe = session.subscribe(() => {
    guestChanged = true;
    painter.eventually();
  });
  const clock = setInterval(() => {
    painter.eventually();
  }, CLOCK_MS);
  const onSignal = (signal: NodeJS.Signals): void => {
    leave({ kind: 'signal', signal });
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  painter.soon();

  function feed(input: Input): void {
    if (isClosed) return;
    const result = update({ ...state, now: Date.now() }, input, session.snapshot());
    state = result.state;
    for (const intent of result.intents) session.dispatch(intent);
    for (const effect of result.effects) perform(effect);
  }

  function perform(effect: Effect): void {
    switch (effect.type) {
      case 'quit':
        leave({ kind: 'user' });
        return;
      case 'copy':
        terminal.copy(effect.text);
        return;
      case 'beep':
        terminal.beep();
        return;
      case 'redraw':
        terminal.redraw();
        return;
    }
  }

  function leave(reason: QuitReason): void {
    if (isClosed) return;
    isClosed = true;
    clearInterval(clock);
    painter.stop();
    unsubscribe();
    terminal.close();
    for (const signal of SIGNALS) process.removeListener(signal, onSignal);
    options.onQuit?.(reason);
    resolve(reason);
  }

  return {
    closed,
    close: () => {
      leave({ kind: 'closed' });
    },
  };
}
