import { describe, expect, it } from 'vitest';
import { displayed } from '../../tui/state.ts';
import { update } from '../../tui/update.ts';
import { makeBusy } from './busy-guest.ts';
import { openState, press, screenText } from './draw.ts';
import { CRASH, LISTING, makeCrashed, makeSnapshot, manyLines, NOW } from './guest.ts';

const healthy = makeSnapshot();

/** The source line of the first frame with that pc. */
function placeAt(pc: bigint): { pc: bigint; file: string | null; line: number | null } {
  const frames = [...CRASH.frames, ...healthy.stacks.flatMap((stack) => stack.frames)];
  const { file, line } = frames.find((frame) => frame.pc === pc)!;
  return { pc, file, line };
}

const halted = makeSnapshot({ vm: { status: 'debug', reason: 'breakpoint at serve', since: NOW - 12_000 } });
const open = openState();

describe('leaving', () => {
  it('is q at the top, and nothing else at once', () => {
    expect(press(open, healthy, 'q').effects).toEqual([{ type: 'quit' }]);
    expect(press(open, healthy, 'escape', 'escape').effects).toEqual([]);
  });

  it('asks after the first Ctrl-C and says that the VM keeps running', () => {
    const once = press(open, healthy, 'ctrl-c');
    expect(once.effects).toEqual([]);
    expect(screenText(healthy, once.state)).toContain('press Ctrl-C again or q to quit; the VM keeps running');
    expect(press(once.state, healthy, 'ctrl-c').effects).toEqual([{ type: 'quit' }]);
  });

  it('forgets the first Ctrl-C after three seconds or another key', () => {
    const once = press(open, healthy, 'ctrl-c').state;
    const later = update(once, { type: 'clock', now: NOW + 3001 }, healthy).state;
    expect(press(later, healthy, 'ctrl-c').effects).toEqual([]);
    expect(press(once, healthy, 'j', 'ctrl-c').effects).toEqual([]);
  });

  it('is not done by q inside a layer: that closes the layer', () => {
    const help = press(open, healthy, '?').state;
    const closed = press(help, healthy, 'q');
    expect(closed.effects).toEqual([]);
    expect(closed.state.overlay).toBeNull();
  });

  it('is not done by a q that is typed', () => {
    expect(press(open, healthy, '/', 'q').effects).toEqual([]);
    expect(press(open, healthy, ':', '"q"').effects).toEqual([]);
    expect(press(open, healthy, ':', '"q"', 'enter').effects).toEqual([{ type: 'quit' }]);
  });
});

describe('Esc', () => {
  it('closes one layer at a time, the innermost first', () => {
    const deep = press(open, healthy, '/', '"gc"', 'enter', 'e', 'f', '?').state;
    const layers = [deep];
    for (let count = 0; count < 4; count += 1) layers.push(press(layers.at(-1)!, healthy, 'escape').state);
    expect(
      layers.map((state) => [state.overlay !== null, state.filters.console !== '', state.expanded, state.frozen !== null]),
    ).toEqual([
      [true, true, true, true],
      [false, true, true, true],
      [false, false, true, true],
      [false, false, false, true],
      [false, false, false, false],
    ]);
  });
});

describe('focus', () => {
  it('goes round with Tab and back with Shift-Tab', () => {
    expect(press(open, healthy, 'tab').state.focus).toBe('stacks');
    expect(press(open, healthy, 'tab', 'tab', 'tab').state.focus).toBe('console');
    expect(press(open, healthy, 'shift-tab').state.focus).toBe('metrics');
  });

  it('goes to any panel by its digit, which takes its place on the screen', () => {
    const threads = press(open, healthy, '4').state;
    expect(screenText(healthy, threads)).toContain('worker-1');
    expect(threads.shown).toEqual({ main: 'console', side: 'threads', low: 'metrics' });
  });

  it('goes through the tabs of a place with ] and [', () => {
    expect(press(open, healthy, ']').state.focus).toBe('crash');
    expect(press(open, healthy, '[').state.focus).toBe('bytes');
    expect(press(open, healthy, '2', ']', ']').state.focus).toBe('stacks');
  });

  it('comes back to the console with Esc from a panel that took the whole screen', () => {
    expect(press(open, healthy, 'x', 'escape').state.focus).toBe('console');
  });
});

describe('freezing', () => {
  it('holds the display while the guest goes on, but not the state of the VM', () => {
    const frozen = press(open, healthy, 'f').state;
    const later = makeSnapshot({ vm: { status: 'paused', reason: null, since: NOW }, console: manyLines(3) });
    const text = screenText(later, frozen);
    expect(text).toContain('FROZEN');
    expect(text).toContain('PAUSED by someone else');
    expect(text).not.toContain('line 3 of the log');
    expect(displayed(frozen, later).console).toBe(healthy.console);
    expect(screenText(later, press(frozen, later, 'f').state)).toContain('line 3 of the log');
  });
});

describe('the debugger', () => {
  it('has its keys in the stacks panel only while it holds the guest', () => {
    expect(press(open, halted, '2', 'c').intents).toEqual([{ type: 'resume' }]);
    expect(press(open, halted, '2', 's').intents).toEqual([{ type: 'step', vcpu: 0 }]);
    expect(press(open, healthy, '2', 'c').intents).toEqual([]);
    expect(press(open, healthy, '2', 's').intents).toEqual([]);
    expect(press(open, halted, '1', 's').intents).toEqual([]);
  });

  it('shows its mode in the title of its panel and the state at the top', () => {
    const text = screenText(halted, press(open, halted, '2').state);
    expect(text).toContain('■ STOPPED by unidbg 12s');
    expect(text).toContain('■ STOPPED · debugger');
    expect(text).toContain('breakpoint at serve');
    expect(text.split('\n').at(-1)).toMatch(/c continue\s+s step\s+b break/);
  });

  it('halts only after a yes', () => {
    const asked = press(open, healthy, '2', 'H');
    expect(asked.intents).toEqual([]);
    expect(screenText(healthy, asked.state)).toContain('Halt the guest?');
    expect(press(asked.state, healthy, 'n').intents).toEqual([]);
    expect(press(asked.state, healthy, 'j').intents).toEqual([]);
    expect(press(asked.state, healthy, 'y').intents).toEqual([{ type: 'halt' }]);
  });

  it('asks for a breakpoint by a command already begun', () => {
    expect(press(open, halted, '2', 'b', '"serve"', 'enter').intents).toEqual([{ type: 'break', location: 'serve' }]);
  });

  it('does not step a guest that runs', () => {
    const result = press(open, healthy, ':', '"step"', 'enter');
    expect(result.intents).toEqual([]);
    expect(screenText(healthy, result.state)).toContain(':halt first');
  });

  it('puts the frames of a stop in the place of that vCPU', () => {
    const stopped = makeSnapshot({ ...halted, stop: { vcpu: 0, reason: 'breakpoint 1', frames: CRASH.frames } });
    const text = screenText(stopped, press(open, stopped, '2').state);
    expect(text).toContain('handle_request');
    expect(text).not.toContain('cpu_halt');
  });
});

describe('stacks', () => {
  it('open with Enter, and a frame opens to its source', () => {
    const opened = press(open, healthy, '2', 'j', 'enter');
    expect(opened.intents).toEqual([{ type: 'show-listing', place: placeAt(0x1041f2en) }]);
    const answered = makeSnapshot({ listing: { place: placeAt(0x1041f2en), listing: LISTING } });
    const large = { ...opened.state, expanded: true };
    expect(screenText(answered, large)).toContain('→ 41 │ ');
    expect(screenText(answered, press(large, answered, 'enter').state)).not.toContain('→ 41 │ ');
  });

  it('go from a frame to its caller with u, whose source takes the place of the other', () => {
    const inner = press(open, healthy, '2', 'j', 'enter').state;
    const caller = press(inner, healthy, 'u');
    const stack = healthy.stacks[0]!;
    const { pc, file, line } = stack.frames[1]!;
    expect(caller.intents).toEqual([{ type: 'show-listing', place: { pc, file, line } }]);
    expect(caller.state.lists.stacks.key).toBe(`vcpu:${stack.id}/1`);
    expect([...caller.state.toggled]).toEqual([`vcpu:${stack.id}/1`]);
    expect(press(caller.state, healthy, 'd').state.lists.stacks.key).toBe(`vcpu:${stack.id}/0`);
    const first = press(open, healthy, '2', 'u');
    expect(first.state.lists.stacks.key).toBe(`vcpu:${stack.id}/0`);
  });

  it('and the crash panel take turns at the one listing: each asks again when it is shown again', () => {
    const crashed = makeCrashed();
    const inStacks = press(press(open, crashed, '5').state, crashed, '2', 'j', 'enter').state;
    const other = makeCrashed({ listing: { place: placeAt(0x1041f2en), listing: LISTING } });
    expect(press(inStacks, other, '5').intents).toEqual([{ type: 'show-listing', place: placeAt(0x104b6f5n) }]);
  });

  it('keep the selection on its stack when others come and go', () => {
    const selected = press(open, healthy, '2', 'G').state;
    const fewer = makeSnapshot({ stacks: healthy.stacks.slice(2) });
    expect(selected.lists.stacks.key).toBe('thread:4');
    expect(press(selected, fewer, 'y').state.overlay).toMatchObject({ title: 'stack of worker-0' });
  });

  it('are found from a thread', () => {
    const state = press(open, healthy, '4', 'j', 'enter').state;
    expect(state.focus).toBe('stacks');
    expect(state.lists.stacks.key).toBe('thread:2');
    expect(screenText(healthy, { ...state, expanded: true })).toContain('no unwind rule for this address');
  });

  it('can be read again', () => {
    expect(press(open, healthy, '2', 'r').intents).toEqual([{ type: 'refresh-stacks' }]);
  });
});

describe('a crash', () => {
  const crashed = makeCrashed({ listing: null });

  it('is said at the bottom when it comes, once', () => {
    const told = update(open, { type: 'guest' }, crashed).state;
    expect(screenText(crashed, told)).toContain('✖ fault: null dereference in handle_request (server.c:41)  (5 shows it)');
    expect(update({ ...told, message: null }, { type: 'guest' }, crashed).state.message).toBeNull();
  });

  it('asks for the source of the selected frame, once per frame', () => {
    const shown = press(open, crashed, '5');
    expect(shown.intents).toEqual([{ type: 'show-listing', place: placeAt(0x104b6f5n) }]);
    expect(update(shown.state, { type: 'guest' }, crashed).intents).toEqual([]);
    // The caller of an inlined frame has its pc, but not its line.
    const { pc, file, line } = CRASH.frames[1]!;
    expect(press(shown.state, crashed, 'j').intents).toEqual([{ type: 'show-listing', place: { pc, file, line } }]);
    expect(press(shown.state, crashed, 'j', 'j').intents.at(-1)).toEqual({ type: 'show-listing', place: placeAt(0x104b812n) });
  });

  it('goes to callers with u and back to callees with d, and says where there are no more', () => {
    const caller = press(press(open, crashed, '5').state, crashed, 'u');
    const { pc, file, line } = CRASH.frames[1]!;
    expect(caller.intents).toEqual([{ type: 'show-listing', place: { pc, file, line } }]);
    const back = press(caller.state, crashed, 'd', 'd');
    expect(screenText(crashed, back.state)).toContain('this is the innermost frame');
  });

  it('says what its frames were called with', () => {
    const frames = CRASH.frames.map((frame, index) =>
      index > 0
        ? frame
        : { ...frame, arguments: [{ name: 'connection', type: null, value: '0x10a0', known: true, artificial: false }] },
    );
    const called = makeCrashed({ crashes: [{ ...CRASH, frames }] });
    expect(screenText(called, press(open, called, '5', 'e').state)).toContain('handle_request+');
    expect(screenText(called, press(open, called, '5', 'e').state)).toContain('connection=0x10a0');
  });

  it('gives way to earlier ones with p, and round again', () => {
    const two = makeCrashed({ crashes: [{ ...CRASH, title: 'the first one' }, CRASH] });
    const newest = press(open, two, 'p').state;
    expect(screenText(two, newest)).toContain('2 of 2');
    const earlier = press(newest, two, 'p').state;
    expect(screenText(two, earlier)).toContain('the first one');
    expect(press(earlier, two, 'p').state.crash).toBeNull();
  });

  it('is not shown where there is none', () => {
    expect(screenText(healthy, press(open, healthy, 'p').state)).toContain('no crash so far');
  });
});

describe('memory', () => {
  it('is asked for by address, at least a screenful', () => {
    const { state, intents } = press(open, healthy, ':', '"x 0x1000 64"', 'enter');
    expect(state.focus).toBe('bytes');
    expect(intents).toEqual([{ type: 'show-memory', address: 0x1000n, length: 20 * 16 }]);
  });

  it('is asked for by symbol or register', () => {
    expect(press(open, healthy, ':', '"x rsp 32"', 'enter').intents).toEqual([
      { type: 'show-memory-of', expression: 'rsp', length: 32 },
    ]);
  });

  it('moves by rows, also before the answer has come', () => {
    const moved = press(open, healthy, ':', '"x 0x1000"', 'enter', 'j', 'j', 'k').intents.slice(1);
    expect(moved.map((intent) => (intent.type === 'show-memory' ? intent.address : null))).toEqual([0x1010n, 0x1020n, 0x1010n]);
  });

  it('never goes below zero', () => {
    expect(press(open, healthy, ':', '"x 0x0"', 'enter', 'k').intents.at(-1)).toMatchObject({ address: 0n });
  });
});

describe('commands', () => {
  it('say what is wrong with them and how to do it right', () => {
    const said = (line: string): string =>
      screenText(healthy, press(open, healthy, ':', `"${line}"`, 'enter').state)
        .split('\n')
        .at(-1)!;
    expect(said('nonsense')).toContain('no command :nonsense');
    expect(said('halt now')).toContain('takes no argument');
    expect(said('b')).toContain(':b LOC');
    expect(said('p')).toContain(':p EXPR');
  });

  it('are completed by Tab as far as is certain, names and functions', () => {
    expect(press(open, healthy, ':', '"hal"', 'tab').state.prompt?.text).toBe('halt');
    expect(press(open, healthy, ':', '"de"', 'tab').state.prompt?.text).toBe('delete');
    expect(press(open, healthy, ':', '"b net"', 'tab').state.prompt?.text).toBe('b network_poll');
  });

  it('may be cut short where only one begins so', () => {
    expect(press(open, healthy, ':', '"del"', 'enter').intents).toEqual([{ type: 'delete-breakpoints' }]);
  });

  it('come back with Up', () => {
    const after = press(open, healthy, ':', '"b main"', 'enter', ':', '"halt"', 'enter', ':').state;
    expect(press(after, healthy, 'up').state.prompt?.text).toBe('halt');
    expect(press(after, healthy, 'up', 'up').state.prompt?.text).toBe('b main');
    expect(press(after, healthy, 'up', 'up', 'down', 'down').state.prompt?.text).toBe('');
  });

  it('are edited like any line', () => {
    expect(press(open, healthy, ':', '"b mainn"', 'backspace').state.prompt?.text).toBe('b main');
    expect(press(open, healthy, ':', '"b main"', 'ctrl-w').state.prompt?.text).toBe('b ');
    expect(press(open, healthy, ':', 'backspace').state.prompt).toBeNull();
  });

  it('evaluate through gdb and show the answer over the screen', () => {
    const asked = press(open, healthy, ':', '"p counter"', 'enter');
    expect(asked.intents).toEqual([{ type: 'evaluate', expression: 'counter' }]);
    expect(screenText(healthy, asked.state)).toContain('asking gdb');
    const answered = makeSnapshot({ evaluations: [{ expression: 'counter', value: '42', error: null }] });
    const text = screenText(answered, asked.state);
    expect(text).toContain('> counter\n   42');
    expect(text).not.toContain('asking gdb');
  });
});

describe('copy and raw', () => {
  it('copy the console as it was printed, unwrapped, with the symbolised stack of a crash', () => {
    const crashed = makeCrashed();
    const [effect] = press(open, crashed, 'c').effects;
    expect(effect).toMatchObject({ type: 'copy' });
    const text = effect?.type === 'copy' ? effect.text : '';
    expect(text).toContain('*** system halted');
    expect(text).toContain('#1 0x000000000104b6f5 handle_request+0x1c (test/guests/server.c:41) [registers]');
  });

  it('copy the selected metric, stack, thread and crash', () => {
    const copied = (...keys: string[]): string => {
      const effect = press(open, makeCrashed(), ...keys, 'c').effects.at(-1);
      return effect?.type === 'copy' ? effect.text : '';
    };
    expect(copied('3')).toBe('system.cpu.time{cpu=0} 12.4s');
    expect(copied('2')).toContain('vcpu 0 halted\n  #0 0x1041f2e cpu_halt');
    expect(copied('4', 'j')).toBe('2 gc blocked mutex heap_lock');
    expect(copied('5')).toContain('rdi 0x8');
    expect(copied('7')).toContain('demo.elf');
  });

  it('show what is selected as JSON that can be scrolled and closed', () => {
    const { state } = press(open, makeCrashed(), '5', 'y');
    expect(state.overlay?.kind).toBe('text');
    expect(JSON.parse(state.overlay?.kind === 'text' ? state.overlay.lines.join('\n') : '')).toMatchObject({
      faultAddress: '0x8',
    });
    expect(press(state, makeCrashed(), 'G').state.overlay?.top).toBeGreaterThan(0);
  });

  it('say so where there is nothing to copy', () => {
    const result = press(open, makeSnapshot({ memory: null }), 'x', 'c');
    expect(result.effects).toEqual([]);
    expect(screenText(healthy, result.state)).toContain('nothing to copy');
  });
});

describe('any input', () => {
  it('leaves a drawable screen of exactly its size, whatever keys are pressed on whatever guest', () => {
    const keys = [
      'j',
      'k',
      'G',
      'g',
      'tab',
      'shift-tab',
      '1',
      '2',
      '3',
      '4',
      '5',
      '6',
      '7',
      '8',
      '9',
      'S',
      'enter',
      'e',
      'f',
      'w',
      'p',
      'y',
      'c',
      '/',
    ];
    keys.push(
      '?',
      ':',
      'escape',
      'n',
      'N',
      'ctrl-d',
      'ctrl-u',
      'page-up',
      'page-down',
      'H',
      'x',
      'r',
      '[',
      ']',
      's',
      'b',
      'up',
      'backspace',
    );
    const empty = makeSnapshot({
      identity: null,
      console: [],
      stacks: [],
      threads: [],
      metrics: new Map(),
      images: [],
      registers: [],
    });
    let seed = 7;
    for (const snapshot of [healthy, makeCrashed(), halted, empty, makeBusy()]) {
      for (const [columns, rows] of [
        [80, 24],
        [200, 50],
        [60, 15],
        [20, 5],
      ] as const) {
        let state = openState(columns, rows);
        for (let count = 0; count < 60; count += 1) {
          seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
          state = press(state, snapshot, keys[seed % keys.length]!).state;
          const lines = screenText(snapshot, state).split('\n');
          expect(lines).toHaveLength(rows);
        }
      }
    }
  });
});
