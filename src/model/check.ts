// A built-in check of a running guest. One check = one file in src/checks + one line in its list; the session asks them after each
// sample.

import type { Finding } from './finding.ts';
import type { Snapshot } from './snapshot.ts';

/** A built-in check. */
export interface Check {
  readonly name: string;
  readonly doc: string;
  /** Looks at what is known; null = nothing to say. Pure, and cheap: it is asked after each sample. */
  readonly find: (snapshot: Snapshot) => Pick<Finding, 'severity' | 'message'> | null;
}
