// How far a long pass over debug info is. Such passes are generators: who can wait runs them to their end at once, who has a screen to
// draw or an interruption to heed does something else between two steps, or never comes back.

/** Of `total` bytes, `done` are read. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

/** Runs a pass to its end. */
export function finish<T>(pass: Generator<Progress, T>): T {
  for (;;) {
    const step = pass.next();
    if (step.done === true) return step.value;
  }
}
