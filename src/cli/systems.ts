// The extension lists, handed to the session: the one place where all of them meet.

import { PROBES } from '../../probes/agentless/index.ts';
import { guestProbe } from '../../probes/guest/index.ts';
import { CHECKS, DERIVATIONS } from '../checks/index.ts';
import { openGcLog } from '../runtimes/gc-log.ts';
import { RUNTIMES } from '../runtimes/index.ts';
import type { Systems } from '../session/systems.ts';
import { UNIKERNELS } from '../unikernels/index.ts';

export const SYSTEMS: Systems = {
  unikernels: UNIKERNELS,
  runtimes: RUNTIMES,
  probes: PROBES,
  guestProbe,
  openGcLog,
  checks: CHECKS,
  derivations: DERIVATIONS,
};
