// Where an image keeps its pclntab: in its own section, or, when a foreign linker merged it into another (PIE made by the C linker)
// or the section headers are gone, somewhere in its data, where its header is searched for.

import type { CodeImage } from '../../model/code-table.ts';
import { errorCode } from '../../model/error.ts';
import { ImageWindow } from './image-window.ts';
import { MAGICS } from './layout.ts';
import { findModuleData, type ModuleData } from './moduledata.ts';
import { decodeHeader, type PclntabHeader } from './pclntab.ts';

/** A pclntab, and the moduledata that names it. */
export interface FoundTable {
  readonly window: ImageWindow;
  readonly header: PclntabHeader;
  readonly module: ModuleData | null;
}

const SECTIONS = ['.gopclntab', '.data.rel.ro.gopclntab'];
/** Sections that only Go's linker makes, in images where the C linker has merged the table into another. */
const SIGNS_OF_GO = ['.go.buildinfo', '.note.go.buildid', '.gosymtab'];
const SEARCH_BYTES = 1024 * 1024;
/** Data of one image that are searched. */
const MAX_SEARCHED = 256 * 1024 * 1024;
const MAX_HITS = 64;

/** The image's pclntab; null where it has none that holds together. Throws what the image throws. */
export function findTable(image: CodeImage): FoundTable | null {
  for (const name of SECTIONS) {
    const section = image.findSection(name);
    if (section !== null) return openAt(image, section.address);
  }
  const mayBeGo = image.findSection('.text') === null || SIGNS_OF_GO.some((name) => image.findSection(name) !== null);
  if (!mayBeGo) return null;
  for (const address of searchHeaders(image)) {
    const found = openAt(image, address);
    // Eight bytes prove little: the linker's own record of it must be there too.
    if (found?.module != null) return found;
  }
  return null;
}

function openAt(image: CodeImage, address: bigint): FoundTable | null {
  const window = new ImageWindow(image, address);
  try {
    const header = decodeHeader(window);
    return header === null ? null : { window, header, module: findModuleData(window, header) };
  } catch (error) {
    if (errorCode(error) !== 'BYTES_OUT_OF_RANGE') throw error;
    return null;
  }
}

function* searchHeaders(image: CodeImage): Generator<bigint> {
  const patterns = MAGICS.map((magic) => {
    const pattern = Buffer.alloc(6);
    pattern[image.littleEndian ? 'writeUInt32LE' : 'writeUInt32BE'](magic);
    return pattern;
  });
  let hits = 0;
  let searched = 0;
  for (const { address, size, executable } of image.ranges) {
    for (let from = 0; !executable && from < size && searched < MAX_SEARCHED; from += SEARCH_BYTES) {
      const read = image.readVirtual(address + BigInt(from), Math.min(SEARCH_BYTES + 8, size - from));
      if (read === null) break;
      const bytes = Buffer.from(read.buffer, read.byteOffset, read.length);
      searched += bytes.length;
      for (const pattern of patterns) {
        for (let at = bytes.indexOf(pattern); at >= 0 && hits < MAX_HITS; at = bytes.indexOf(pattern, at + 1)) {
          hits += 1;
          yield address + BigInt(from + at);
        }
      }
    }
  }
}
