// The verbs, in the order that help lists them. Adding one is a file here and a line below. A verb is loaded when it is the one that
// was called: `unidbg symbolize` must not wait for the modules of the screen.

import type { Verb } from '../verb.ts';

export const VERBS: Readonly<Record<string, () => Promise<Verb>>> = {
  ls: async () => (await import('./ls.ts')).ls,
  attach: async () => (await import('./attach.ts')).attach,
  run: async () => (await import('./run.ts')).run,
  ci: async () => (await import('./ci.ts')).ci,
  replay: async () => (await import('./replay.ts')).replay,
  'replay-rr': async () => (await import('./replay-rr.ts')).replayRr,
  dump: async () => (await import('./dump.ts')).dump,
  backtrace: async () => (await import('./backtrace.ts')).backtrace,
  ps: async () => (await import('./ps.ts')).ps,
  free: async () => (await import('./free.ts')).free,
  gc: async () => (await import('./gc.ts')).gc,
  net: async () => (await import('./net.ts')).net,
  top: async () => (await import('./top.ts')).top,
  assert: async () => (await import('./assert.ts')).assert,
  js: async () => (await import('./js.ts')).js,
  analyze: async () => (await import('./analyze.ts')).analyze,
  symbolize: async () => (await import('./symbolize.ts')).symbolize,
  doctor: async () => (await import('./doctor.ts')).doctor,
  export: async () => (await import('./export.ts')).exportVerb,
  gdb: async () => (await import('./gdb.ts')).gdb,
};
