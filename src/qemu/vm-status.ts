// QEMU's run states and QMP events → what the VM does, in the model's words (QEMU qapi/run-state.json).

import type { VmStatus } from '../model/event.ts';
import type { QmpEvent } from './qmp/connection.ts';
import { findMember, findText } from './qmp/exact-json.ts';

/** What the VM does now. `event` is the QMP event that told it, null when it was asked for. */
export interface VmState {
  readonly status: VmStatus;
  readonly reason: string | null;
  readonly event: string | null;
  /** QEMU's own ShutdownCause behind a RESET or SHUTDOWN (`guest-reset`, `host-qmp-quit`), or `internal-error`; null otherwise. */
  readonly cause: string | null;
}

const PAUSED = 'stopped through a monitor';
const PANICKED = 'the guest reported its panic (pvpanic)';

const RUN_STATES: Readonly<Record<string, VmState>> = {
  running: state('running', null),
  debug: state('debug', 'a debugger holds it'),
  'guest-panicked': state('crashed', PANICKED),
  'internal-error': state('crashed', 'QEMU cannot go on emulating it (internal error)', 'internal-error'),
  'io-error': state('paused', 'a disk failed (io-error)'),
  watchdog: state('paused', 'its watchdog fired'),
  shutdown: state('shutdown', 'it is off'),
  prelaunch: state('paused', 'not started yet (-S)'),
  paused: state('paused', PAUSED),
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
  'guest-panic': PANICKED,
  'host-error': 'QEMU met an error',
  'host-qmp-quit': 'somebody told QEMU to quit',
  'host-qmp-system-reset': 'somebody reset it through a monitor',
  'host-signal': 'QEMU was told to end by a signal',
  'host-ui': 'its window was closed',
  'subsystem-reset': 'a subsystem was reset',
};

/** What an event says of the VM, or null when it says nothing. STOP says only that it paused; why must be asked. */
export function findVmState(event: QmpEvent): VmState | null {
  // A panic says what QEMU does about it: with `-action panic=none` the guest goes on.
  const detail = findText(findMember(event.data, event.name.startsWith('GUEST_') ? 'action' : 'reason'));
  const told = findTold(event.name, detail);
  return told === null ? null : { ...told, event: event.name };
}

function findTold(event: string, cause: string | null): VmState | null {
  const words = cause === null ? null : (SHUTDOWN_REASONS[cause] ?? cause);
  switch (event) {
    case 'STOP':
      return state('paused', PAUSED);
    case 'RESUME':
    case 'WAKEUP':
      return state('running', null);
    case 'RESET':
      return state('running', words ?? 'it was reset', cause);
    case 'SHUTDOWN':
      return state(cause === 'guest-panic' ? 'crashed' : 'shutdown', words, cause);
    case 'GUEST_PANICKED':
      return cause === 'run' ? state('running', `${PANICKED}, and goes on`) : state('crashed', PANICKED);
    case 'GUEST_CRASHLOADED':
      return state('running', `${PANICKED}, and boots its crash kernel`);
    case 'SUSPEND':
      return state('paused', 'the guest sleeps (suspended)');
    default:
      return null;
  }
}

function state(status: VmStatus, reason: string | null, cause: string | null = null): VmState {
  return { status, reason, event: null, cause };
}
