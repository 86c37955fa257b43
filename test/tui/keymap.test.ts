import { describe, expect, it } from 'vitest';
import type { Context } from '../../tui/keymap.ts';
import { activeBindings, activeContexts, barBindings, findBinding, KEYMAP } from '../../tui/keymap.ts';
import { PANELS } from '../../tui/panels.ts';
import { decodeKey } from '../../tui/terminal.ts';
import { openState, press, screenText } from './draw.ts';
import { makeSnapshot } from './guest.ts';

describe('the keymap', () => {
  const contexts = [...new Set(KEYMAP.flatMap((binding) => binding.in))];

  it.each(contexts)('has no key twice in the context "%s"', (context: Context) => {
    const keys = KEYMAP.filter((binding) => binding.in.includes(context)).flatMap((binding) => binding.keys);
    expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([]);
  });

  it('lists in the help exactly keys that do what is said', () => {
    for (const { digit } of PANELS) {
      const active = activeContexts(press(openState(), makeSnapshot(), digit).state, true);
      for (const binding of activeBindings(active)) {
        expect(binding.keys.some((key) => findBinding(active, key)?.action === binding.action)).toBe(true);
      }
    }
  });

  it('offers q, ? and at least three keys of the moment in 80 columns', () => {
    for (const { digit } of PANELS) {
      const { state } = press(openState(), makeSnapshot(), digit);
      const bar = screenText(makeSnapshot(), state).split('\n').at(-1)!;
      expect(bar).toMatch(/^ \? help {2}q quit/);
      expect(barBindings(activeContexts(state, false)).filter(({ label }) => bar.includes(` ${label} `)).length).toBeGreaterThan(
        4,
      );
    }
  });
});

describe('keys', () => {
  it('have one name each, whatever blessed calls them', () => {
    expect(decodeKey('\r', { name: 'return' })).toEqual([]);
    expect(decodeKey('\r', { name: 'enter' })).toEqual([{ name: 'enter', text: null }]);
    expect(decodeKey('\n', { name: 'linefeed' })).toEqual([{ name: 'enter', text: null }]);
    expect(decodeKey(undefined, { name: 'pagedown' })).toEqual([{ name: 'page-down', text: null }]);
    expect(decodeKey('\x15', { name: 'u', ctrl: true })).toEqual([{ name: 'ctrl-u', text: null }]);
    expect(decodeKey(undefined, { name: 'tab', shift: true })).toEqual([{ name: 'shift-tab', text: null }]);
    expect(decodeKey('G', { name: 'g', shift: true })).toEqual([{ name: 'G', text: 'G' }]);
    expect(decodeKey(' ', { name: 'space' })).toEqual([{ name: 'space', text: ' ' }]);
    expect(decodeKey('é', {})).toEqual([{ name: 'é', text: 'é' }]);
  });

  it('that come with Esc in one read are two keys', () => {
    expect(decodeKey('\x1bq', { name: 'q', meta: true })).toEqual([
      { name: 'escape', text: null },
      { name: 'q', text: 'q' },
    ]);
  });
});
