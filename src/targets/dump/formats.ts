// All formats of dumps, the most telling first. Adding one is one file and one line.

import { qemuElf } from './elf.ts';
import type { DumpFormat } from './format.ts';
import { kdump } from './kdump.ts';
import { migration } from './migration.ts';
import { rawMemory } from './raw.ts';
import { solo5Core } from './solo5-core.ts';
import { userCore } from './user-core.ts';
import { xenCore } from './xen-core.ts';

/** In the order in which they are tried. */
export const DUMP_FORMATS: readonly DumpFormat[] = [xenCore, solo5Core, userCore, migration, qemuElf, kdump, rawMemory];
