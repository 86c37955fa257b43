import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../tui/commands.ts';
import { openState, press } from './draw.ts';
import { makeSnapshot } from './guest.ts';

describe('the commands', () => {
  it('have no name twice', () => {
    const names = COMMANDS.flatMap((command) => command.names);
    expect(new Set(names).size).toBe(names.length);
  });

  it('read lengths and refuse what is none', () => {
    const memory = (line: string): unknown => press(openState(), makeSnapshot(), ':', `"${line}"`, 'enter').intents[0];
    expect(memory('x main 4KiB')).toEqual({ type: 'show-memory-of', expression: 'main', length: 4096 });
    expect(memory('x main 9999MiB')).toEqual({ type: 'show-memory-of', expression: 'main', length: 65_536 });
    expect(memory('x main 12parsecs')).toBeUndefined();
  });
});
