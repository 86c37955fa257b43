// The entries right below another (DWARF 5 section 2.3), skipping what is below those by DW_AT_sibling where there is one;
// and the guard under which damaged entries cost an answer, never a look-up.

import { UnidbgError } from '../model/error.ts';
import { skipTo } from './functions.ts';
import { attributesOf, type Complain, type Die } from './info.ts';
import { dwarfErrors } from './section.ts';
import { readSibling, skipAttributes } from './unit.ts';

/** Entries below one that are walked; the largest seen is an enum of some ten thousand. */
const MAX_CHILDREN = 65_536;

/** The entries right below `die`, in order. */
export function* childrenOf({ unit, entry }: Die): Generator<Die> {
  if (!entry.abbrev.hasChildren) return;
  const { encoding } = unit;
  const base = unit.header.offset;
  const cursor = attributesOf({ unit, entry });
  skipAttributes(cursor, entry.abbrev, encoding);
  for (let depth = 1, count = 0; depth > 0 && count < MAX_CHILDREN && cursor.remaining > 0; ) {
    const child = unit.entryAt(base + cursor.offset, cursor);
    if (child === null) {
      depth -= 1;
      continue;
    }
    if (depth === 1) {
      yield { unit, entry: child };
      count += 1;
    }
    const { abbrev } = child;
    const attributes = cursor.offset;
    const sibling = abbrev.hasChildren ? readSibling(cursor, abbrev, unit) : 0;
    if (sibling > 0) {
      skipTo(unit, cursor, sibling, child.offset);
      continue;
    }
    cursor.seek(attributes);
    skipAttributes(cursor, abbrev, encoding);
    if (abbrev.hasChildren) depth += 1;
  }
}

/** Runs a reader of entries; null and a word to `complain` when they are damaged. */
export function attemptDwarf<T>(body: () => T, complain: Complain): T | null {
  try {
    return dwarfErrors('.debug_info', body);
  } catch (error) {
    if (!(error instanceof UnidbgError)) throw error;
    complain(error);
    return null;
  }
}
