import { describe, expect, it } from 'vitest';
import { type CrashIdentity, identityOf, normaliseFunction, normaliseWords } from '../../src/session/signature.ts';
import type { CrashFacts } from '../../src/session/title.ts';
import { facts, frame, MACHINERY } from './crash-facts.ts';

const identity = (over: Partial<CrashFacts>): CrashIdentity => identityOf(facts(over), MACHINERY);
const signature = (over: Partial<CrashFacts>): string => identity(over).signature;

describe('the signature of a crash', () => {
  it('is stable over addresses, lines, callers and compiler-made name parts', () => {
    const moved = [frame('trap_14', 10, 0x5000n), frame('handle.constprop.0', 44, 0x6000n), frame('start', 8, 0x7000n)];
    expect(signature({ frames: moved, faultAddress: 0x18n, pc: 0x5000n })).toBe(signature({}));
  });

  it('differs for another function, another kind and another fault', () => {
    const others = [
      signature({ frames: [frame('other', 1)] }),
      signature({ kind: 'abort' }),
      signature({ faultAddress: 0xdead0000n }),
    ];
    expect(new Set([signature({}), ...others]).size).toBe(4);
  });

  it('does not throw all nameless stacks into one bucket', () => {
    expect(signature({ frames: [frame(null, null, 0x1230n)] })).not.toBe(signature({ frames: [frame(null, null, 0x1450n)] }));
  });

  it('does not throw all stacks of nothing but machinery into one bucket', () => {
    const dying = (message: string): string => signature({ kind: 'abort', message, frames: [frame('abort'), frame('panic')] });
    expect(dying('heap corrupted')).not.toBe(dying('queue full'));
  });

  it('of a runaway recursion does not depend on which of its functions ran off the stack', () => {
    const stack = (first: string, second: string): CrashFacts['frames'] =>
      Array.from({ length: 90 }, (_, index) => frame(index % 2 === 0 ? first : second, 1));
    const over = { faultAddress: 0x6ff8n, sp: 0x7000n };
    expect(signature({ ...over, frames: stack('ping', 'pong') })).toBe(signature({ ...over, frames: stack('pong', 'ping') }));
  });

  it('of an exception is its words and place, whatever its numbers', () => {
    const thrown = (message: string): string => signature({ kind: 'exception', message });
    expect(thrown('App.Boom("bottom", 42)')).toBe(thrown('App.Boom("bottom", 7)'));
    expect(thrown('std::runtime_error: full')).not.toBe(thrown('std::logic_error: full'));
  });
});

describe('the alternatives', () => {
  it('have the signature of a build in which the guilty function was inlined and nobody knows', () => {
    const inlined = [{ ...frame('check', 3), inlined: true }, frame('handle', 41)];
    expect(identity({ frames: inlined }).alternatives).toContain(signature({ frames: [frame('handle')] }));
  });

  it('have the signature of a text that does not say where memory was touched', () => {
    expect(identity({}).alternatives).toContain(signature({ message: 'Aborted', faultAddress: null }));
  });

  it('have the signature of a text without the banner that names the system', () => {
    expect(identity({}).alternatives).toContain(signature({ unikernel: null }));
  });

  it('never have the signature itself, nor one twice', () => {
    for (const kind of ['fault', 'panic', 'assert', 'abort', 'exception', 'out-of-memory', 'hang'] as const) {
      const { signature: own, alternatives } = identity({ kind });
      expect(new Set([own, ...alternatives]).size).toBe(alternatives.length + 1);
    }
  });
});

describe('what is left out of names and words', () => {
  it.each([
    ['handle.constprop.0', 'handle'],
    ['parse.isra.0.cold', 'parse'],
    ['ns::Box<int>::put(char const*) const', 'ns::Box::put'],
    ['std::map<int, std::vector<char>>::at(int)', 'std::map::at'],
    ['app::run::h0123456789abcdef', 'app::run'],
    ['app::run::{closure#2}', 'app::run::{closure}'],
    ['main.(*Server).handle', 'main.(*Server).handle'],
    ['main.main.func6.1', 'main.main.func'],
    ['(anonymous namespace)::deep(int)', '(anonymous namespace)::deep'],
    ['<app::Job as core::ops::Drop>::drop', '<app::Job as core::ops::Drop>::drop'],
    ['operator new(unsigned long)', 'operator new'],
    ['step_2', 'step_2'],
  ])('%s → %s', (name, expected) => {
    expect(normaliseFunction(name)).toBe(expected);
  });

  it.each([
    ['index out of range [5] with length 3', 'index out of range [NUM] with length NUM'],
    ['open /data/a1/cfg.json: no such file', 'open PATH: no such file'],
    ['user "bob" at 0xffff8000 gone', 'user "bob" at ADDR gone'],
    ['deadbeef', 'deadbeef'],
    ['session 3f2b8c1d-aaaa-bbbb-cccc-0123456789ab lost', 'session ID lost'],
  ])('%s → %s', (text, expected) => {
    expect(normaliseWords(text)).toBe(expected);
  });
});
