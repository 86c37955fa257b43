// Debug info written by hand in assembly: what clang, lld, old gcc and hostile files contain and the installed gcc does not.

import { afterAll, describe, expect, it } from 'vitest';
import { DwarfLocations } from '../../src/dwarf/locations.ts';
import { openElf } from '../../src/elf/file.ts';
import { Scratch } from '../elf/scratch.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

const CODE = `
  .text
  .globl _start
_start: .fill 64, 1, 0x90
one = _start
two = _start + 16
three = _start + 32
`;

/** Assembles, links in the high half (so that every address needs 64 bits) and opens. */
function assemble(debug: string): DwarfLocations {
  scratch.write('handmade.s', CODE + debug);
  const flags = ['-nostdlib', '-static', '-no-pie', '-Wl,-Ttext=0xffffffff81000000'];
  return new DwarfLocations(openElf(scratch.compile('handmade', ['handmade.s'], flags)));
}

const framesAt = (dwarf: DwarfLocations, offset: number) =>
  dwarf.find(Number(0xffff_ffff_8100_0000n - dwarf.sections.file.origin) + offset) ?? [];

const at = (dwarf: DwarfLocations, offset: number): string =>
  framesAt(dwarf, offset)
    .map((frame) => `${frame.function ?? '??'} ${frame.file ?? '??'}:${frame.line ?? 0}`)
    .join(' < ');

/** A .debug_info unit of version 5 around `entries`. */
const unit5 = (entries: string, abbrevs: string): string => `
  .section .debug_info,"",@progbits
  .long 2f - 1f
1: .short 5
  .byte 1, 8
  .long 0
${entries}
2:
  .section .debug_abbrev,"",@progbits
${abbrevs}
  .byte 0
`;

/** One abbreviation: code, tag, children, then (attribute, form) pairs. */
const abbrev = (code: number, tag: number, children: number, ...pairs: readonly (number | string)[]): string =>
  `  .uleb128 ${code}, ${tag}\n  .byte ${children}\n  .uleb128 ${[...pairs, 0, 0].join(', ')}\n`;

describe('what clang writes', () => {
  it('names and addresses by index, ranges by index, the bases given after their use', () => {
    const image = assemble(`${unit5(
      `
      .uleb128 1
      .byte 0                       # name: strx1 0
      .long offsets_base, addr_base, lists_base
      .byte 0                       # low_pc: addrx 0
      .uleb128 0                    # ranges: rnglistx 0
      .uleb128 2                    # function: low_pc addrx, high_pc data4
      .byte 1
      .uleb128 0
      .long 16
      .uleb128 3                    # function by ranges: name strx2, rnglistx 1
      .short 2
      .uleb128 1
      .uleb128 4                    # name by DW_FORM_indirect (string), low_pc LLVM_addrx_offset
      .uleb128 0x08
      .asciz "three_more"
      .uleb128 2
      .long 8
      .long 8
      .byte 0
      `,
      abbrev(1, 0x11, 1, 0x03, 0x25, 0x72, 0x17, 0x73, 0x17, 0x74, 0x17, 0x11, 0x1b, 0x55, 0x23) +
        abbrev(2, 0x2e, 0, 0x03, 0x25, 0x11, 0x1b, 0x12, 0x06) +
        abbrev(3, 0x2e, 0, 0x03, 0x26, 0x55, 0x23) +
        abbrev(4, 0x2e, 0, 0x03, 0x16, 0x11, 0x2001, 0x12, 0x06),
    )}
      .section .debug_str_offsets,"",@progbits
      .long 2f - 1f
    1: .short 5, 0
    offsets_base = . - .debug_str_offsets
      .long s0 - .debug_str, s1 - .debug_str, s2 - .debug_str
    2:
      .section .debug_str,"MS",@progbits,1
    s0: .asciz "unit.c"
    s1: .asciz "first"
    s2: .asciz "second"
      .section .debug_addr,"",@progbits
      .long 2f - 1f
    1: .short 5
      .byte 8, 0
    addr_base = . - .debug_addr
      .quad one, two, three
    2:
      .section .debug_rnglists,"",@progbits
      .long 2f - 1f
    1: .short 5
      .byte 8, 0
      .long 2
    lists_base = . - .debug_rnglists
    3: .long list0 - 3b, list1 - 3b
    list0: .byte 6
      .quad one, one + 64
      .byte 0
    list1: .byte 1               # base_addressx 1
      .uleb128 1
      .byte 4                    # offset_pair
      .uleb128 0, 4
      .byte 3                    # startx_length
      .uleb128 1, 0
      .byte 3
      .uleb128 2, 2
      .byte 2                    # startx_endx, empty
      .uleb128 2, 2
      .byte 5                    # base_address
      .quad one
      .byte 4
      .uleb128 34, 36
      .byte 7                    # start_length
      .quad one + 36
      .uleb128 4
      .byte 0
    2:
    `);
    expect([at(image, 0), at(image, 15), at(image, 16), at(image, 19)]).toEqual([
      'first ??:0',
      'first ??:0',
      'second ??:0',
      'second ??:0',
    ]);
    expect([at(image, 20), at(image, 32), at(image, 35), at(image, 38), at(image, 40), at(image, 47)]).toEqual([
      '',
      'second ??:0',
      'second ??:0',
      'second ??:0',
      'three_more ??:0',
      'three_more ??:0',
    ]);
    expect(image.damage).toEqual([]);
    image.sections.file.close();
  });
});

describe('what linkers leave behind', () => {
  it('functions of discarded sections, at 0 or the highest address, name nothing', () => {
    const image = assemble(
      unit5(
        `.uleb128 1
        ${['0', '1', '-1', '-2'].map((address, index) => `.uleb128 2\n .asciz "gone${index}"\n .quad ${address}\n .quad 0x7fffffffffffffff`).join('\n')}
        .uleb128 2
        .asciz "kept"
        .quad one
        .quad 4
        .byte 0`,
        abbrev(1, 0x11, 1, 0x11, 0x01, 0x12, 0x07).replace('.uleb128 17, 1, 18, 7, 0, 0', '.uleb128 0, 0') +
          abbrev(2, 0x2e, 0, 0x03, 0x08, 0x11, 0x01, 0x12, 0x07),
      ) + aranges('one', 64),
    );
    expect([at(image, 0), at(image, 8)]).toEqual(['kept ??:0', '']);
    image.sections.file.close();
  });
});

/** A .debug_aranges table that gives [start, start + size) to the first unit. */
const aranges = (start: string, size: number): string => `
  .section .debug_aranges,"",@progbits
  .long 2f - 1f
1: .short 2
  .long 0
  .byte 8, 0
  .long 0
  .quad ${start}, ${size}, 0, 0
2:
`;

/** A unit whose only content is a line program of \`version\` 2 to 4. */
function withLines(
  program: string,
  options: { version?: number; minimum?: number; operations?: number; range?: number; directory?: string; opcodes?: string } = {},
): DwarfLocations {
  const {
    version = 4,
    minimum = 1,
    operations = 1,
    range = 14,
    directory = '/src',
    opcodes = '0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1',
  } = options;
  return assemble(`${unit5(
    `.uleb128 1
    .asciz "unit.c"
    .asciz "${directory}"
    .long 0
    .quad one
    .quad 64`,
    abbrev(1, 0x11, 0, 0x03, 0x08, 0x1b, 0x08, 0x10, 0x17, 0x11, 0x01, 0x12, 0x07),
  )}
    .section .debug_line,"",@progbits
    .long 2f - 1f
  1: .short ${version}
    .long 4f - 3f
  3: .byte ${minimum}
    ${version >= 4 ? `.byte ${operations}` : ''}
    .byte 1, -5, ${range}, ${opcodes.split(',').length + 1}
    .byte ${opcodes}
    .asciz "lib"
    .byte 0
    .asciz "unit.c"
    .uleb128 0, 0, 0
    .asciz "a.h"
    .uleb128 1, 0, 0
    .asciz "/abs/b.h"
    .uleb128 1, 0, 0
    .byte 0
  4:
    ${program}
  2:
  `);
}

const SET_ADDRESS = (address: string): string => `.byte 0, 9, 2\n .quad ${address}\n`;
const END = '.byte 0, 1, 1\n';

describe('line programs', () => {
  it('move by the instruction length, by operations of a bundle and by fixed amounts', () => {
    const image = withLines(
      `${SET_ADDRESS('one')}
      .byte 3, 9, 1                 # advance_line 9: line 10, copy
      .byte 2
      .uleb128 3                    # three operations of two a bundle: one instruction of 4 bytes and an operation
      .byte 3, 1, 1                 # line 11 at 4
      .byte 2
      .uleb128 1                    # the second operation completes the bundle
      .byte 3, 1, 1                 # line 12 at 8
      .byte 9
      .short 5                      # fixed_advance_pc 5
      .byte 4, 2                    # set_file 2
      .byte 5
      .uleb128 300                  # column
      .byte 3, 10, 1                # line 22 at 13
      .byte 8                       # const_add_pc: (255 - 13) / 14 = 17 operations, 8 bundles: 32 bytes
      .byte 4, 3, 1                 # file 3 at 45
      .byte 2, 8
      ${END}`,
      { minimum: 4, operations: 2 },
    );
    expect([0, 3, 4, 8, 12, 13, 44, 45].map((offset) => at(image, offset))).toEqual([
      '?? /src/unit.c:10',
      '?? /src/unit.c:10',
      '?? /src/unit.c:11',
      '?? /src/unit.c:12',
      '?? /src/unit.c:12',
      '?? /src/lib/a.h:22',
      '?? /src/lib/a.h:22',
      '?? /abs/b.h:22',
    ]);
    expect(framesAt(image, 13)[0]!.column).toBe(300);
    image.sections.file.close();
  });

  it('may define files, and hold opcodes of a later version', () => {
    const image = withLines(
      `${SET_ADDRESS('one')}
      .byte 0, 9, 3                 # define_file
      .asciz "late"
      .uleb128 1, 0, 0
      .byte 13                      # unknown standard opcode with two operands
      .uleb128 200, 3
      .byte 0, 3, 0x80, 1, 2        # unknown extended opcode
      .byte 4, 4, 1
      .byte 2, 9
      ${END}`,
      { opcodes: '0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 2', version: 3 },
    );
    expect([at(image, 0), image.damage]).toEqual(['?? /src/lib/late:1', []]);
    image.sections.file.close();
  });

  it('in a relative directory give paths relative to it, once', () => {
    const program = `${SET_ADDRESS('one')} .byte 1, 2, 4, 4, 2, 1, 2, 4\n ${END}`;
    for (const [directory, paths] of [
      ['.', ['./unit.c', './lib/a.h']],
      ['build', ['build/unit.c', 'build/lib/a.h']],
    ] as const) {
      const image = withLines(program, { directory });
      expect([0, 4].map((offset) => framesAt(image, offset)[0]!.file)).toEqual(paths);
      image.sections.file.close();
    }
  });

  it('whose rows go backwards are sorted; line 0 is no line', () => {
    const image = withLines(`${SET_ADDRESS('one + 8')}
      .byte 3, 7, 1                 # line 8 at 8
      ${SET_ADDRESS('one')}
      .byte 3, 2, 1                 # line 10 at 0
      .byte 2, 4, 3, 0x76, 1        # line 0 at 4
      .byte 2, 12
      ${END}`);
    expect([0, 4, 8].map((offset) => at(image, offset))).toEqual(['?? /src/unit.c:10', '?? /src/unit.c:0', '?? /src/unit.c:8']);
    expect(framesAt(image, 4)[0]!.line).toBeNull();
    image.sections.file.close();
  });

  it('for discarded code leave no rows', () => {
    const image = withLines(
      ['0', '-1', '0x7fffffff81000000'].map((address) => `${SET_ADDRESS(address)} .byte 1, 2, 60 \n ${END}`).join(''),
    );
    expect(at(image, 0)).toBe('');
    expect(image.findLine('unit.c', 1)).toBeNull();
    image.sections.file.close();
  });

  it('that divide by a line range of 0, or have a version of the future, are said to be damaged', () => {
    const program = `${SET_ADDRESS('one')} .byte 200\n ${END}`;
    for (const [options, why] of [
      [{ version: 3, range: 0 }, /a special opcode with line_range 0/],
      [{ version: 9 }, /line program at offset 0x0 of \.debug_line: version 9/],
    ] as const) {
      const image = withLines(program, options);
      expect([at(image, 0), image.damage[0]?.message]).toEqual(['', expect.stringMatching(why)]);
      image.sections.file.close();
    }
  });
});

describe('hostile entries', () => {
  const root = abbrev(1, 0x11, 1, 0x11, 0x01, 0x12, 0x07);
  const rootEntry = '.uleb128 1\n .quad one, 64';

  it('that refer to themselves end, without a name', () => {
    const image = assemble(
      unit5(
        `${rootEntry}
        .uleb128 2
        .quad one, 16
        .long 28 + 1
        .byte 0`.replace('28 + 1', 'self'),
        root + abbrev(2, 0x2e, 0, 0x11, 0x01, 0x12, 0x07, 0x31, 0x13),
      ).replace('.uleb128 2\n', 'here: .uleb128 2\n') + '\n self = here - .debug_info\n',
    );
    expect([at(image, 0), image.damage]).toEqual(['?? ??:0', []]);
    image.sections.file.close();
  });

  it('with a sibling before them cost their unit, not the walk', () => {
    const image = assemble(
      unit5(
        `${rootEntry}
        .uleb128 2
        .long 12
        .uleb128 3
        .byte 0, 0`,
        root + abbrev(2, 0x16, 1, 0x01, 0x13) + abbrev(3, 0x34, 0),
      ),
    );
    expect(at(image, 0)).toBe('');
    expect(image.damage[0]!.message).toMatch(/the sibling of the entry at 0x/);
    image.sections.file.close();
  });

  it('without an abbreviation, or whose indirect form is indirect again, are said to be damaged', () => {
    const missing = assemble(unit5(`${rootEntry}\n .uleb128 77\n .byte 0`, root));
    expect([at(missing, 0), missing.damage[0]!.message]).toEqual(['', '.debug_abbrev: no abbreviation 77']);
    missing.sections.file.close();
    const indirect = assemble(
      unit5(`${rootEntry}\n .uleb128 2\n .uleb128 0x16, 0x16, 0x08\n .byte 0, 0`, root + abbrev(2, 0x2e, 0, 0x03, 0x16)),
    );
    expect([at(indirect, 0), indirect.damage[0]!.message]).toEqual(['', expect.stringMatching(/DW_FORM_indirect names form 22/)]);
    indirect.sections.file.close();
  });
});
