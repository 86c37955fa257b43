// The guardian process. It holds the one connection to the stub, so that it, and not the debugger, decides what a guest is
// left like; it outlives the debugger by the time a release takes, and ends itself.
//
//   stdin   one line of JSON: GuardianOrder; its end (the owner closed it, or died) ends everything
//   stdout  lines of JSON: GuardianWord
//
// It is its own session and ignores the signals a terminal sends. What it cannot survive is SIGKILL to itself (the owner
// then starts another, see open.ts) and the end of the machine.

import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { GuardianOrder, GuardianWord } from './order.ts';
import { releaseGuest } from './release.ts';
import { guardSession } from './session.ts';
import { Tracker } from './tracker.ts';

/** A release is bounded by its parts' time-outs; this is the belt to those braces. */
const LAST_MS = 15_000;

for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM', 'SIGQUIT', 'SIGPIPE', 'SIGTSTP'] as const)
  process.on(signal, () => undefined);
process.stdout.on('error', () => undefined);

const ownerGone = new Promise((resolve) => process.stdin.once('close', resolve).once('error', resolve));
void ownerGone.then(() => setTimeout(() => process.exit(1), LAST_MS).unref());

const order = await readOrder();
if (order !== null) await (order.rescue ? rescue(order) : serve(order));
process.exit(0);

async function readOrder(): Promise<GuardianOrder | null> {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdin.resume();
    return JSON.parse(line) as GuardianOrder;
  }
  return null;
}

/** A guardian was lost in mid-session: undo what it can have left. */
async function rescue(given: GuardianOrder): Promise<void> {
  say({ event: 'session' });
  say({ event: 'released', report: await releaseGuest(given, new Tracker(), null) });
}

/** Sessions one after another until the owner goes; a second debugger at the same time is turned away. */
async function serve(given: GuardianOrder): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'gdbstub-guardian-'));
  const path = join(directory, 'stub');
  const sessions = new Set<Promise<void>>();
  const server = createServer((client) => {
    if (sessions.size > 0) {
      client.on('error', () => undefined).destroy();
      return;
    }
    say({ event: 'session' });
    const session = guardSession(client, given, ownerGone).then((report) => {
      sessions.delete(session);
      say({ event: 'released', report });
    });
    sessions.add(session);
  });
  server.listen(path, () => {
    chmodSync(path, 0o600);
    say({ event: 'ready', path });
  });
  await ownerGone;
  server.close();
  await Promise.all(sessions);
  rmSync(directory, { recursive: true, force: true });
}

function say(word: GuardianWord): void {
  process.stdout.write(`${JSON.stringify(word)}\n`);
}
