// Notes: (name, type, descriptor) records in PT_NOTE segments and SHT_NOTE sections (gABI chapter 5, "Note Section").
// Folklore: namesz/descsz are padded to 4 even in 64-bit files; only segments and sections aligned to 8
// (.note.gnu.property) pad the descriptor to 8.

import { Cursor } from '../bytes/cursor.ts';

/** One note. `address` is the link address of its descriptor, null when the note is not loaded. */
export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly descriptor: Uint8Array;
  readonly address: bigint | null;
}

/** The notes in `bytes`, in order; a cut-off last note ends the list (notes are optional facts, never a reason to refuse a file). */
export function decodeNotes(
  bytes: Uint8Array,
  options: { littleEndian: boolean; alignment: number; address: bigint | null },
): ElfNote[] {
  const cursor = new Cursor(bytes, { littleEndian: options.littleEndian });
  const padding = options.alignment === 8 ? 8 : 4;
  const notes: ElfNote[] = [];
  while (cursor.remaining >= 12) {
    const nameSize = cursor.u32();
    const descriptorSize = cursor.u32();
    const type = cursor.u32();
    if (nameSize > cursor.remaining) break;
    const name = new TextDecoder('latin1').decode(cursor.take(nameSize)).replace(/\0.*$/s, '');
    if (!alignTo(cursor, padding) || descriptorSize > cursor.remaining) break;
    const address = options.address === null ? null : options.address + BigInt(cursor.offset);
    notes.push({ name, type, descriptor: cursor.take(descriptorSize), address });
    if (!alignTo(cursor, padding)) break;
  }
  return notes;
}

function alignTo(cursor: Cursor, alignment: number): boolean {
  const aligned = Math.ceil(cursor.offset / alignment) * alignment;
  if (aligned > cursor.length) return false;
  cursor.seek(aligned);
  return true;
}
