// A guest is a stream of these. A recording is them on disk; a snapshot is their fold.

import type { Address } from './address.ts';
import type { Crash } from './crash.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { Finding } from './finding.ts';
import type { NetworkView } from './flow.ts';
import type { Frame, Stack } from './frame.ts';
import type { GuestExit } from './guest-exit.ts';
import type { OutOfMemory } from './heap.ts';
import type { Image } from './image.ts';
import type { Machine } from './machine.ts';
import type { Sample } from './metric.ts';
import type { Registers } from './registers.ts';
import type { GuestSocket } from './socket.ts';
import type { TargetKind } from './target.ts';
import type { GuestThread } from './thread.ts';

/**
 * What the VM does, as far as anyone can tell from outside. `running`; `paused` (somebody stopped it); `debug` (our
 * debugger holds it); `crashed` (QEMU's guest-panicked); `shutdown` (off or reset, memory may still be there); `gone` (QEMU ended).
 */
export type VmStatus = 'connecting' | 'running' | 'paused' | 'debug' | 'crashed' | 'shutdown' | 'gone';

/** What we look at: said once when attached, again when more is known. */
export interface TargetIdentity {
  readonly name: string;
  readonly kind: TargetKind;
  readonly pid: number | null;
  readonly machine: Machine;
  readonly accelerator: string | null;
  readonly vcpus: number;
  readonly memoryBytes: number | null;
  readonly unikernel: string | null;
  readonly unikernelTitle: string | null;
  /** How guest memory is read, and why not by a faster way. */
  readonly memoryReader: string | null;
  readonly readStopsGuest: boolean;
  /** How the console is had, or why not. */
  readonly console: string | null;
}

/** A piece of a console line that means something: `start`/`end` are UTF-16 offsets into the line's text. */
export interface ConsoleNote {
  readonly start: number;
  readonly end: number;
  /** What stands there: `app_handle_request+0x1c (server.c:41)`. */
  readonly text: string;
}

/** A console line, safe for any terminal. Lines are numbered from 1 over the whole life of the session. */
export interface ConsoleLine {
  readonly number: number;
  readonly source: string;
  readonly text: string;
  /** The line had no end of line yet when it was emitted (a prompt, or a guest that died in mid-line). */
  readonly partial: boolean;
  readonly notes: readonly ConsoleNote[];
}

/** Guest memory shown on request, with what the disassembler or source reader made of it. */
export interface MemoryWindow {
  readonly address: Address;
  readonly bytes: Uint8Array;
  /** Null bytes-for-pages that could not be read: byte ranges [start, end) inside `bytes`. */
  readonly unreadable: readonly { readonly start: number; readonly end: number }[];
}

/** What a listing is of: a pc, and the source line of the frame there. Inlined frames share their pc, not their line. */
export interface ListingPlace {
  readonly pc: Address;
  readonly file: string | null;
  readonly line: number | null;
}

/** Whether two listings are of the same place. */
export function isSamePlace(a: ListingPlace, b: ListingPlace): boolean {
  return a.pc === b.pc && a.file === b.file && a.line === b.line;
}

/** A source file's lines around a place, or instructions where there is no source. */
export interface Listing {
  readonly kind: 'source' | 'disassembly';
  readonly title: string;
  /** `number` is the line number; for disassembly it is null and `address` is set. */
  readonly lines: readonly {
    readonly number: number | null;
    readonly address: Address | null;
    readonly text: string;
    readonly current: boolean;
  }[];
}

/** Something that happened to a guest, or that we learnt of it. */
export type GuestEvent = { readonly at: number } & (
  | { readonly type: 'identity'; readonly identity: TargetIdentity }
  | { readonly type: 'vm'; readonly status: VmStatus; readonly reason: string | null }
  | { readonly type: 'images'; readonly images: readonly Image[] }
  | { readonly type: 'console'; readonly line: ConsoleLine }
  | { readonly type: 'registers'; readonly vcpus: readonly { readonly vcpu: number; readonly registers: Registers }[] }
  | { readonly type: 'stacks'; readonly stacks: readonly Stack[] }
  | { readonly type: 'threads'; readonly threads: readonly GuestThread[] }
  | { readonly type: 'metrics'; readonly samples: readonly Sample[] }
  | { readonly type: 'sockets'; readonly sockets: readonly GuestSocket[] }
  | { readonly type: 'network'; readonly network: NetworkView | null }
  | { readonly type: 'finding'; readonly finding: Finding }
  | { readonly type: 'crash'; readonly crash: Crash }
  | { readonly type: 'out-of-memory'; readonly outOfMemory: OutOfMemory }
  | { readonly type: 'guest-exit'; readonly exit: GuestExit }
  | { readonly type: 'stopped'; readonly vcpu: number; readonly reason: string; readonly frames: readonly Frame[] }
  | { readonly type: 'memory'; readonly window: MemoryWindow }
  | { readonly type: 'listing'; readonly place: ListingPlace; readonly listing: Listing }
  | { readonly type: 'evaluated'; readonly expression: string; readonly value: string | null; readonly error: string | null }
  | { readonly type: 'lost'; readonly what: string; readonly count: number }
  | { readonly type: 'diagnostic'; readonly diagnostic: Diagnostic }
);

/** An event of one type. */
export type EventOf<T extends GuestEvent['type']> = Extract<GuestEvent, { type: T }>;
