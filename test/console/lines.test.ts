import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DecodedLine, LineDecoder, MAX_LINE } from '../../src/console/lines.ts';
import { cuts } from '../support/cuts.ts';

function decode(pieces: readonly Uint8Array[]): DecodedLine[] {
  const decoder = new LineDecoder();
  return [...pieces.flatMap((piece) => decoder.push(piece)), ...decoder.end()];
}

/** Lines of `latin1`, one byte a character. */
function lines(latin1: string): string[] {
  return decode([Buffer.from(latin1, 'latin1')]).map((line) => line.text);
}

const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/u;

describe('line ends', () => {
  it('are LF, CRLF, and the CR CR LF of xenconsoled', () => {
    expect(lines('a\nb\r\nc\r\r\nd\n\ne')).toEqual(['a', 'b', 'c', 'd', '', 'e']);
  });

  it('a lone CR goes back to the start: a progress line shows its last state', () => {
    expect(lines('10%\r50%\r100% done\n')).toEqual(['100% done']);
  });

  it('what the text after a lone CR does not reach is still seen, as on a terminal', () => {
    expect(lines('a long message\rshort\n')).toEqual(['shortg message']);
  });

  it('what is erased behind the cursor is gone', () => {
    expect(lines('section_start:1560896352:step\r\x1b[0Kpanic: x\nold\rne\x1b[Kw\nold\r\x1b[2K\nkept\x1b[0K\n')).toEqual([
      'panic: x',
      'new',
      '',
      'kept',
    ]);
  });

  it('LF CR order leaves no trace of the CR', () => {
    expect(lines('a\n\rb\n\r')).toEqual(['a', 'b']);
  });
});

describe('text', () => {
  it('UTF-8 letters of two to four bytes come through', () => {
    expect(decode([Buffer.from('é € 😀 кот\n')]).map((line) => line.text)).toEqual(['é € 😀 кот']);
  });

  it('bytes that are no UTF-8 are shown, none is lost', () => {
    expect(lines('a\xffb\xc3(\xe2\x82 x\xed\xa0\x80\xf5\xc0\xaf\n')).toEqual([
      'a\\xffb\\xc3(\\xe2\\x82 x\\xed\\xa0\\x80\\xf5\\xc0\\xaf',
    ]);
  });

  it('NUL and BEL are dropped, other controls are shown', () => {
    expect(lines('a\0b\x07c\x08d\x0b\x0c\x0e\x7f\n')).toEqual(['abc\\x08d\\x0b\\x0c\\x0e\\x7f']);
  });

  it('tabs go to the next column of eight', () => {
    expect(lines('\tx\tyy\n')).toEqual(['        x       yy']);
  });

  it('bidi controls, zero-width characters and tags are shown by number', () => {
    expect(decode([Buffer.from('a\u202eb\u200bc\ufeffd\u{e0041}\u2066\n')]).map((line) => line.text)).toEqual([
      'a\\u{202e}b\\u{200b}c\\u{feff}d\\u{e0041}\\u{2066}',
    ]);
  });
});

describe('control functions', () => {
  it('CSI, OSC, DCS and character set selections vanish whole', () => {
    expect(lines('\x1b[1;31mred\x1b[0m \x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1bP1;2q#0~\x1b\\c\x1b(Bd\x1b=e\n')).toEqual([
      'red abcde',
    ]);
  });

  it('their C1 forms vanish too', () => {
    expect(decode([Buffer.from('\u009b31mred\u009d0;title\u009c!\u0085\n')]).map((line) => line.text)).toEqual(['red!\\x85']);
  });

  it('a sequence that is cut off by the end of the line or of the stream takes nothing with it', () => {
    expect(lines('a\x1b[12\nb\x1b]0;evil\nc\x1b')).toEqual(['a', 'b', 'c']);
  });

  it('a broken sequence ends where it breaks', () => {
    expect(lines('\x1b[3\x1b[1mx\x1b[4\x18y\x1b[\xffz\n')).toEqual(['xy\\xffz']);
  });

  it('a string without an end gives the text back after 4 KiB', () => {
    expect(lines(`\x1b]${'x'.repeat(5000)}\n`)[0]?.length).toBeGreaterThan(800);
  });
});

describe('long and unfinished lines', () => {
  it('a line longer than 16 KiB comes in marked pieces, nothing lost', () => {
    const long = 'x'.repeat(40_000);
    const pieces = decode([Buffer.from(`${long}\nshort\n`)]);
    expect(pieces.map((piece) => [piece.text.length, piece.partial, piece.continuation])).toEqual([
      [MAX_LINE, true, false],
      [MAX_LINE, true, true],
      [40_000 - 2 * MAX_LINE, false, true],
      [5, false, false],
    ]);
  });

  it('a prompt is given when flushed, once, and its rest continues it', () => {
    const decoder = new LineDecoder();
    expect(decoder.push(Buffer.from('login: '))).toEqual([]);
    expect(decoder.flush()).toEqual([{ text: 'login: ', partial: true, continuation: false }]);
    expect(decoder.flush()).toEqual([]);
    expect(decoder.push(Buffer.from('root\nok\n'))).toEqual([
      { text: 'root', partial: false, continuation: true },
      { text: 'ok', partial: false, continuation: false },
    ]);
  });

  it('a flush keeps an unfinished letter for later, the end shows it', () => {
    const decoder = new LineDecoder();
    decoder.push(Buffer.from('a\xe2\x82', 'latin1'));
    expect(decoder.flush()[0]?.text).toBe('a');
    decoder.push(Buffer.from('\xac', 'latin1'));
    expect(decoder.flush()[0]?.text).toBe('€');
    decoder.push(Buffer.from('\xf0\x9f', 'latin1'));
    expect(decoder.end()[0]?.text).toBe('\\xf0\\x9f');
  });
});

describe('chunks', () => {
  it('where they end changes nothing', () => {
    const bytes = Buffer.from(
      'plain\r\nx\r\r\nпривет 😀\n\x1b[31;1mred\x1b[0m\x1b]0;t\x1b\\ tab\tend\r10%\r20%\n\xff\xc3\x28\u202e\n\0last',
      'utf8',
    );
    const whole = decode([bytes]);
    for (const pieces of cuts(bytes)) expect(decode(pieces)).toEqual(whole);
  });

  it('any bytes in any pieces give the same safe lines', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .array(
          fc.constantFrom(
            '\x1b[',
            '\x1b]',
            '\u009b',
            '\n',
            '\r',
            '\r\n',
            'é',
            '\t',
            '31m',
            ';',
            '\x07',
            'a',
            '\u202e',
            '\ufeff',
            '😀',
          ),
          { maxLength: 60 },
        )
        .map((parts) => new Uint8Array(Buffer.from(parts.join('')))),
    );
    fc.assert(
      fc.property(noise, fc.integer({ min: 1, max: 20 }), (bytes, length) => {
        const whole = decode([bytes]);
        const pieces = Array.from({ length: Math.ceil(bytes.length / length) }, (_, index) =>
          bytes.subarray(index * length, (index + 1) * length),
        );
        expect(decode(pieces)).toEqual(whole);
        for (const line of whole) {
          expect(line.text).not.toMatch(UNSAFE);
          expect(line.text.length).toBeLessThanOrEqual(MAX_LINE);
        }
      }),
      { numRuns: 500 },
    );
  });
});
