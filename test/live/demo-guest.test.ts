// The demo guest dies of every mode as its README says, in every build.

import { afterAll, describe, expect, it } from 'vitest';
import type { DemoVariant } from '../guests/build.ts';
import { type DemoGuest, type DemoGuestOptions, startDemoGuest } from '../support/demo-guest.ts';

const guests: DemoGuest[] = [];

async function start(options: DemoGuestOptions): Promise<DemoGuest> {
  const guest = await startDemoGuest(options);
  guests.push(guest);
  return guest;
}

afterAll(async () => {
  await Promise.all(guests.map((guest) => guest.stop()));
});

const PANICS: readonly (readonly [string, RegExp])[] = [
  ['null', /PANIC: page fault \(#PF\) cpu 0 thread worker-1\r\naddress 0x10 error 0x0\r\n/],
  ['wild', /PANIC: page fault \(#PF\) cpu 0 thread worker-1\r\naddress 0xbadc0de000 error 0x10\r\n/],
  ['div', /PANIC: divide error \(#DE\) cpu 0 thread worker-1\r\nrax=/],
  ['ud2', /PANIC: invalid opcode \(#UD\) cpu 0 thread worker-1\r\nrax=/],
  ['gp', /PANIC: general protection \(#GP\) cpu 0 thread worker-1\r\nerror 0x0\r\n/],
  ['assert', /PANIC: assertion failed: divisor != 0 \(demo\/crash\.c:\d+, crash_assert\) cpu 0 thread worker-1\r\nrax=/],
  ['abort', /PANIC: abort called cpu 0 thread worker-1\r\nrax=/],
  ['stack', /PANIC: stack overflow in thread worker-1 cpu 0 thread worker-1\r\naddress 0x[0-9a-f]+ error 0x2\r\n/],
  ['oom', /PANIC: out of memory: 262144 bytes for a cache that never forgets cpu 0 thread worker-1\r\nrax=/],
];

describe.each(['fp', 'cfi', 'eh'] satisfies DemoVariant[])('the demo guest, built as %s,', (variant) => {
  it.concurrent.each(PANICS)('panics by crash=%s', async (mode, text) => {
    const guest = await start({ variant, append: `crash=${mode} after=100` });
    const console = await guest.waitForConsole(/-- halted --\r\n/);
    expect(console).toMatch(text);
  });
});
