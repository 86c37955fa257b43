// QEMU's run states and QMP events → what the VM does, in the model's words (QEMU qapi/run-state.json).

import type { VmStatus } from '../model/event.ts';
import type { QmpEvent } from './qmp/connection.ts';
import { findMember, findText } from './qmp/exact-json.ts';

/** What the VM does now. `event` is the QMP event that told it, null when it was asked for. */
export interface VmState {
  readonly status: VmStatus;
  readonly reason: string | null;
  readonly event: string | null;
}

const RUN_STATES: Readonly<Record<string, VmState>> = {
  running: state('running', null),
  debug: state('debug', 'a debugger holds it'),
  'guest-panicked': state('crashed', 'the guest reported its panic (pvpanic)'),
  'internal-error': state('crashed', 'QEMU cannot go on emulating it (internal error)'),
  'io-error': state('paused', 'a disk failed (io-error)'),
  watchdog: state('paused', 'its watchdog fired'),
  shutdown: state('shutdown', 'it is off'),
  prelaunch: state('paused', 'not started yet (-S)'),
  paused: state('paused', 'stopped through a monitor'),
  suspended: state('paused', 'the guest sleeps (suspended)'),
};

/** The status of a run state as `query-status` and `info status` name it. Unknown ones are pauses by that name. */
export function getRunState(name: string): VmState {
  return RUN_STATES[name] ?? state('paused', name);
}

/** HMP `info status`: `VM status: running`, `VM status: paused (guest-panicked)`. */
export function parseHmpStatus(text: string): VmState {
  const match = /VM status:\s*([a-z-]+)(?:.*?\(([a-z-]+)\))?/.exec(text);
  return getRunState(match?.[2] ?? match?.[1] ?? 'unknown');
}

const SHUTDOWN_REASONS: Readonly<Record<string, string>> = {
  'guest-shutdown': 'the guest switched itself off',
  'guest-reset': 'the guest reset itself: a reboot, or a triple fault',
  'guest-panic': 'the guest reported its panic (pvpanic)',
  'host-error': 'QEMU met an error',
  'host-qmp-quit': 'somebody told QEMU to quit',
  'host-qmp-system-reset': 'somebody reset it through a monitor',
  'host-signal': 'QEMU was told to end by a signal',
  'host-ui': 'its window was closed',
  'subsystem-reset': 'a subsystem was reset',
};

/** What an event says of the VM, or null when it says nothing. STOP says only that it paused: why is asked for afterwards. */
export function findVmState(event: QmpEvent): VmState | null {
  const reason = findText(findMember(event.data, 'reason')) ?? '';
  const words = SHUTDOWN_REASONS[reason] ?? (reason === '' ? null : reason);
  switch (event.name) {
    case 'RESUME':
    case 'WAKEUP':
      return { status: 'running', reason: null, event: event.name };
    case 'RESET':
      return { status: 'running', reason: words ?? 'it was reset', event: event.name };
    case 'SHUTDOWN':
      return { status: reason === 'guest-panic' ? 'crashed' : 'shutdown', reason: words, event: event.name };
    case 'GUEST_PANICKED':
      return { status: 'crashed', reason: 'the guest reported its panic (pvpanic)', event: event.name };
    case 'SUSPEND':
      return { status: 'paused', reason: 'the guest sleeps (suspended)', event: event.name };
    default:
      return null;
  }
}

function state(status: VmStatus, reason: string | null): VmState {
  return { status, reason, event: null };
}
