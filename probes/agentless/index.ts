// The agentless probes, one file each. To add one: write its file, add its line, and describe a guest for it in
// test/probes/agentless.test.ts.

import type { Probe } from '../../src/model/probe.ts';
import { beam } from './beam.ts';
import { demo } from './demo.ts';
import { dlmalloc } from './dlmalloc.ts';
import { ghc } from './ghc.ts';
import { go } from './go.ts';
import { halvm } from './halvm.ts';
import { includeos } from './includeos.ts';
import { jvm } from './jvm.ts';
import { ling } from './ling.ts';
import { lua } from './lua.ts';
import { lwip } from './lwip.ts';
import { minios } from './minios.ts';
import { nanos } from './nanos.ts';
import { nanosNet } from './nanos-net.ts';
import { ocaml } from './ocaml.ts';
import { osvMemory } from './osv-memory.ts';
import { osvNet } from './osv-net.ts';
import { osvSched } from './osv-sched.ts';
import { rumprun } from './rumprun.ts';
import { solo5 } from './solo5.ts';
import { solo5Net } from './solo5-net.ts';
import { ukNetdev } from './uk-netdev.ts';
import { ukSched } from './uk-sched.ts';
import { ukalloc } from './ukalloc.ts';

export const PROBES: readonly Probe[] = [
  demo,
  ukalloc,
  ukSched,
  ukNetdev,
  nanos,
  nanosNet,
  osvMemory,
  osvSched,
  osvNet,
  lwip,
  solo5,
  solo5Net,
  dlmalloc,
  minios,
  rumprun,
  includeos,
  halvm,
  ocaml,
  go,
  jvm,
  ghc,
  lua,
  beam,
  ling,
];
