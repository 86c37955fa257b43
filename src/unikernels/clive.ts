// Clive: Go packages that run on a host (fjballest/clive bbd0190, 2016); the kernel for bare hardware never was in the public
// tree. Its programs die as Go programs do (src/runtimes/go.ts).

import type { Unikernel } from '../model/unikernel.ts';

/** Clive. */
export const clive: Unikernel = {
  name: 'clive',
  title: 'Clive',
  support: {
    levels: ['hosted'],
    tried:
      "as a Go program of a host: Go's texts, its symbols and tables; it needs a Go compiler of its own and was not run here",
    silent: "What dbg.Fatal says is the program's word and no crash: only its exit status tells.",
  },
  recognise: { symbols: ['clive/dbg.Fatal'], sections: [], banner: null },
  crashes: [],
  unwindRules: [],
  deadIn: [],
  idleIn: [],
  crashMachinery: [/^clive\/dbg\.Fatal$/],
  explainExit: () => null,
};
