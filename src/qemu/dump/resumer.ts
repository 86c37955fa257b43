// A program of its own: makes a guest that was stopped for a dump run again when unidbg is gone, however it went. Started by
// open-resumer.ts; it ends when it is told that the guest runs, or when it has made it run.

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { openMonitor } from '../monitor.ts';
import { findStartTime } from '../process.ts';
import { parseEndpoint } from '../qmp/endpoint.ts';
import { READY, RELEASED, type ResumerOrder } from './resumer-order.ts';

const RETRY_MS = 50;
/** Of a QEMU whose process is not known. */
const MOST_TRIES = 1200;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
if (first.done !== true) await serve(JSON.parse(first.value) as ResumerOrder);

async function serve(order: ResumerOrder): Promise<void> {
  const born = order.qemuPid === null ? null : findStartTime(order.qemuPid);
  process.stdout.on('error', () => undefined);
  process.stdout.write(`${READY}\n`);
  const word = await lines.next();
  if (word.done !== true && word.value === RELEASED) return;
  // A monitor serves one client, and the kernel may not have closed unidbg's connection yet.
  for (let tries = 0; tries < MOST_TRIES || born !== null; tries += 1) {
    if (order.qemuPid !== null && findStartTime(order.qemuPid) !== born) return;
    if (await resume(order.monitor)) return;
    await sleep(RETRY_MS);
  }
}

/** Whether there is nothing more to do: the guest runs, or is in a state that nobody stopped it into. */
async function resume(endpoint: string): Promise<boolean> {
  try {
    const monitor = await openMonitor([parseEndpoint(endpoint)]);
    try {
      if ((await monitor.askState()).status !== 'paused') return true;
      await monitor.cont();
      return (await monitor.askState()).status !== 'paused';
    } finally {
      monitor.close();
    }
  } catch {
    return false;
  }
}
