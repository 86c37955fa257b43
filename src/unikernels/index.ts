// The unikernels unidbg knows, one file each. To add one: write its file, add its line.

import type { Unikernel } from '../model/unikernel.ts';
import { demo } from './demo.ts';
import { linux } from './linux.ts';
import { minios } from './minios.ts';
import { nanos } from './nanos.ts';
import { osv } from './osv.ts';
import { rumprun } from './rumprun.ts';
import { solo5 } from './solo5.ts';
import { unikraft } from './unikraft.ts';
import { xen } from './xen.ts';

export const UNIKERNELS: readonly Unikernel[] = [demo, nanos, solo5, unikraft, osv, rumprun, minios, linux, xen];
