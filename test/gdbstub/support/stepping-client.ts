// The victim of test/live/guardian.test.ts: a debugger that holds the QMP socket and steps a guest for ever, breakpoints in,
// until it is killed. Arguments: the guard's options as JSON, the address of a function that is called again and again.

import { connect } from 'node:net';
import type { GuardOptions } from '../../../gdbstub/index.ts';
import { openGuarded } from '../../../gdbstub/index.ts';

const guard = JSON.parse(process.argv[2]!) as GuardOptions;
const work = BigInt(process.argv[3]!);

if (guard.qmp?.type === 'unix') connect(guard.qmp.path).write('{"execute":"qmp_capabilities"}\n');
const { stub } = await openGuarded(guard);
await stub.insertBreakpoint({ kind: 'software', address: work, size: 1 });
await stub.insertBreakpoint({ kind: 'hardware', address: work + 1n, size: 1 });
process.stdout.write('stepping\n');
for (;;) {
  for (let count = 0; count < 20; count += 1) await stub.step();
  await stub.continue();
}
