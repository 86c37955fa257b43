import { describe, expect, it } from 'vitest';
import { findAddresses } from '../../src/console/addresses.ts';

function found(text: string): string[] {
  return findAddresses(text).map(({ start, end, address }) => `${text.slice(start, end)}=${address.toString(16)}`);
}

describe('addresses in text', () => {
  it('are 0x words and bare 16-digit words, wherever they stand', () => {
    expect(found('at 0x11b6f5 [<ffffffff81012345>] ffffc00002a07f00:   ffffffffb4cac7ea, pc=0x61E301.')).toEqual([
      '0x11b6f5=11b6f5',
      'ffffffff81012345=ffffffff81012345',
      'ffffc00002a07f00=ffffc00002a07f00',
      'ffffffffb4cac7ea=ffffffffb4cac7ea',
      '0x61E301=61e301',
    ]);
  });

  it('are not small numbers, parts of words, or longer digit strings', () => {
    expect(found('flags 0x10 0x00000000 build-b9c3671d9b95cdab590e223b3b01a8f18c09483c id_0x123456 0x12345678901234567')).toEqual(
      [],
    );
  });

  it('are sixteen a line at most, and only in its first 4096 characters', () => {
    expect(findAddresses('0x123456 '.repeat(100))).toHaveLength(16);
    expect(findAddresses(`${' '.repeat(5000)}0x123456`)).toEqual([]);
  });
});
