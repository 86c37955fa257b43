import { describe, expect, it } from 'vitest';
import { errorCode } from '../../../src/model/error.ts';
import { LineDecoder } from '../../../src/qemu/qmp/line-decoder.ts';
import { cutsOfText } from '../../support/cuts.ts';

describe('LineDecoder', () => {
  it('gives the same lines wherever the stream is cut', () => {
    for (const chunks of cutsOfText('{"a":"ä€"}\r\n\r\n{"b":1}\r\n{"c"')) {
      const decoder = new LineDecoder();
      expect(chunks.flatMap((chunk) => decoder.push(chunk))).toEqual(['{"a":"ä€"}', '{"b":1}']);
    }
  });

  it('does not keep the memory of a chunk, which the socket may use again', () => {
    const decoder = new LineDecoder();
    const chunk = new TextEncoder().encode('abc');
    decoder.push(chunk);
    chunk.fill(0);
    expect(decoder.push(new TextEncoder().encode('d\n'))).toEqual(['abcd']);
  });

  it('refuses a line without end', () => {
    const decoder = new LineDecoder(8);
    decoder.push(new Uint8Array(8).fill(0x61));
    let thrown: unknown = null;
    try {
      decoder.push(new Uint8Array(1).fill(0x61));
    } catch (error) {
      thrown = error;
    }
    expect(errorCode(thrown)).toBe('QMP_MALFORMED');
  });
});
