// The built-in checks and derived metrics, one file each. To add one: write its file, add its line, test it in test/checks.

import type { Check, Derivation } from '../model/check.ts';
import { exhaustionForecast, memoryExhaustion } from './exhaustion.ts';
import { gcNeverRuns } from './gc-never-runs.ts';
import { gcThrash } from './gc-thrash.ts';
import { memoryFull } from './memory-full.ts';
import { networkFailures } from './network-failures.ts';

export const CHECKS: readonly Check[] = [gcNeverRuns, gcThrash, memoryFull, memoryExhaustion, networkFailures];

export const DERIVATIONS: readonly Derivation[] = [exhaustionForecast];
