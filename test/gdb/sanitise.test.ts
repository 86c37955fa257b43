import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openSanitiser, sanitiseLine } from '../../src/gdb/sanitise.ts';
import { cuts } from '../support/cuts.ts';

async function sanitise(chunks: readonly Uint8Array[]): Promise<string> {
  const sanitiser = openSanitiser();
  for (const chunk of chunks) sanitiser.write(Buffer.from(chunk));
  sanitiser.end();
  const out: Buffer[] = [];
  for await (const chunk of sanitiser) out.push(chunk as Buffer);
  return Buffer.concat(out).toString('utf8');
}

describe('the sanitiser of gdb’s output', () => {
  it.each([
    ['a value', '^done,value="0x10 <main+4>"', '^done,value="0x10 <main+4>"'],
    ['UTF-8 in octal', '^done,value="\\303\\251"', '^done,value="é"'],
    ['Latin-1 in octal', '^done,value="\\351t"', '^done,value="\u{fffd}t"'],
    ['control bytes in octal', '^done,value="\\001\\033[31m"', '^done,value="\u{fffd}\u{fffd}[31m"'],
    ['an escaped backslash before digits', '^done,value="\\\\001"', '^done,value="\\\\001"'],
    ['quotes, also in octal', '^done,value="\\"a\\042"', '^done,value="\\"a\\""'],
    ['escapes that gdb-js does not know', '^error,msg="\\a\\e\\v"', '^error,msg="\u{fffd}\u{fffd}\u{fffd}"'],
    ['raw control bytes', '^done,value="\x07\x9b"', '^done,value="\u{fffd}\u{fffd}"'],
    ['a token', '12^done', '12^done'],
  ])('makes %s fit for gdb-js', (_, line, expected) => {
    expect(sanitiseLine(line)).toBe(expected);
  });

  it.each([
    '*stopped',
    '=thread-created,id="1"',
    '~"Reading\\n"',
    '&"warning\\n"',
    '@"target"',
    '(gdb) ',
    '+download',
    'text of a program',
  ])('drops %s', (line) => {
    expect(sanitiseLine(line)).toBeNull();
  });

  it('minds no cut, not even inside a letter or a line end', async () => {
    const text = '~"é"\r\n^done,value="é\\303\\251\\351"\r\n*stopped\n^error,msg="ü"\n(gdb) \n';
    const whole = '^done,value="éé\u{fffd}"\n^error,msg="ü"\n';
    for (const chunks of cuts(new TextEncoder().encode(text))) expect(await sanitise(chunks)).toBe(whole);
  });

  it('leaves gdb-js’s own parser nothing to stumble over, whatever bytes gdb writes', async () => {
    await import('regenerator-runtime/runtime.js');
    const { _parseMI: parse } = createRequire(import.meta.url)('gdb-js') as {
      _parseMI: (line: string) => { type: string; data: unknown };
    };
    expect(() => parse('^done,value="\\351"')).toThrow(URIError);
    expect(() => parse('^error,msg="\\e"')).toThrow(/c-string but/);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
        const record = parse(sanitiseLine(`^done,value="${escapeAsGdb(bytes)}"`)!);
        expect(record).toMatchObject({ type: 'result', state: 'done', data: { value: expect.any(String) as string } });
      }),
    );
  });
});

/** Bytes as gdb writes them inside a C string of MI. */
function escapeAsGdb(bytes: Uint8Array): string {
  const letters: Readonly<Record<number, string>> = {
    7: '\\a',
    8: '\\b',
    9: '\\t',
    10: '\\n',
    12: '\\f',
    13: '\\r',
    27: '\\e',
    34: '\\"',
    92: '\\\\',
  };
  return Array.from(bytes, (byte) => {
    const octal = `\\${byte.toString(8).padStart(3, '0')}`;
    return letters[byte] ?? (byte < 0x20 || byte >= 0x7f ? octal : String.fromCharCode(byte));
  }).join('');
}
