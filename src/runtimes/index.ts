// The language runtimes unidbg knows, one file each. To add one: write its file, add its line.

import type { Runtime } from '../model/unikernel.ts';
import { cpp } from './cpp.ts';
import { go } from './go.ts';
import { ocaml } from './ocaml.ts';
import { v8 } from './v8.ts';

export const RUNTIMES: readonly Runtime[] = [go, ocaml, v8, cpp];
