// `unidbg top <vm>`: see src/report/views/top.ts.

import { top as view } from '../../report/views/top.ts';
import { viewVerb } from '../view-verb.ts';

export const top = viewVerb(view);
