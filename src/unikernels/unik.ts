// UniK: no kernel, a builder and runner of instances of others (solo-io/unik a58d3e8, 2019: rump, OSv, IncludeOS, MirageOS,
// Firecracker). An instance dies in the words of what it is; UniK's stub in it only announces itself.

import type { Unikernel } from '../model/unikernel.ts';

/** UniK's instances. */
export const unik: Unikernel = {
  name: 'unik',
  title: "UniK's instances",
  support: {
    levels: ['text'],
    tried: 'as the systems its instances are (Rumprun, OSv, IncludeOS, Solo5); UniK itself prints no crash and was not run here',
    silent: 'That an instance is one of UniK: it is reported as what it is.',
  },
  // A banner of its own would hide that of the system inside.
  recognise: { symbols: [], sections: [], banner: null },
  crashes: [],
  unwindRules: [],
  deadIn: [],
  idleIn: [],
  crashMachinery: [],
  explainExit: () => null,
};
