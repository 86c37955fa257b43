// `unidbg assert <vm> EXPECTATION…`: whether a running guest does what is expected of it; exit code 1 and the reason when it does not.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { type Expectation, parseExpectation, type Verdict, watchExpectation } from '../../expression/index.ts';
import { UnidbgError } from '../../model/error.ts';
import { encodeJson } from '../../model/json.ts';
import type { Session } from '../../session/session.ts';
import { EXIT } from '../exit-codes.ts';
import { addGuestOptions, type GuestOptions, withGuest } from '../guest-session.ts';
import { sayLines } from '../say.ts';
import type { Verb } from '../verb.ts';

const NOTES = `
Examples:
  unidbg assert my-vm 'go.memory.gc.cycles increases within 30s'
  unidbg assert my-vm 'unikernel.memory.used < 64MiB' 'console ~ /listening/ within 20s'
  unidbg assert my-vm 'max(go.memory.gc.pause) < 20ms for 1m'

All must hold. Exit code 0: they do; 1: one does not, with the reason; 2: one cannot be understood; 3: the VM cannot be
attached to. The language is told in docs/expressions.md; \`unidbg top my-vm --json\` lists the metrics.`;

/** Expectations are held against the guest so often. */
const LOOK_MS = 200;

export const assert: Verb = {
  register: (program: Command, finish) => {
    addGuestOptions(
      program
        .command('assert')
        .argument('<vm>', 'name or pid from `unidbg ls`, a QMP socket, a recording, a bundle or a dump')
        .argument('<expectation...>', 'what is expected, each in quotes'),
    )
      .description('check that a running guest does what is expected of it')
      .addHelpText('after', NOTES)
      .action(finish(async (vm: string, texts: readonly string[], options: GuestOptions) => run(vm, texts, options)));
  },
};

/** One expectation and what became of it. */
interface Outcome {
  readonly expectation: Expectation;
  readonly verdict: Verdict;
}

async function run(vm: string, texts: readonly string[], options: GuestOptions): Promise<number> {
  const expectations = texts.map(parseExpectation);
  if (expectations.every(({ span }) => span.type === 'always')) {
    throw new UnidbgError('USAGE', '`always` ends with the run, and nothing else given here ends one: write `for 30s` instead');
  }
  const outcomes = await withGuest(vm, options, ({ session, isStill }) => watchAll(expectations, session, isStill));
  const failed = outcomes.filter(({ verdict }) => verdict.state !== 'met');
  if (options.json === true) {
    const results = outcomes.map(({ expectation, verdict }) => ({ expectation: expectation.text, ...verdict }));
    process.stdout.write(`${encodeJson({ schemaVersion: 1, target: vm, held: failed.length === 0, expectations: results })}\n`);
  } else {
    for (const { expectation, verdict } of outcomes) {
      sayLines([`${verdict.state === 'met' ? 'ok  ' : 'FAIL'}  ${expectation.text}: ${verdict.reason}`]);
    }
  }
  return failed.length === 0 ? EXIT.fine : EXIT.expectationFailed;
}

/** Until all are decided; the first failure decides, and so does the end of the guest. */
async function watchAll(expectations: readonly Expectation[], session: Session, isOver: boolean): Promise<readonly Outcome[]> {
  const startedAt = isOver ? session.snapshot().at : Date.now();
  const watches = expectations.map((expectation) => ({ expectation, judge: watchExpectation(expectation, startedAt) }));
  const judgeAll = (over: boolean): readonly Outcome[] =>
    watches.map(({ expectation, judge }) => ({
      expectation,
      verdict: judge(session.snapshot(), over && isOver ? startedAt : Date.now(), over),
    }));
  for (;;) {
    const isGone = session.snapshot().vm.status === 'gone';
    const outcomes = judgeAll(isOver || isGone);
    const pending = outcomes.filter(
      ({ verdict, expectation }) => verdict.state === 'pending' && expectation.span.type !== 'always',
    );
    const hasFailed = outcomes.some(({ verdict }) => verdict.state === 'failed');
    if (isOver || isGone || hasFailed || pending.length === 0) return judgeAll(true);
    await sleep(LOOK_MS);
  }
}
