// What a guarded debugger may not do to a guest. Nobody kills it; nobody writes to it unless that was allowed.

import { decodeHex, decodeLatin1 } from '../framing/bytes.ts';

/** Monitor commands that only look (QEMU's human monitor, gdbserver's and OpenOCD's help). */
const LOOKING = /^(?:info|help|x|xp|gpa2hva|gva2gpa|print|p)\b/;

/**
 * The reply to give in the stub's place, or null to let the packet through. `''` means: no reply at all (`k` has none).
 * `k` would end QEMU itself, and gdb sends it when it quits and takes the guest for its own child.
 */
export function findRefusal(payload: Uint8Array, allowWrite: boolean): 'E01' | 'swallow' | null {
  const text = decodeLatin1(payload.subarray(0, 4096));
  if (text === 'k') return 'swallow';
  if (/^(?:vKill|vRun|vAttach|QNonStop:1|[rR](?:[0-9a-f]{2})?$)/.test(text)) return 'E01';
  if (allowWrite) return null;
  if (/^(?:M|X|G|P|vFlash|QMemTags|qXfer:[^:]+:write|vFile:(?:open|pwrite|unlink))/.test(text)) return 'E01';
  if (text.startsWith('qRcmd,')) return isLooking(text.slice(6)) ? null : 'E01';
  // A maintenance switch of QEMU's: from here on addresses are physical; it stays on for the next client.
  return /^Qqemu\.PhyMemMode:1/.test(text) ? 'E01' : null;
}

function isLooking(hex: string): boolean {
  if (!/^(?:[0-9a-f]{2})*$/i.test(hex)) return false;
  const command = decodeLatin1(decodeHex(hex)).trim();
  return LOOKING.test(command) && !/[\n;]/.test(command);
}
