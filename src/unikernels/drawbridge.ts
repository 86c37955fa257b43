// Drawbridge (Microsoft Research): closed; no console format, no image format and no debug interface of it is published. What
// lives on of it, SQLPAL, is a process of its host.

import type { Unikernel } from '../model/unikernel.ts';

/** Drawbridge. */
export const drawbridge: Unikernel = {
  name: 'drawbridge',
  title: 'Drawbridge',
  support: {
    levels: ['hosted'],
    tried: "not tried: closed source without any published format; what the host's debugger stub of its process gives is all",
    silent: 'Everything: it has no console text that is known.',
  },
  recognise: { symbols: [], sections: [], banner: null },
  crashes: [],
  unwindRules: [],
  deadIn: [],
  idleIn: [],
  crashMachinery: [],
  explainExit: () => null,
};
