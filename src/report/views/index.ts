// The views that `unidbg ps`, `free`, `gc`, `net` and `top` print.

import { free } from './free.ts';
import { gc } from './gc.ts';
import { net } from './net.ts';
import { ps } from './ps.ts';
import { top } from './top.ts';
import type { View } from './view.ts';

export const VIEWS: readonly View[] = [ps, free, gc, net, top];
export type { View } from './view.ts';
