// .debug_aranges (DWARF 5 section 6.1.2): which unit covers which addresses, where the compiler wrote it.

import { readOffset } from './forms.ts';
import { type DebugSections, dwarfErrors, malformed, readAddressOffset } from './section.ts';
import { readInitialLength } from './unit.ts';

/** Decodes all tables, as start, end, offset of the unit, …; empty without the section. Throws DWARF_TRUNCATED, DWARF_MALFORMED. */
export function decodeAddressRanges(sections: DebugSections): number[] {
  const triples: number[] = [];
  const section = sections.find('debug_aranges');
  if (section === null) return triples;
  dwarfErrors('.debug_aranges', () => {
    const cursor = section.cursor(0, section.size);
    while (cursor.remaining > 0) {
      const what = `.debug_aranges table at offset 0x${cursor.offset.toString(16)}`;
      const start = cursor.offset;
      const { length, offsetSize } = readInitialLength(cursor, what);
      const end = cursor.offset + length;
      const version = cursor.u16();
      const unit = readOffset(cursor, { offsetSize });
      const addressSize = cursor.u8();
      const segmentSize = cursor.u8();
      if (version !== 2 || segmentSize !== 0 || ![4, 8].includes(addressSize)) {
        throw malformed(what, `version ${version}, ${addressSize}-byte addresses, ${segmentSize}-byte segments`);
      }
      const tuple = addressSize * 2;
      cursor.seek(start + Math.ceil((cursor.offset - start) / tuple) * tuple);
      while (cursor.offset + tuple <= end) {
        const at = readAddressOffset(cursor, addressSize, sections.origin);
        const size = readAddressOffset(cursor, addressSize, { high: 0, low: 0 });
        if (size > 0) triples.push(at, at + size, unit);
      }
      cursor.seek(end);
    }
  });
  return triples;
}
