// Small unikernels that die, one for each way to die, and some that do not: what `unidbg ci` has to make of each. All are the demo
// guest (test/guests/demo) by its command line. Where one dies is a line of its sources with a comment `// dies: NAME`.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Verdict } from '../../src/model/report.ts';
import { buildDemoGuest, type DemoVariant } from './build.ts';

/** A guest, and what becomes of it. */
export interface BrokenGuest {
  readonly name: string;
  readonly append: string;
  readonly qemuArgs: readonly string[];
  /** What `ci` is asked for beside its time limit. */
  readonly ci: readonly string[];
  readonly verdict: Verdict;
  readonly exitCode: number;
  /** The function to blame; null where no code is. */
  readonly guilty: string | null;
  /** The name in its `dies:` comment; null where no line is to be told. */
  readonly dies: string | null;
  /** Words of the title. */
  readonly title: RegExp;
}

const DEBUG_EXIT = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=4'];
/** Hangs are found by patience: a test has little. */
const IMPATIENT = ['--hang-after', '700ms'];

const guest = (
  name: string,
  append: string,
  verdict: Verdict,
  exitCode: number,
  rest: Partial<BrokenGuest> & Pick<BrokenGuest, 'title'>,
): BrokenGuest => ({ name, append, verdict, exitCode, qemuArgs: [], ci: [], guilty: null, dies: null, ...rest });

/** One for each way to die. */
export const BROKEN: readonly BrokenGuest[] = [
  guest('null', 'crash=null', 'fault', 4, { guilty: 'count_visit', dies: 'null', title: /^null dereference in count_visit/ }),
  guest('wild', 'crash=wild', 'fault', 4, { guilty: 'crash_wild', dies: 'wild', title: /^wild jump in crash_wild/ }),
  guest('stack', 'crash=stack', 'fault', 4, {
    guilty: 'crash_recurse',
    dies: 'stack',
    title: /^stack overflow in crash_recurse/,
  }),
  guest('triple', 'crash=triple', 'fault', 4, {
    guilty: 'power_triple_fault',
    dies: 'triple',
    title: /^triple fault in power_triple_fault/,
  }),
  guest('assert', 'crash=assert', 'assert', 4, {
    guilty: 'crash_assert',
    dies: 'assert',
    title: /^assertion divisor != 0 failed/,
  }),
  guest('abort', 'crash=abort', 'abort', 4, { guilty: 'crash_abort', dies: 'abort', title: /^abort in crash_abort/ }),
  guest('panic', 'crash=pvpanic', 'panic', 4, { guilty: 'crash_pvpanic', dies: 'panic', title: /crash_pvpanic/ }),
  guest('oom', 'crash=oom', 'out-of-memory', 5, { guilty: 'crash_oom', dies: 'oom', title: /^out of memory in crash_oom/ }),
  guest('starve', 'crash=starve', 'out-of-memory', 5, {
    guilty: 'crash_starve',
    dies: 'starve',
    title: /^out of memory in crash_starve/,
    ci: IMPATIENT,
  }),
  guest('deadlock', 'crash=deadlock', 'hang', 6, {
    guilty: 'app_transfer',
    dies: 'deadlock',
    title: /^deadlock between worker-1 and worker-2/,
  }),
  guest('hang', 'crash=hang', 'hang', 6, {
    guilty: 'crash_spin',
    dies: 'hang',
    title: /spins with interrupts off in crash_spin/,
    ci: IMPATIENT,
  }),
  guest('wait', 'crash=wait', 'hang', 6, {
    guilty: 'crash_wait',
    dies: 'wait',
    title: /^no progress in crash_wait/,
    ci: IMPATIENT,
  }),
  guest('busy', 'crash=busy', 'hang', 6, {
    guilty: 'crash_spin',
    dies: 'busy',
    title: /^no progress in crash_spin/,
    ci: ['--timeout', '4s'],
  }),
  guest('stuck', 'stuck', 'hang', 6, {
    guilty: 'wait_for_device',
    dies: 'stuck',
    title: /^stuck boot in wait_for_device/,
    ci: ['--boots-within', '2s'],
  }),
  guest('exit', 'crash=exit code=3', 'exit', 1, { qemuArgs: DEBUG_EXIT, title: /^$/ }),
];

/** Guests that do not die. */
export const OTHERS: readonly BrokenGuest[] = [
  guest('healthy', 'requests=20', 'ok', 0, { title: /^$/, ci: ['--until', 'exit'] }),
  guest('server', '', 'ok', 0, { title: /^$/, ci: ['--until', '/up 1/'] }),
  guest('slow', 'requests=20 slow', 'expectation-failed', 1, { title: /^$/, ci: ['--until', 'exit', '--timeout', '3s'] }),
  guest('gc-less', 'gc=off', 'expectation-failed', 1, { title: /^$/, ci: ['--expect', 'unikernel.gc.cycles > 0 within 2s'] }),
];

/** QEMU's command line for one. */
export async function commandOf({ append, qemuArgs }: BrokenGuest, variant: DemoVariant = 'fp'): Promise<readonly string[]> {
  const elf = await buildDemoGuest(variant);
  const machine = ['-machine', 'q35', '-accel', 'tcg', '-m', '128M', '-nodefaults', '-display', 'none', '-serial', 'stdio'];
  return ['qemu-system-x86_64', ...machine, '-no-reboot', '-kernel', elf, '-append', `after=100 ${append}`.trim(), ...qemuArgs];
}

/** Where it dies, by the comment in the sources. Throws when there is none. */
export function placeOfDeath(name: string): { readonly file: string; readonly line: number } {
  const folder = join(import.meta.dirname, 'demo');
  for (const file of readdirSync(folder)) {
    const lines = readFileSync(join(folder, file), 'utf8').split('\n');
    const index = lines.findIndex((line) => /\/\/ dies: (.*)$/.exec(line)?.[1]?.split(', ').includes(name) === true);
    if (index >= 0) return { file, line: index + 1 };
  }
  throw new Error(`no line of the demo guest says where ${name} dies`);
}
