// A demo guest under observation while something else attaches to it: how often QEMU stopped it and for how long (QMP STOP and
// RESUME, on a monitor of our own), whether its tick went on, and how much work it did.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPhysicalMemory } from '../src/memory/open-physical.ts';
import type { LiveReaderName } from '../src/memory/physical.ts';
import { openQmp } from '../src/qemu/qmp/client.ts';
import { openImage } from '../src/symbolize/symbolizer.ts';
import { type DemoGuest, type DemoGuestOptions, startDemoGuest } from '../test/support/demo-guest.ts';
import { type Stillness, watchTicks } from './tick-watcher.ts';

/** What happened to the guest between two questions. */
export interface Observation extends Stillness {
  /** QMP STOP events, and the time from each to its RESUME. */
  readonly stops: number;
  readonly stoppedMs: number;
}

/** A demo guest with a gdbstub socket and two QMP sockets: `guest.qmpPath` is free for what is measured. */
export interface ObservedGuest {
  readonly guest: DemoGuest;
  readonly pid: number;
  readonly gdbPath: string;
  /** Asks the observer's monitor. */
  readonly hmp: (line: string) => Promise<string>;
  /** The u64 global of that name, read without a stop. */
  readonly counter: (symbol: string) => bigint;
  /** What happened since it was asked last. */
  readonly observe: () => Promise<Observation>;
  readonly stop: () => Promise<void>;
}

/** Starts it and waits until it works. Its image lies at its physical addresses, so a symbol is read where it is linked. */
export async function startObservedGuest(options: DemoGuestOptions = {}): Promise<ObservedGuest> {
  const folder = await mkdtemp(join(tmpdir(), 'unidbg-bench-'));
  const [observerPath, gdbPath] = [join(folder, 'observer.qmp'), join(folder, 'gdb.sock')];
  const sockets = ['-qmp', `unix:${observerPath},server=on,wait=off`, '-gdb', `unix:${gdbPath},server=on,wait=off`];
  const guest = await startDemoGuest({ ...options, qemuArgs: [...sockets, ...(options.qemuArgs ?? [])] });
  await guest.waitForConsole(/up 1\./);
  const pid = guest.process.pid!;
  const qmp = await openQmp({ kind: 'unix', path: observerPath });
  const hmp = (line: string): Promise<string> => qmp.hmp(line);
  const image = openImage(guest.elf);
  const addressOf = (symbol: string): bigint => {
    const found = image.findLinkSymbol(symbol);
    if (found === null) throw new Error(`the demo guest has no symbol ${symbol}`);
    return found.address;
  };
  const only: readonly LiveReaderName[] = ['process-memory'];
  const { reader } = await openPhysicalMemory({ ask: hmp, pid, uid: process.getuid?.() ?? null }, only);
  const hostAddress = /0x[0-9a-f]+\s*$/.exec((await hmp(`gpa2hva 0x${addressOf('tick_count').toString(16)}`)).trim())?.[0];
  const ticks = await watchTicks({ path: `/proc/${pid}/mem`, position: Number(hostAddress) });

  let stops = 0;
  let stoppedMs = 0;
  let stoppedAt = 0;
  const unsubscribe = qmp.subscribe(({ name, at }) => {
    if (name === 'STOP') {
      stops += 1;
      stoppedAt = at;
    } else if (name === 'RESUME' && stoppedAt > 0) stoppedMs += at - stoppedAt;
  });
  return {
    guest,
    pid,
    gdbPath,
    hmp,
    counter: (symbol) => {
      const bytes = Buffer.alloc(8);
      if (reader.readSync?.(addressOf(symbol), bytes) !== true) throw new Error(`${symbol} cannot be read`);
      return bytes.readBigUInt64LE();
    },
    observe: async () => {
      // Events come before the answer of a question that was asked after them.
      await qmp.execute('query-status');
      const seen = { ...(await ticks.take()), stops, stoppedMs };
      [stops, stoppedMs] = [0, 0];
      return seen;
    },
    stop: async () => {
      unsubscribe();
      await ticks.close();
      reader.close();
      image.elf.close();
      qmp.close();
      await guest.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
