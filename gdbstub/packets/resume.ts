// `vCont`, `c` `s` `C` `S` for stubs without it, and `bc` `bs` for those that go backwards. GDB manual, E.2 "Packets".

import type { ThreadId } from './threads.ts';

/** Runs or steps one instruction, with a signal (1–255) delivered when one is given. */
export interface ResumeAction {
  readonly type: 'continue' | 'step';
  readonly signal: number | null;
}

export const ASK_VCONT = 'vCont?';

/** Backwards, where the stub says `ReverseStep+`, `ReverseContinue+`: one instruction; to the breakpoint, or the beginning, before. */
export const REVERSE = { step: 'bs', continue: 'bc' } as const;

/** The actions a stub's `vCont` knows: the letters of `vCont;c;C;s;S`. Empty when it has none. */
export function decodeVContActions(text: string): ReadonlySet<string> {
  return new Set(text.startsWith('vCont') ? text.split(';').slice(1) : []);
}

/** `vCont` for one thread or (null) all; `others` says what the threads not named do. */
export function encodeVCont(action: ResumeAction, thread: ThreadId | null, others: 'halt' | 'run' = 'halt'): string {
  const named = `vCont;${encodeAction(action)}${thread === null ? '' : `:${thread}`}`;
  return thread !== null && others === 'run' ? `${named};c` : named;
}

/** The old form; which thread it moves was chosen by `Hc`. */
export function encodeResume(action: ResumeAction): string {
  return encodeAction(action);
}

/** Whether a request makes the guest run, and whether it is only a step. Null for any other packet. */
export function classifyResume(text: string): 'continue' | 'step' | null {
  if (/^[cC](?:[0-9a-f]|$)/i.test(text)) return 'continue';
  if (/^[sS](?:[0-9a-f]|$)/i.test(text)) return 'step';
  if (text === REVERSE.step) return 'step';
  if (text === REVERSE.continue) return 'continue';
  if (!text.startsWith('vCont;')) return null;
  const actions = text.slice(6).split(';');
  return actions.some((action) => /^c/i.test(action)) && !actions.some((action) => /^[sr]/i.test(action)) ? 'continue' : 'step';
}

function encodeAction({ type, signal }: ResumeAction): string {
  const letter = type === 'continue' ? 'c' : 's';
  return signal === null ? letter : `${letter.toUpperCase()}${signal.toString(16).padStart(2, '0')}`;
}
