// The verbs. Adding one is a file here and a line below.

import type { Verb } from '../verb.ts';

export const VERBS: readonly Verb[] = [];
