// Many VMs on one screen: their rows, the way into one and back, and what is told of those that nobody looks at.

import { describe, expect, it } from 'vitest';
import type { FleetMember } from '../../src/model/fleet.ts';
import type { Intent } from '../../src/model/intent.ts';
import { drawFleet } from '../../tui/fleet/draw.ts';
import type { FleetState } from '../../tui/fleet/state.ts';
import { initialFleet } from '../../tui/fleet/state.ts';
import { updateFleet } from '../../tui/fleet/update.ts';
import type { Effect } from '../../tui/outcome.ts';
import { lineText, lineWidth, toCells } from '../../tui/text.ts';
import { FLOWS, makeBusy, makeFleet, makeMember } from './busy-guest.ts';
import { CRASH, makeCrashed, makeSnapshot, NOW } from './guest.ts';

const fleet = makeFleet();

function openFleet(columns = 80, rows = 24): FleetState {
  return { ...initialFleet({ size: { columns, rows }, now: NOW - 65_000 }), now: NOW };
}

function pressIn(
  state: FleetState,
  members: readonly FleetMember[],
  ...keys: readonly string[]
): { state: FleetState; effects: Effect[]; sent: { id: string; intent: Intent }[] } {
  const result = { state, effects: [] as Effect[], sent: [] as { id: string; intent: Intent }[] };
  for (const name of keys) {
    const next = updateFleet(result.state, { type: 'key', key: { name, text: name.length === 1 ? name : null } }, members);
    result.state = next.state;
    result.effects.push(...next.effects);
    result.sent.push(...next.intents);
  }
  return result;
}

const textOf = (members: readonly FleetMember[], state: FleetState): string =>
  drawFleet(members, state)
    .map((line) => lineText(line).trimEnd())
    .join('\n');
const namesIn = (text: string): string[] => [...text.matchAll(/^ (web-1|web-2|dns|new|old) /gm)].map((match) => match[1]!);

describe('the overview', () => {
  it('has a row for each VM, whatever became of it, those in trouble first', () => {
    const text = textOf(fleet, openFleet());
    expect(namesIn(text)).toEqual(['dns', 'web-1', 'old', 'web-2', 'new']);
    expect(text).toContain('✖ fault: null dereference in handle_request (server.c:41)');
    expect(text).toContain('✖ cannot be attached: old (pid 17) has no monitor');
    expect(text).toMatch(/web-1 +nanos +● running +37 % █+░ +55\.9 MiB +5\.0/);
    expect(text).toContain('5 VMs  2 running  ✖ 1 crashed   ! 1 not well  1 not attached');
  });

  it('sorts by s and the other way by S', () => {
    const sorted = (...keys: string[]): string[] => namesIn(textOf(fleet, pressIn(openFleet(), fleet, ...keys).state));
    expect(sorted('s')).toEqual(['dns', 'new', 'old', 'web-1', 'web-2']);
    expect(sorted('s', 'S')).toEqual(['web-2', 'web-1', 'old', 'new', 'dns']);
    expect(sorted('s', 's').slice(0, 2)).toEqual(['web-1', 'web-2']);
    expect(sorted('s', 's', 's', 's', 's')).toEqual(sorted());
  });

  it('filters by what is typed, letter by letter, and Esc drops it', () => {
    const typed = pressIn(openFleet(), fleet, '/', 'n', 'a', 'n', 'o').state;
    expect(namesIn(textOf(fleet, typed))).toEqual(['web-1', 'web-2']);
    const kept = pressIn(typed, fleet, 'enter').state;
    expect(textOf(fleet, kept)).toContain('/nano  2 of 5');
    expect(namesIn(textOf(fleet, pressIn(kept, fleet, 'escape').state))).toHaveLength(5);
  });

  it('keeps the selection on its VM when others come and go, and shows what is wrong with it in full and the end of its console', () => {
    const second = pressIn(openFleet(), fleet, 'j').state;
    expect(second.position.key).toBe('web-1');
    expect(textOf(fleet, second)).toContain('─ web-1 ─');
    expect(textOf(fleet, second)).toContain('find what grows, or give the VM more');
    expect(textOf(fleet, second)).toContain('alloc: pool "replies" is empty');
    const more = [makeMember('another', makeCrashed()), ...fleet];
    expect(textOf(more, { ...second, size: { columns: 80, rows: 40 } })).toContain('─ web-1 ─');
  });

  it('fills every size exactly', () => {
    for (const [columns, rows] of [
      [80, 24],
      [200, 50],
      [60, 15],
      [110, 30],
      [20, 5],
    ] as const) {
      const lines = drawFleet(fleet, openFleet(columns, rows));
      expect(lines).toHaveLength(rows);
      for (const line of lines) expect(lineWidth(line)).toBeLessThanOrEqual(columns);
    }
  });

  it('says that no VM is there yet', () => {
    expect(textOf([], openFleet())).toContain('no VM yet');
  });

  it('is left by q, and says that the VMs keep running', () => {
    expect(pressIn(openFleet(), fleet, 'q').effects).toEqual([{ type: 'quit' }]);
    expect(textOf(fleet, pressIn(openFleet(), fleet, 'escape').state)).toContain('q quits; the VMs keep running');
    expect(pressIn(openFleet(), fleet, 'ctrl-c', 'ctrl-c').effects).toEqual([{ type: 'quit' }]);
  });

  it('explains its keys', () => {
    const help = pressIn(openFleet(), fleet, '?');
    expect(textOf(fleet, help.state)).toContain('give this VM the whole screen');
    expect(textOf(fleet, pressIn(help.state, fleet, 'q').state)).toContain('0 VMs');
  });
});

describe('one of many', () => {
  it('has the whole screen after Enter, and 0 or Esc go back to where one was', () => {
    const inside = pressIn(openFleet(), fleet, 'j', 'enter').state;
    expect(inside.shown).toBe('web-1');
    expect(textOf(fleet, inside)).toContain('━ 1 Console ━ 5 Crash');
    expect(textOf(fleet, inside).split('\n').at(-1)).toContain('0 VMs');
    for (const key of ['0', 'escape']) {
      const back = pressIn(inside, fleet, key);
      expect(back.state.shown).toBeNull();
      expect(back.effects).toEqual([]);
      expect(back.state.position.key).toBe('web-1');
    }
  });

  it('keeps its own panels and filters while another is looked at', () => {
    const { state } = pressIn(openFleet(), fleet, 'j', 'enter', '9', 'e', '0', 'k', 'enter', '0', 'j', 'enter');
    expect(textOf(fleet, state)).toContain('━ 9 Net');
    expect(textOf(fleet, state)).toContain(FLOWS[0]!.remote.address);
  });

  it('closes its own layers with Esc before it goes back', () => {
    const { state } = pressIn(openFleet(), fleet, 'j', 'enter', 'e', '?', 'escape', 'escape');
    expect(state.shown).toBe('web-1');
    expect(pressIn(state, fleet, 'escape').state.shown).toBeNull();
  });

  it('gets the wishes that are made on its screen, no other does', () => {
    const { sent } = pressIn(openFleet(), fleet, 'j', 'enter', '2', 'r');
    expect(sent).toEqual([{ id: 'web-1', intent: { type: 'refresh-stacks' } }]);
  });

  it('cannot be opened while it is not attached: the reason is said', () => {
    const refused = pressIn(openFleet(), fleet, 'j', 'j', 'enter').state;
    expect(refused.shown).toBeNull();
    expect(textOf(fleet, refused).split('\n').at(-1)).toContain('has no monitor');
    expect(textOf(fleet, pressIn(openFleet(), fleet, 'G', 'enter').state)).toContain('new is being attached');
  });

  it('fits the terminal as it is now', () => {
    const inside = pressIn(openFleet(), fleet, 'j', 'enter').state;
    const { state } = updateFleet(inside, { type: 'resize', size: { columns: 200, rows: 50 } }, fleet);
    expect(drawFleet(fleet, state)).toHaveLength(50);
  });
});

describe('a VM that nobody looks at', () => {
  const healthy = [makeMember('a', makeSnapshot()), makeMember('b', makeSnapshot())];
  const crashed = [healthy[0]!, makeMember('b', makeCrashed())];
  const news = { type: 'guest' } as const;

  it('is told of when it crashes, once, wherever one is', () => {
    const calm = updateFleet(openFleet(), news, healthy).state;
    const told = updateFleet(calm, news, crashed).state;
    expect(told.message?.text).toBe(`✖ b: ${CRASH.kind}: ${CRASH.title}`);
    expect(updateFleet({ ...told, message: null }, news, crashed).state.message).toBeNull();
    const inside = updateFleet(pressIn(calm, healthy, 'enter').state, news, crashed).state;
    expect(textOf(crashed, inside).split('\n').at(-1)).toContain('✖ b: fault: null dereference');
  });

  it('is told of when it is about to fail', () => {
    const calm = updateFleet(openFleet(), news, healthy).state;
    const alarmed = updateFleet(calm, news, [healthy[0]!, makeMember('b', makeBusy())]).state;
    expect(alarmed.message?.text).toContain('! b: memory is full in 57 s');
  });
});

describe('a hundred VMs', () => {
  const many = Array.from({ length: 100 }, (_, index) => makeMember(`vm-${index}`, index % 7 === 0 ? makeCrashed() : makeBusy()));

  it('scroll, and take less than 20 ms a frame', () => {
    const { state } = pressIn(openFleet(200, 50), many, 'G');
    expect(textOf(many, state)).toContain('vm-99 ');
    const times = Array.from({ length: 15 }, () => {
      const from = performance.now();
      drawFleet(many, state).map((line) => toCells(line, 200));
      return performance.now() - from;
    });
    // The best of many: this machine also runs other tests.
    expect(Math.min(...times)).toBeLessThan(20);
  });
});
