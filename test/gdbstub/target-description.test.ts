import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRspError, RspError } from '../../gdbstub/error.ts';
import { readTargetDescription } from '../../gdbstub/target-description/description.ts';
import { parseXml } from '../../gdbstub/target-description/xml.ts';

async function describeFrom(files: Readonly<Record<string, string>>): ReturnType<typeof readTargetDescription> {
  return readTargetDescription(async (annex) => {
    const text = files[annex];
    if (text === undefined) throw new RspError('RSP_REFUSED', `no ${annex}`);
    return text;
  });
}

const QEMU_TARGET =
  '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>i386:x86-64</architecture><xi:include href="i386-64bit.xml"/></target>';
const QEMU_CORE = `<?xml version="1.0"?>
<!-- Copyright (C) 2010-2017 Free Software Foundation, Inc. -->
<!DOCTYPE feature SYSTEM "gdb-target.dtd">
<feature name="org.gnu.gdb.i386.core">
  <flags id="x64_eflags" size="4"><field name="CF" start="0" end="0"/></flags>
  <reg name="rax" bitsize="64" type="int64" regnum="0"/>
  <reg name="rbx" bitsize="64" type="int64"/>
  <reg name="eflags" bitsize="32" type="x64_eflags" regnum='17'/>
  <reg name="cs" bitsize="32" type="int32"/>
</feature>`;

describe('a target description', () => {
  it('is read through its includes, registers numbered on from the last', async () => {
    expect(await describeFrom({ 'target.xml': QEMU_TARGET, 'i386-64bit.xml': QEMU_CORE })).toEqual({
      architecture: 'i386:x86-64',
      registers: [
        { name: 'rax', number: 0, bits: 64, type: 'int64' },
        { name: 'rbx', number: 1, bits: 64, type: 'int64' },
        { name: 'eflags', number: 17, bits: 32, type: 'x64_eflags' },
        { name: 'cs', number: 18, bits: 32, type: 'int32' },
      ],
    });
  });

  it('that includes itself is refused, not followed for ever', async () => {
    const files = { 'target.xml': '<target><xi:include href="target.xml"/></target>' };
    await expect(describeFrom(files)).rejects.toMatchObject({ code: 'RSP_MALFORMED' });
    const wide = { 'target.xml': `<target>${'<xi:include href="a"/>'.repeat(100)}</target>`, a: '<feature/>' };
    await expect(describeFrom(wide)).rejects.toMatchObject({ code: 'RSP_MALFORMED' });
  });

  it.each(['bitsize="0"', 'bitsize="-8"', 'bitsize="1e9"', 'bitsize="x"', 'bitsize="64" regnum="-1"'])(
    'with a register of %s is refused',
    async (text) => {
      await expect(describeFrom({ 'target.xml': `<target><reg name="a" ${text}/></target>` })).rejects.toMatchObject({
        code: 'RSP_MALFORMED',
      });
    },
  );
});

describe('the XML parser', () => {
  it('keeps elements, attributes, text and the five entities', () => {
    expect(parseXml('<a b="1 &lt; 2" c=\'x\'>one &amp; <d/><!-- <e> --> two &#65;&#x42;</a>')).toEqual({
      name: 'a',
      attributes: { b: '1 < 2', c: 'x' },
      children: [{ name: 'd', attributes: {}, children: [], text: '' }],
      text: 'one &  two AB',
    });
  });

  it('expands no entity that a document defines', () => {
    expect(parseXml('<!DOCTYPE a [<!ENTITY x "boom">]><a>&x;</a>').text).toBe('&x;');
  });

  it.each([
    '',
    'text',
    '<a>',
    '<a></b>',
    '</a>',
    '<a/><b/>',
    '<a b></a>',
    '<a',
    '<!--',
    '<a>&lt;</a',
    `${'<a>'.repeat(40)}${'</a>'.repeat(40)}`,
  ])('refuses %j', (text) => {
    expect(() => parseXml(text)).toThrow(expect.objectContaining({ code: 'RSP_MALFORMED' }) as Error);
  });

  it('refuses a document cut at any place', () => {
    for (let length = 0; length < QEMU_CORE.length; length += 1) {
      expect(() => parseXml(QEMU_CORE.slice(0, length))).toThrow(expect.objectContaining({ code: 'RSP_MALFORMED' }) as Error);
    }
  });

  it('throws nothing else, on any text, and in little time', () => {
    const pieces = fc.constantFrom(
      '<',
      '>',
      '/',
      '<a',
      '</a>',
      ' b="',
      '"',
      "'",
      '&',
      ';',
      '<!--',
      '-->',
      '<![CDATA[',
      ']]>',
      '<!D',
      '[',
      ']',
      '<?',
      '?>',
      'x',
      ' ',
      '=',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 200 }), (parts) => {
        try {
          parseXml(parts.join(''));
        } catch (error) {
          expect(isRspError(error, 'RSP_MALFORMED')).toBe(true);
        }
      }),
    );
    const started = performance.now();
    for (const part of [' b="1"', '<', '<!D', '[', '&', '<a ', ' ']) {
      expect(() => parseXml(`<a${part.repeat(20_000)}`)).toThrow();
    }
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
