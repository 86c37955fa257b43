// Why the guest stopped, or what it printed meanwhile: `T S W X N O`. GDB manual, E.3 "Stop Reply Packets".

import { RspError } from '../error.ts';
import { decodeHex, decodeLatin1, decodeNumber, quote } from '../framing/bytes.ts';
import type { ThreadId } from './threads.ts';
import { isThreadId } from './threads.ts';

/** A stop reply. Signals are gdb's own numbers (2 = SIGINT, 5 = SIGTRAP, 11 = SIGSEGV). */
export type StopReply =
  | {
      readonly type: 'stopped';
      readonly signal: number;
      readonly thread: ThreadId | null;
      readonly reason: StopReason | null;
      /** Registers sent along (`T` pairs `nn:hex`), as the target's bytes by register number. */
      readonly registers: ReadonlyMap<number, Uint8Array>;
      /** Number of the CPU core, where the stub says it. */
      readonly core: number | null;
    }
  | { readonly type: 'exited'; readonly status: number }
  | { readonly type: 'killed'; readonly signal: number }
  | { readonly type: 'no-resumed' };

/** Watchpoints say the data address they saw touched. */
export type StopReason =
  | { readonly type: 'write' | 'read' | 'access'; readonly address: bigint }
  | { readonly type: 'software' | 'hardware' | 'library' | 'fork' | 'other'; readonly name: string };

export const ASK_STOP = '?';

const WATCH = { watch: 'write', rwatch: 'read', awatch: 'access' } as const;
const NAMED = { swbreak: 'software', hwbreak: 'hardware', library: 'library', fork: 'fork', vfork: 'fork' } as const;

/** Whether a packet is a stop reply rather than the answer to a query: none of those starts so. */
export function isStopReply(text: string): boolean {
  return /^(?:[TS][0-9a-f]{2}|[WX][0-9a-f]{2}(?:;|$)|N$)/i.test(text);
}

/** Decodes `T S W X N`. Throws RSP_MALFORMED. Unknown pairs are skipped, as the manual demands. */
export function decodeStopReply(text: string): StopReply {
  if (text === 'N') return { type: 'no-resumed' };
  const code = /^[TSWX]([0-9a-f]{2})/i.exec(text);
  if (code === null) throw new RspError('RSP_MALFORMED', `${quote(text)} is not a stop reply`);
  const value = Number.parseInt(code[1]!, 16);
  if (text.startsWith('W')) return { type: 'exited', status: value };
  if (text.startsWith('X')) return { type: 'killed', signal: value };
  return { type: 'stopped', signal: value, ...decodePairs(text.startsWith('T') ? text.slice(3) : '') };
}

/** What a running program prints through the stub (`O` and hex); null for any other packet. */
export function decodeOutput(text: string): string | null {
  return text !== 'OK' && /^O(?:[0-9a-f]{2})*$/i.test(text) ? decodeLatin1(decodeHex(text.slice(1))) : null;
}

type Pairs = Omit<Extract<StopReply, { type: 'stopped' }>, 'type' | 'signal'>;

function decodePairs(text: string): Pairs {
  const registers = new Map<number, Uint8Array>();
  let thread: ThreadId | null = null;
  let reason: StopReason | null = null;
  let core: number | null = null;
  for (const pair of text.split(';')) {
    const colon = pair.indexOf(':');
    const key = colon < 0 ? pair : pair.slice(0, colon);
    const value = colon < 0 ? '' : pair.slice(colon + 1);
    if (key === 'thread' && isThreadId(value)) thread = value;
    else if (key === 'core') core = Number(decodeNumber(value));
    else if (Object.hasOwn(WATCH, key)) reason = { type: WATCH[key as keyof typeof WATCH], address: decodeNumber(value) };
    else if (Object.hasOwn(NAMED, key)) reason = { type: NAMED[key as keyof typeof NAMED], name: key };
    else if (/^[0-9a-f]{1,4}$/i.test(key)) {
      if (!/x/i.test(value)) registers.set(Number.parseInt(key, 16), decodeHex(value));
    } else if (/^(?:exec|syscall_entry|syscall_return|vforkdone|replaylog|create)$/.test(key))
      reason = { type: 'other', name: key };
  }
  return { thread, reason, registers, core };
}
