// Watches a Node.js program without changing it:
//   UNIDBG_PROBE=tcp:10.0.2.2:7000 node --import ./watch.mjs server.js

import { openProbe } from './unidbg-probe.mjs';

openProbe({
  to: process.env.UNIDBG_PROBE,
  program: process.env.UNIDBG_PROGRAM ?? process.argv[1]?.split('/').at(-1) ?? 'node',
}).watchRuntime();
