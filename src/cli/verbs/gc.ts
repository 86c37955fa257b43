// `unidbg gc <vm>`: see src/report/views/gc.ts.

import { gc as view } from '../../report/views/gc.ts';
import { viewVerb } from '../view-verb.ts';

export const gc = viewVerb(view);
