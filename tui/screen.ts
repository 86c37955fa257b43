// The screen of a session, or of many: ties the pure parts (update, compose) to the terminal and the guests. The one place here that
// waits.

import type { FleetView } from '../src/model/fleet.ts';
import type { ReplayView, SessionView } from '../src/model/session.ts';
import { drawScreen } from './compose.ts';
import { readEnvironment } from './environment.ts';
import { drawFleet } from './fleet/draw.ts';
import { initialFleet } from './fleet/state.ts';
import { updateFleet } from './fleet/update.ts';
import type { Effect } from './outcome.ts';
import { createPainter } from './painter.ts';
import type { ScreenState, Size } from './state.ts';
import { initialState } from './state.ts';
import { openTerminal } from './terminal.ts';
import type { Line } from './text.ts';
import type { Input } from './update.ts';
import { update } from './update.ts';

/** Why the screen was left: by the user, by a signal to unidbg, because the terminal hung up, or closed by its owner. */
export type QuitReason =
  | { readonly kind: 'user' }
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }
  | { readonly kind: 'terminal-lost' }
  | { readonly kind: 'closed' };

/** What a screen is opened on: one guest, or many. */
export type ScreenOptions = TerminalParts & (OneGuest | { readonly fleet: FleetView });

interface OneGuest {
  /** Of a replay the screen has a time bar, and keys to go through it. */
  readonly session: SessionView | ReplayView;
  /** Shown in place of the target's own name. */
  readonly title?: string;
  /** Where the session is being recorded: shows the badge. */
  readonly recording?: string;
}

interface TerminalParts {
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

/** What is on the screen: its state, and the guests behind it. */
interface Stage {
  /** Carries out an input; wishes go to their guests, what only the terminal can do comes back. */
  feed(input: Input): readonly Effect[];
  draw(): readonly Line[];
  /** Milliseconds between two paintings of news; undefined = as for one guest. */
  interval(): number | undefined;
  subscribe(listener: () => void): () => void;
}

const SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'];
const CLOCK_MS = 1000;
/** Rows of many VMs are read, not followed: ten talkative ones must not keep a core busy with painting. */
const OVERVIEW_INTERVAL_MS = 400;

function stageOne({ session, title, recording }: OneGuest, size: Size): Stage {
  let state = initialState({ size, now: Date.now(), title: title ?? null, recording: recording ?? null });
  const replay = 'playback' in session ? session : null;
  const current = (): ScreenState => (replay === null ? state : { ...state, playback: replay.playback() });
  return {
    feed: (input) => {
      const result = update({ ...current(), now: Date.now() }, input, session.snapshot());
      state = result.state;
      for (const intent of result.intents) session.dispatch(intent);
      return result.effects;
    },
    draw: () => drawScreen(session.snapshot(), current()),
    interval: () => undefined,
    subscribe: (listener) => {
      const ends = [session.subscribe(listener), replay?.onPlayback(listener)];
      return () => {
        for (const end of ends) end?.();
      };
    },
  };
}

function stageFleet(fleet: FleetView, size: Size): Stage {
  let state = initialFleet({ size, now: Date.now() });
  return {
    feed: (input) => {
      const before = state.shown;
      const members = fleet.members();
      const result = updateFleet({ ...state, now: Date.now() }, input, members);
      state = result.state;
      if (state.shown !== before) fleet.show(state.shown);
      for (const { id, intent } of result.intents) members.find((member) => member.id === id)?.session?.dispatch(intent);
      return result.effects;
    },
    draw: () => drawFleet(fleet.members(), state),
    interval: () => (state.shown === null ? OVERVIEW_INTERVAL_MS : undefined),
    subscribe: (listener) => fleet.subscribe(listener),
  };
}

/** Opens the screen. Ask findScreenObstacle first: a pipe has no screen. */
export async function openScreen(options: ScreenOptions): Promise<OpenScreen> {
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
  const stage = 'fleet' in options ? stageFleet(options.fleet, terminal.size()) : stageOne(options, terminal.size());

  const painter = createPainter(() => {
    if (guestChanged) {
      guestChanged = false;
      feed({ type: 'guest' });
    } else {
      feed({ type: 'clock', now: Date.now() });
    }
    terminal.draw(stage.draw());
  });
  const unsubscribe = stage.subscribe(() => {
    guestChanged = true;
    painter.eventually(stage.interval());
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
    for (const effect of stage.feed(input)) perform(effect);
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
      case 'fleet':
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
