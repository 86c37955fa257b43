// The verbs. Adding one is a file here and a line below.

import type { Verb } from '../verb.ts';
import { attach } from './attach.ts';
import { gdb } from './gdb.ts';
import { ls } from './ls.ts';
import { replay } from './replay.ts';
import { run } from './run.ts';

export const VERBS: readonly Verb[] = [ls, attach, run, replay, gdb];
