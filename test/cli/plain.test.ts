// Who reads plain lines has a terminal; who wrote the recording, the dump or its symbols may be a stranger.

import { describe, expect, it } from 'vitest';
import { newPlainState, plainLines } from '../../src/cli/plain.ts';
import type { GuestEvent } from '../../src/model/event.ts';
import { decodeEvent, encodeEvent } from '../../src/session/event-codec.ts';

const HARMFUL = '\x1b]0;title\x07\x9b31m\u202e\x7f\r\b';

const EVENTS: readonly GuestEvent[] = [
  { at: 1, type: 'vm', status: 'paused', reason: HARMFUL },
  { at: 2, type: 'console', line: { number: 1, source: HARMFUL, text: HARMFUL, partial: false, notes: [] } },
  { at: 3, type: 'diagnostic', diagnostic: { code: HARMFUL, message: HARMFUL } },
  { at: 4, type: 'lost', count: 1, what: HARMFUL },
  { at: 5, type: 'finding', finding: { check: HARMFUL, severity: 'warning', message: HARMFUL, active: true } },
];

describe('plain lines', () => {
  it('carry no escape sequence, whatever event says it', () => {
    const said = EVENTS.flatMap((event) => plainLines(event, newPlainState()));
    expect(said).toHaveLength(EVENTS.length);
    for (const line of said) expect(line).toContain('\ufffd]0;title');
    expect(said.join('\n')).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/);
  });

  it('as JSON carry none either, and lose nothing', () => {
    const event: GuestEvent = { at: 1, type: 'diagnostic', diagnostic: { code: 'x', message: HARMFUL } };
    const line = encodeEvent(event);
    expect(line).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
    expect(decodeEvent(line)).toEqual(event);
  });
});
