// `unidbg free <vm>`: see src/report/views/free.ts.

import { free as view } from '../../report/views/free.ts';
import { viewVerb } from '../view-verb.ts';

export const free = viewVerb(view);
