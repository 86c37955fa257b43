// What the owner and its guardian process say to each other, a JSON object a line.

import type { ReleaseMeans, ReleaseReport } from './release.ts';

/** The owner's one line. `rescue`: undo at once and end, instead of serving. */
export interface GuardianOrder extends ReleaseMeans {
  readonly allowWrite: boolean;
  readonly rescue: boolean;
}

/** The guardian's lines: where it listens, that a debugger has come, how the guest was left when it went. */
export type GuardianWord =
  | { readonly event: 'ready'; readonly path: string }
  | { readonly event: 'session' }
  | { readonly event: 'released'; readonly report: ReleaseReport };
