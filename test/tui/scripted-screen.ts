// A program for the end-to-end tests: opens the real screen on a scripted guest, in a pty. argv[2] names the script.
// What it prints after the screen has closed is what the tests look for on the normal screen.

import type { GuestEvent } from '../../src/model/event.ts';
import type { FleetMember, FleetView } from '../../src/model/fleet.ts';
import type { Intent } from '../../src/model/intent.ts';
import type { SessionView } from '../../src/model/session.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { openScreen } from '../../tui/screen.ts';
import { makeMember } from './busy-guest.ts';
import { LISTING, makeCrashed, makeSnapshot, manyLines } from './guest.ts';

const script = process.argv[2] ?? 'healthy';

const HOSTILE = [
  '\x1b[2J\x1b[31mred\x1b]0;owned\x07 \x1b]52;c;b3duZWQ=\x07',
  '{bold}tags{/bold} {red-fg}{open}',
  'C1 \x9b2J \x90q\x9c NUL \x00 CR \r BS \b\b\b DEL \x7f',
  'bidi \u202egnirts\u202c wide 漢字 mark e\u0301 zwj 👨\u200d👩\u200d👧 end',
];

function firstSnapshot(): Snapshot {
  const now = Date.now();
  const fresh = { at: now, stacksAt: now };
  if (script === 'crashed') return makeCrashed(fresh);
  if (script === 'hostile') {
    const console = HOSTILE.map((text, index) => ({ number: index + 1, source: 'com1', text, partial: false, notes: [] }));
    return makeSnapshot({ ...fresh, console });
  }
  if (script === 'long') return makeSnapshot({ ...fresh, console: manyLines(10_000) });
  return makeSnapshot(fresh);
}

let snapshot = firstSnapshot();
const listeners = new Set<(event: GuestEvent) => void>();

function change(given: Partial<Snapshot>): void {
  snapshot = { ...snapshot, ...given, at: Date.now() };
  for (const listener of listeners) listener({ at: snapshot.at, type: 'vm', status: snapshot.vm.status, reason: null });
}

function carryOut(intent: Intent): void {
  const since = Date.now();
  if (intent.type === 'halt') change({ vm: { status: 'debug', reason: 'halted', since } });
  if (intent.type === 'resume') change({ vm: { status: 'running', reason: null, since } });
  if (intent.type === 'show-listing') change({ listing: { place: intent.place, listing: LISTING } });
  if (intent.type === 'show-memory') {
    const bytes = Uint8Array.from({ length: intent.length }, (_, index) => (Number(intent.address & 0xffn) + index) & 0xff);
    change({ memory: { address: intent.address, bytes, unreadable: [{ start: 32, end: 48 }] } });
  }
  if (intent.type === 'evaluate') change({ evaluations: [{ expression: intent.expression, value: '42', error: null }] });
}

const session: SessionView = {
  snapshot: () => snapshot,
  subscribe: (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  dispatch: carryOut,
};

// The second VM of the fleet crashes soon after the first has the screen; the third is refused.
let members: readonly FleetMember[] = [
  { id: '1', name: 'web', session, failure: null },
  makeMember('dns', makeSnapshot({ at: Date.now() })),
  makeMember('old', null, 'old (pid 17) has no monitor'),
];
const fleet: FleetView = {
  members: () => members,
  subscribe: (listener) => session.subscribe(listener),
  show: () => {
    setTimeout(() => {
      members = members.map((member) => (member.name === 'dns' ? makeMember('dns', makeCrashed({ at: Date.now() })) : member));
      change({});
    }, 300);
  },
};
const screen = await openScreen(
  script === 'fleet' ? { fleet } : { session, ...(script === 'recording' ? { recording: 'demo.unirec' } : {}) },
);
if (script === 'bug') {
  setTimeout(() => {
    throw new Error('a bug of ours');
  }, 700);
}
if (script === 'exit') setTimeout(() => process.exit(9), 700);
if (script === 'flood') {
  let count = 0;
  setInterval(() => {
    count += 100;
    change({ console: manyLines(count).slice(-1000) });
  }, 5);
}
const reason = await screen.closed;
console.log(`left: ${JSON.stringify(reason)}`);
process.exit(0);
