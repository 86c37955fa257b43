// A built-in check's verdict on a running guest: the collector never runs, memory ends in four minutes.

/** What a check found. */
export interface Finding {
  /** The check's name: `gc-never-runs`. */
  readonly check: string;
  readonly severity: 'warning' | 'critical';
  /** One sentence with the numbers it rests on, and what to do. */
  readonly message: string;
  /** False when what was found is over. */
  readonly active: boolean;
}
