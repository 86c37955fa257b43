// What a verb is: one file in verbs/, one line in its list.

import type { Command } from 'commander';

/** A verb's work: gets commander's parameters, gives the exit code. */
export type Action = (...parameters: never[]) => Promise<number>;

/** Registers a verb with commander; `finish` wraps its action so that the exit code reaches main. */
export interface Verb {
  readonly register: (program: Command, finish: (action: Action) => (...parameters: never[]) => Promise<void>) => void;
}
