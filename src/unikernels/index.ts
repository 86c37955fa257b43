// The unikernels unidbg knows, one file each. To add one: write its file, add its line.

import type { Unikernel } from '../model/unikernel.ts';
import { demo } from './demo.ts';
import { nanos } from './nanos.ts';
import { solo5 } from './solo5.ts';
import { unikraft } from './unikraft.ts';

export const UNIKERNELS: readonly Unikernel[] = [demo, nanos, solo5, unikraft];
