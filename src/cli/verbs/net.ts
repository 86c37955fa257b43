// `unidbg net <vm>`: see src/report/views/net.ts.

import { net as view } from '../../report/views/net.ts';
import { viewVerb } from '../view-verb.ts';

export const net = viewVerb(view);
