// What a verb is: one file in verbs/, one line in its list.

import type { Command } from 'commander';

/** Wraps a verb's work (commander's parameters in, exit code out) so that the exit code reaches main. */
export type Finish = <P extends unknown[]>(work: (...parameters: P) => Promise<number>) => (...parameters: P) => Promise<void>;

/** Registers itself with commander. */
export interface Verb {
  readonly register: (program: Command, finish: Finish) => void;
}
