import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeLatin1, encodeLatin1 } from '../../gdbstub/framing/bytes.ts';
import type { Unit } from '../../gdbstub/framing/decoder.ts';
import { UnitDecoder } from '../../gdbstub/framing/decoder.ts';
import { encodePacket } from '../../gdbstub/framing/encode.ts';
import { cuts, cutsOfText } from '../support/cuts.ts';

/** Units as short text: `+`, `-`, `^C`, `$payload`, `%payload`, `!reason`. */
function show(units: readonly Unit[]): string[] {
  const marks = { ack: '+', nak: '-', interrupt: '^C' } as const;
  return units.map((unit) => {
    if (unit.type === 'packet') return `$${decodeLatin1(unit.payload)}`;
    if (unit.type === 'notification') return `%${decodeLatin1(unit.payload)}`;
    return unit.type === 'corrupt' ? `!${unit.reason}` : marks[unit.type];
  });
}

function decode(text: string, options: { limit?: number; runLength?: boolean } = {}): string[] {
  return show(new UnitDecoder(options).push(encodeLatin1(text)));
}

/** A body as it is sent, with the checksum it needs. */
function sealed(body: string, mark = '$'): string {
  const sum = encodeLatin1(body).reduce((total, byte) => (total + byte) & 0xff, 0);
  return `${mark}${body}#${sum.toString(16).padStart(2, '0')}`;
}

describe('the unit decoder', () => {
  it.each([
    ['acknowledgements and an interrupt between packets', '+$OK#9a-\x03', ['+', '$OK', '-', '^C']],
    ['an empty packet', '$#00', ['$']],
    ['a notification', sealed('Stop:T05', '%'), ['%Stop:T05']],
    ['escapes', sealed('a}\x03b}\x04'), ['$a#b$']],
    ['a run length', '$0* #7a', ['$0000']],
    ['the longest run length', sealed('x*~'), [`$${'x'.repeat(98)}`]],
    ['an interrupt byte inside a packet as data', sealed('a\x03'), ['$a\x03']],
    ['upper-case checksum digits', '$OK#9A', ['$OK']],
    ['noise between packets', 'hello\n$OK#9a\r\n', ['$OK']],
    ['a wrong checksum', '$OK#00$OK#9a', ['!checksum', '$OK']],
    ['a checksum that is no number', '$OK#zz$OK#9a', ['!checksum', '$OK']],
    ['a packet cut off by the next', '$OK$OK#9a', ['!truncated', '$OK']],
    ['an escape without its byte', sealed('a}'), ['!encoding']],
    ['a run length of nothing', sealed('* '), ['!encoding']],
    ['a run length out of range', sealed('0*\x1f'), ['!encoding']],
  ])('reads %s', (_, text, expected) => {
    expect(decode(text)).toEqual(expected);
  });

  it('minds no cut', () => {
    const text = `+${sealed('T05thread:01;')}+${sealed('0* }\x03x')}\x03${sealed('Stop:T05', '%')}-$bad#00$m1,2$OK#9anoise$OK#9a`;
    const whole = decode(text);
    expect(whole).toEqual([
      '+',
      '$T05thread:01;',
      '+',
      '$0000#x',
      '^C',
      '%Stop:T05',
      '-',
      '!checksum',
      '!truncated',
      '$OK',
      '$OK',
    ]);
    for (const chunks of cutsOfText(text)) {
      const decoder = new UnitDecoder();
      expect(show(chunks.flatMap((chunk) => decoder.push(chunk)))).toEqual(whole);
    }
  });

  it('leaves a bare * alone in what a client sends', () => {
    expect(decode(sealed('X10,1:*'), { runLength: false })).toEqual(['$X10,1:*']);
  });

  it('bounds what is sent and what it expands to, and finds the next packet', () => {
    expect(decode(`$${'a'.repeat(500)}#f4$OK#9a`, { limit: 64 })).toEqual(['!oversize', '$OK']);
    expect(decode(`${sealed('a*~'.repeat(10))}$OK#9a`, { limit: 64 })).toEqual(['!oversize', '$OK']);
  });

  it('hands on the bytes of each unit as they came', () => {
    const parts = ['+', sealed('a}\x03'), sealed('0* '), '$bad#00', sealed('Stop:T05', '%'), '\x03'];
    const units = new UnitDecoder().push(encodeLatin1(parts.join('')));
    expect(units.map(({ raw }) => decodeLatin1(raw))).toEqual(parts);
  });

  it('gives back every payload that was encoded, cut anywhere', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }), (payloads) => {
        const bytes = Buffer.concat(payloads.map((payload) => encodePacket(payload)));
        for (const chunks of cuts(bytes)) {
          const decoder = new UnitDecoder();
          const units = chunks.flatMap((chunk) => decoder.push(chunk));
          expect(units.map((unit) => (unit.type === 'packet' ? [...unit.payload] : unit.type))).toEqual(
            payloads.map((payload) => [...payload]),
          );
        }
      }),
      { numRuns: 60 },
    );
  });

  it('takes any bytes without throwing, the same however they are cut', () => {
    const bytes = fc
      .uint8Array({ maxLength: 60 })
      .map((array) => array.map((byte, index) => (byte < 100 ? frequent(byte + index) : byte)));
    fc.assert(
      fc.property(bytes, (input) => {
        const whole = show(new UnitDecoder({ limit: 32 }).push(input));
        for (const chunks of cuts(input)) {
          const decoder = new UnitDecoder({ limit: 32 });
          expect(show(chunks.flatMap((chunk) => decoder.push(chunk)))).toEqual(whole);
        }
      }),
      { numRuns: 200 },
    );
  });
});

/** Makes the protocol's own characters frequent. */
function frequent(value: number): number {
  return '$#*}%+-\x03'.charCodeAt(value % 8);
}
