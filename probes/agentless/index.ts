// The agentless probes, one file each. To add one: write its file, add its line.

import type { Probe } from '../../src/model/probe.ts';
import { demo } from './demo.ts';

export const PROBES: readonly Probe[] = [demo];
