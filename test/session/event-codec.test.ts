// What a recording keeps of frames: arguments where there are any, and nothing in their place where nobody asked.

import { describe, expect, it } from 'vitest';
import type { GuestEvent } from '../../src/model/event.ts';
import type { Frame } from '../../src/model/frame.ts';
import { decodeEvent, encodeEvent } from '../../src/session/event-codec.ts';

const FRAME: Frame = {
  ...{ index: 0, pc: 0x1000n, trust: 'cfi', cfa: 0x7000n, function: 'divide', functionOffset: 4, file: 'app.c', line: 3 },
  ...{ column: null, inlined: false, module: 'app', status: 'symbolicated' },
};
const CALLED: Frame = {
  ...FRAME,
  arguments: [
    { name: 'a', type: 'int', value: '7', known: true, artificial: false },
    { name: 'this', type: null, value: '<optimized out>', known: false, artificial: true },
  ],
};
const stopped = (frames: readonly Frame[]): GuestEvent => ({ at: 1, type: 'stopped', vcpu: 0, reason: 'breakpoint', frames });

describe('an event with frames', () => {
  it.each([
    ['with arguments', [CALLED]],
    ['called with nothing', [{ ...FRAME, arguments: [] }]],
    ['without arguments', [FRAME]],
  ])('%s is read back as it was', (_, frames) => {
    expect(decodeEvent(encodeEvent(stopped(frames)))).toStrictEqual(stopped(frames));
  });

  it('is refused when an argument is none', () => {
    const line = encodeEvent(stopped([CALLED])).replace('"known":true', '"known":"yes"');
    expect(() => decodeEvent(line)).toThrow(expect.objectContaining({ code: 'RECORDING_MALFORMED' }) as Error);
  });
});
