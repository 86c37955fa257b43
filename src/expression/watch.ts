// An expectation held against a guest over time: snapshots in, a verdict out.

import type { Snapshot } from '../model/snapshot.ts';
import { checkDimensions, evaluate, formatValue, type Value } from './evaluate.ts';
import type { Comparator, Condition, Expectation, Quantity } from './syntax.ts';

/** What is known so far. `reason` says with numbers why it is so. */
export interface Verdict {
  readonly state: 'pending' | 'met' | 'failed';
  readonly reason: string;
}

/** Whether the condition holds at a moment; null = that cannot be said yet. */
interface Judgement {
  readonly holds: boolean | null;
  readonly reason: string;
}

/** An expectation without a time waits so long for what it needs to be measured at all. */
const PATIENCE_MS = 15_000;

/**
 * Watches an expectation from `startedAt` on (ms since the Unix epoch). Call the result at each sample, and once after the end with
 * `over`: then a verdict is certain. A verdict once met or failed stays. Throws USAGE where bytes and seconds are compared.
 */
export function watchExpectation(
  expectation: Expectation,
  startedAt: number,
): (snapshot: Snapshot, now: number, over?: boolean) => Verdict {
  const { condition, span } = expectation;
  const judge = judgeOf(condition);
  let verdict: Verdict = { state: 'pending', reason: 'nothing was measured yet' };
  let held = false;
  return (snapshot, now, over = false) => {
    if (verdict.state !== 'pending') return verdict;
    const { holds, reason } = judge(snapshot);
    held ||= holds === true;
    const elapsed = now - startedAt;
    const settle = (state: Verdict['state'], words = reason): Verdict => (verdict = { state, reason: words });
    // Text that must not come is judged at the end of its time; until then its absence proves nothing.
    const waits = condition.type === 'console' && !condition.wanted;
    if (span.type === 'within' || (span.type === 'now' && condition.type === 'console' && condition.wanted)) {
      if (holds === true) return settle('met');
      const limit = span.type === 'within' ? span.ms : PATIENCE_MS;
      return over || elapsed >= limit ? settle('failed', `${reason}, ${seconds(elapsed)} after the start`) : settle('pending');
    }
    if (span.type === 'now') {
      if (holds !== null) return settle(holds ? 'met' : 'failed');
      return over || elapsed >= PATIENCE_MS ? settle('failed') : settle('pending');
    }
    if (holds === false) return settle('failed', `${reason}, ${seconds(elapsed)} after the start`);
    const done = over || (span.type === 'for' && elapsed >= span.ms);
    if (!done) return settle('pending');
    return held || waits ? settle('met', `${reason}, all the ${seconds(elapsed)}`) : settle('failed');
  };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`;
}

function judgeOf(condition: Condition): (snapshot: Snapshot) => Judgement {
  switch (condition.type) {
    case 'compare':
      return (snapshot) => judgeComparison(condition, snapshot);
    case 'change':
      return judgeChange(condition);
    case 'present':
      return (snapshot) => {
        const value = evaluate({ type: 'metric', selector: condition.selector }, snapshot);
        const isPresent = !('absent' in value);
        const reason = isPresent ? `${condition.selector.name} is ${formatValue(value)}` : value.absent;
        return { holds: isPresent === condition.wanted, reason };
      };
    case 'console':
      return judgeConsole(condition);
  }
}

const COMPARE: Readonly<Record<Comparator, (left: number, right: number) => boolean>> = {
  '<': (left, right) => left < right,
  '<=': (left, right) => left <= right,
  '>': (left, right) => left > right,
  '>=': (left, right) => left >= right,
  '==': (left, right) => left === right,
  '!=': (left, right) => left !== right,
};

function judgeComparison(condition: Extract<Condition, { type: 'compare' }>, snapshot: Snapshot): Judgement {
  const [left, right] = [evaluate(condition.left, snapshot), evaluate(condition.right, snapshot)];
  if ('absent' in left) return { holds: null, reason: left.absent };
  if ('absent' in right) return { holds: null, reason: right.absent };
  checkDimensions(left, right);
  const holds = COMPARE[condition.operator](left.value, right.value);
  return { holds, reason: `${sayQuantity(condition.left)} is ${formatValue(left)}${sayRight(condition.right, right)}` };
}

function sayRight(quantity: Quantity, value: Exclude<Value, { absent: string }>): string {
  return quantity.type === 'number' ? '' : `, ${sayQuantity(quantity)} is ${formatValue(value)}`;
}

/** Against the first value that was read. */
function judgeChange(condition: Extract<Condition, { type: 'change' }>): (snapshot: Snapshot) => Judgement {
  let first: number | null = null;
  return (snapshot) => {
    const now = evaluate({ type: 'metric', selector: condition.selector }, snapshot);
    if ('absent' in now) return { holds: null, reason: now.absent };
    const by = condition.by === null ? null : evaluate(condition.by, snapshot);
    if (by !== null && 'absent' in by) return { holds: null, reason: by.absent };
    if (by !== null) checkDimensions(now, by);
    const { name } = condition.selector;
    if (first === null) {
      first = now.value;
      return { holds: null, reason: `${name} is ${formatValue(now)}; it was read only once so far` };
    }
    const change = (now.value - first) * (condition.direction === 'increases' ? 1 : -1);
    const from = formatValue({ ...now, value: first });
    const reason =
      now.value === first ? `${name} stays at ${formatValue(now)}` : `${name} went from ${from} to ${formatValue(now)}`;
    const holds = change > 0 && (by === null || change >= by.value);
    // That nothing has changed yet is no answer: only time can say that it never does.
    return { holds: holds ? true : change < 0 ? false : null, reason };
  };
}

/** A line is looked at once, when it is whole; the newest partial one (a prompt) again and again. */
function judgeConsole({ pattern, wanted }: Extract<Condition, { type: 'console' }>): (snapshot: Snapshot) => Judgement {
  let looked = 0;
  let found: string | null = null;
  return ({ console }) => {
    for (let index = console.length - 1; index >= 0 && found === null; index -= 1) {
      const line = console[index]!;
      if (line.number <= looked) break;
      if (pattern.test(line.text)) found = `line ${line.number} of the console is "${line.text.slice(0, 120)}"`;
    }
    const last = console.at(-1);
    looked = last === undefined ? looked : last.partial ? last.number - 1 : last.number;
    if (found !== null) return { holds: wanted, reason: found };
    return { holds: wanted ? null : true, reason: `no line of the console matches ${String(pattern)}` };
  };
}

function sayQuantity(quantity: Quantity): string {
  switch (quantity.type) {
    case 'number':
      return quantity.text;
    case 'metric':
      return sayName(quantity.selector);
    case 'call':
      return `${quantity.function}(${sayName(quantity.selector)})`;
    case 'binary':
      return `${sayQuantity(quantity.left)} ${quantity.operator} ${sayQuantity(quantity.right)}`;
  }
}

function sayName({ name, attributes }: { readonly name: string; readonly attributes: Readonly<Record<string, string>> }): string {
  const pairs = Object.entries(attributes).map((pair) => pair.join('='));
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}
