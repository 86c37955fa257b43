// What Runtime.exceptionThrown tells becomes the crash that Node.js prints.

import { describe, expect, it } from 'vitest';
import { decodeException, joinStacks } from '../../src/inspector/exception.ts';
import { reportedFrame } from '../../src/model/console-text.ts';

const at = (functionName: string, url: string, lineNumber: number, columnNumber: number): object => ({
  ...{ functionName, scriptId: '1', url, lineNumber, columnNumber },
});

/** As Node.js 24 sends it. */
function thrown(exception: object, callFrames: readonly object[] = []): object {
  return {
    timestamp: 1,
    exceptionDetails: {
      ...{ exceptionId: 1, text: 'Uncaught', lineNumber: 0, columnNumber: 32, url: '/app/main.js' },
      stackTrace: { callFrames },
      exception,
    },
  };
}

const ERROR = {
  type: 'object',
  subtype: 'error',
  className: 'TypeError',
  description:
    'TypeError: no order\nof that number\n    at Desk.load (/app/main.js:1:33)\n    at async file:///app/mod%C3%BCl.mjs:2:4\n    at new Promise (<anonymous>)',
};

describe('an uncaught error', () => {
  it('has its message, place and frames, counted from 1', () => {
    expect(decodeException(thrown(ERROR), 1)).toMatchObject({
      ...{ kind: 'exception', runtime: 'v8', ordinal: 1, firstLine: 0, lastLine: 0 },
      message: 'TypeError: no order\nof that number',
      location: { file: '/app/main.js', line: 1 },
      frames: [
        { function: 'Desk.load', file: '/app/main.js', line: 1, column: 33 },
        { function: null, file: '/app/modül.mjs', line: 2, column: 4 },
        { function: 'new Promise', file: null },
      ],
    });
  });

  it('has what the inspector knows of the stack behind what the error says', () => {
    const description = 'Error: deep\n    at Desk.load (/app/main.js:1:33)';
    const frames = [at('load', 'file:///app/main.js', 0, 32), at('outer', 'file:///app/main.js', 8, 2)];
    expect(decodeException(thrown({ ...ERROR, description }, frames), 1).frames).toMatchObject([
      { function: 'Desk.load', line: 1, column: 33 },
      { function: 'outer', file: '/app/main.js', line: 9, column: 3 },
    ]);
  });

  it('made elsewhere than thrown keeps the stack of where it was made', () => {
    const description = 'Error: made\n    at make (/app/main.js:1:1)';
    const frames = decodeException(thrown({ ...ERROR, description }, [at('rethrow', '/app/main.js', 4, 4)]), 1).frames;
    expect(frames).toMatchObject([{ function: 'make' }]);
  });
});

describe('what is thrown and no error', () => {
  it.each([
    [{ type: 'string', value: 'text' }, "Uncaught 'text'"],
    [{ type: 'number', value: 17, description: '17' }, 'Uncaught 17'],
    [{ type: 'undefined' }, 'Uncaught undefined'],
    [{ type: 'object', subtype: 'null', value: null }, 'Uncaught null'],
    [
      { type: 'object', className: 'Object', description: 'Object', preview: { properties: [{ name: 'code', value: '17' }] } },
      'Uncaught Object {code: 17}',
    ],
  ])('%j is told in words', (exception, message) => {
    expect(decodeException(thrown(exception, [at('', '', 0, 0)]), 1)).toMatchObject({
      message,
      frames: [{ function: null, file: null }],
    });
  });
});

describe('a hostile guest', () => {
  it('cannot reach the terminal, nor make frames without end', () => {
    const frames = Array.from({ length: 5000 }, () => at('\u001b[31mf', 'file:///%ff\u0007', 1, 1));
    const crash = decodeException(thrown({ ...ERROR, description: `E: \u001b[2J\n${'x\n'.repeat(1e5)}` }, frames), 1);
    expect(crash.message.split('\n')).toHaveLength(20);
    expect(JSON.stringify(crash)).not.toMatch(/\\u001b|\\u0007/);
    expect(crash.frames).toHaveLength(200);
  });

  it.each([null, 7, {}, { exceptionDetails: null }, thrown({ ...ERROR, type: 3 }), thrown(ERROR, [at('f', 'u', 1e300, 0)])])(
    'that sends %j is refused',
    (params) => {
      expect(() => decodeException(params, 1)).toThrow(expect.objectContaining({ code: 'INSPECTOR_MALFORMED' }) as Error);
    },
  );
});

describe('two stacks', () => {
  const frame = (line: number) => reportedFrame({ function: 'f', file: 'a.js', line, column: 1 });
  it('are one where their places agree', () => {
    expect(joinStacks([frame(1)], [frame(1), frame(2)])).toEqual([frame(1), frame(2)]);
    expect(joinStacks([frame(1)], [frame(2), frame(3)])).toEqual([frame(1)]);
    expect(joinStacks([frame(1), frame(2)], [frame(1)])).toEqual([frame(1), frame(2)]);
    expect(joinStacks([], [frame(2)])).toEqual([frame(2)]);
  });
});
