// All formats of dumps, the most telling first. Adding one is one file and one line.

import type { DumpFormat } from './format.ts';

/** In the order in which they are tried. */
export const DUMP_FORMATS: readonly DumpFormat[] = [];
