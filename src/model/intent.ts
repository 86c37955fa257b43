// The one way back: what a user asks of a guest. Screens make them, the session carries them out.

import type { Address } from './address.ts';
import type { ListingPlace } from './event.ts';
import type { PlaybackChange } from './playback.ts';

/** A wish. Those that stop the guest are so marked; the session refuses writes unless started with `--write`. */
export type Intent =
  // Looking: never stops the guest.
  | { readonly type: 'show-memory'; readonly address: Address; readonly length: number }
  | { readonly type: 'show-memory-of'; readonly expression: string; readonly length: number }
  | { readonly type: 'show-listing'; readonly place: ListingPlace }
  | { readonly type: 'refresh-stacks' }
  /** Packets captured through QEMU's netfilter, or no longer: the guest does not notice. */
  | { readonly type: 'capture'; readonly on: boolean }
  /** Evaluates through the real gdb (`:p EXPR`): stops the guest for the time gdb needs. */
  | { readonly type: 'evaluate'; readonly expression: string }
  // Control: opens the gdbstub, stops the guest.
  | { readonly type: 'halt' }
  | { readonly type: 'resume' }
  | { readonly type: 'step'; readonly vcpu: number }
  | { readonly type: 'break'; readonly location: string }
  | { readonly type: 'delete-breakpoints' }
  // Of a replay only.
  | { readonly type: 'playback'; readonly change: PlaybackChange };
