// What OSv leaves in its memory: its log (core/debug.cc: debug_buffer, a ring), how its program ended (core/app.cc says so on that
// log), and how much memory is free (core/mempool.cc).

import type { GuestExit } from '../model/guest-exit.ts';
import type { Unikernel } from '../model/unikernel.ts';
import { readWords } from './stack-words.ts';

type Guest = Parameters<NonNullable<Unikernel['readMemoryLog']>>[0];

/** The log, oldest byte first; null when there is none yet. */
export function readOsvLog({ memory, findSymbol }: Guest): Uint8Array | null {
  const buffer = findSymbol('debug_buffer');
  const index = findSymbol('debug_buffer_idx');
  const full = findSymbol('debug_buffer_full');
  if (buffer === null || index === null || full === null || buffer.size === 0) return null;
  const at = memory.read(index.address, 4);
  const wrapped = memory.read(full.address, 1);
  const bytes = memory.read(buffer.address, buffer.size);
  if (at === null || wrapped === null || bytes === null) return null;
  const end = Math.min(new DataView(at.buffer, at.byteOffset, 4).getUint32(0, true), bytes.length);
  if (wrapped[0] === 0) return end === 0 ? null : bytes.slice(0, end);
  const log = new Uint8Array(bytes.length);
  log.set(bytes.subarray(end));
  log.set(bytes.subarray(0, end), bytes.length - end);
  return log;
}

/** `program NAME returned N` on the log; OSv says nothing of a program that returned 0, and QEMU's status is 0 either way. */
export function readOsvExitStatus(guest: Guest): GuestExit | null {
  const log = readOsvLog(guest);
  if (log === null) return null;
  const said = [...new TextDecoder('latin1').decode(log).matchAll(/^program (.{1,200}) returned (-?\d{1,9})\r?$/gm)].at(-1);
  if (said === undefined) return null;
  const code = Number(said[2]);
  return { code, how: `${said[1] ?? ''} returned ${String(code)}` };
}

/** Free and total bytes of its page allocator; their symbols are local to core/mempool.cc. */
export function readOsvFreeMemory({ memory, findSymbol }: Guest): { freeBytes: number; totalBytes: number } | null {
  const [free, total] = ['_ZN6memoryL11free_memoryE', '_ZN6memoryL12total_memoryE'].map((name) => {
    const symbol = findSymbol(name);
    return symbol === null ? null : (readWords(memory, symbol.address, 1)?.[0] ?? null);
  });
  return free == null || total == null || total === 0n || free > total
    ? null
    : { freeBytes: Number(free), totalBytes: Number(total) };
}
