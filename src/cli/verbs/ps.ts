// `unidbg ps <vm>`: see src/report/views/ps.ts.

import { ps as view } from '../../report/views/ps.ts';
import { viewVerb } from '../view-verb.ts';

export const ps = viewVerb(view);
