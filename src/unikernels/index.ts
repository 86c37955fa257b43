// The unikernels unidbg knows, one file each. To add one: write its file, add its line.

import type { Unikernel } from '../model/unikernel.ts';
import { clickos } from './clickos.ts';
import { clive } from './clive.ts';
import { demo } from './demo.ts';
import { drawbridge } from './drawbridge.ts';
import { halvm } from './halvm.ts';
import { hermit } from './hermit.ts';
import { includeos } from './includeos.ts';
import { ling } from './ling.ts';
import { linux } from './linux.ts';
import { minios } from './minios.ts';
import { nanos } from './nanos.ts';
import { osv } from './osv.ts';
import { rumprun } from './rumprun.ts';
import { runtimejs } from './runtimejs.ts';
import { solo5 } from './solo5.ts';
import { unik } from './unik.ts';
import { unikraft } from './unikraft.ts';
import { xen } from './xen.ts';

export const UNIKERNELS: readonly Unikernel[] = [
  demo,
  nanos,
  solo5,
  unikraft,
  osv,
  includeos,
  rumprun,
  hermit,
  runtimejs,
  halvm,
  ling,
  minios,
  clickos,
  xen,
  linux,
  unik,
  clive,
  drawbridge,
];
