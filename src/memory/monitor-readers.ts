// Readers (c) and (d): QEMU itself is asked, which needs no right but the monitor. HMP `xp` prints memory (about 1 ms per
// page); HMP `pmemsave` writes it to a file that we read (2–8 ms).

import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PhysicalAddress } from '../model/address.ts';
import type { AskMonitor } from './monitor-ask.ts';
import type { PhysicalReader } from './physical.ts';
import { findRegion, type RamRegion } from './ram-layout.ts';

/** Bytes per `xp`: one page keeps a reply near 13 KiB. */
const XP_BYTES = 4096;

/** Reads by HMP `xp /Ngx`: 64-bit words in the guest's order, which is little-endian on every machine unidbg knows. */
export function createXpReader(ask: AskMonitor, regions: readonly RamRegion[]): PhysicalReader {
  const read = async (address: PhysicalAddress, into: Uint8Array): Promise<boolean> => {
    if (!isRam(regions, address, into.length)) return false;
    for (let done = 0; done < into.length; ) {
      const at = address + BigInt(done);
      const skip = Number(at & 7n);
      const count = Math.min(into.length - done, XP_BYTES - skip);
      const words = Math.ceil((skip + count) / 8);
      const bytes = parseXp(await ask(`xp /${words}gx 0x${(at - BigInt(skip)).toString(16)}`), words);
      if (bytes === null) return false;
      into.set(bytes.subarray(skip, skip + count), done);
      done += count;
    }
    return true;
  };
  return { name: 'xp', how: 'the monitor (HMP xp)', readSync: null, read, close: () => undefined };
}

/** The words of an `xp /Ngx` listing as bytes; null unless there are exactly `words`. */
export function parseXp(text: string, words: number): Uint8Array | null {
  const bytes = new Uint8Array(words * 8);
  const view = new DataView(bytes.buffer);
  let found = 0;
  for (const [, word] of text.matchAll(/\s0x([0-9a-f]{16})(?![0-9a-f])/g)) {
    if (found === words) return null;
    view.setBigUint64(found * 8, BigInt(`0x${word!}`), true);
    found += 1;
  }
  return found === words ? bytes : null;
}

/**
 * Reads by HMP `pmemsave` into a directory of ours. `qemuUid` is who must be able to write there: ourselves and root can
 * anyway; for another user the directory lets others create files, but not list it, and the file names are random.
 */
export function createPmemsaveReader(ask: AskMonitor, regions: readonly RamRegion[], qemuUid: number | null): PhysicalReader {
  const directory = mkdtempSync(join(tmpdir(), 'unidbg-memory-'));
  if (qemuUid !== process.getuid?.() && qemuUid !== 0) chmodSync(directory, 0o733);
  const read = async (address: PhysicalAddress, into: Uint8Array): Promise<boolean> => {
    if (!isRam(regions, address, into.length)) return false;
    const path = join(directory, crypto.randomUUID());
    const refusal = await ask(`pmemsave 0x${address.toString(16)} ${into.length} "${path}"`);
    try {
      const bytes = readFileSync(path);
      if (bytes.length !== into.length || refusal.trim() !== '') return false;
      into.set(bytes);
      return true;
    } catch {
      // QEMU could not write there (a container, a sandbox), or wrote it unreadable for us.
      return false;
    } finally {
      rmSync(path, { force: true });
    }
  };
  const close = (): void => {
    rmSync(directory, { recursive: true, force: true });
  };
  return { name: 'pmemsave', how: 'files that QEMU writes (pmemsave)', readSync: null, read, close };
}

function isRam(regions: readonly RamRegion[], address: PhysicalAddress, length: number): boolean {
  const end = address + BigInt(length);
  for (let at = address; at < end; ) {
    const region = findRegion(regions, at);
    if (region === null) return false;
    at = region.end;
  }
  return true;
}
