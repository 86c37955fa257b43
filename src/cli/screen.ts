// Opens the screen on a session; blessed and all that hangs on it are loaded only here, only then.

import type { FleetView } from '../model/fleet.ts';
import type { SessionView } from '../model/session.ts';

/** Shows `session` until the user leaves; then says on the normal screen what becomes of the VM. */
export async function showScreen(session: SessionView, options: { readonly recording?: string }): Promise<void> {
  const { openScreen } = await import('../../tui/screen.ts');
  const screen = await openScreen({ session, ...(options.recording === undefined ? {} : { recording: options.recording }) });
  const reason = await screen.closed;
  if (reason.kind === 'terminal-lost') return;
  process.stdout.write(`unidbg: detached; ${whatRemains(session)}\n`);
}

/** Shows many VMs until the user leaves; then says what becomes of each. `onOpen` is called when there is something to see. */
export async function showFleet(fleet: FleetView, onOpen: () => void): Promise<void> {
  const { openScreen } = await import('../../tui/screen.ts');
  const screen = await openScreen({ fleet });
  onOpen();
  const reason = await screen.closed;
  if (reason.kind === 'terminal-lost') return;
  const remains = fleet.members().flatMap(({ session }) => (session === null ? [] : [whatRemains(session)]));
  process.stdout.write(`unidbg: detached; ${remains.length === 0 ? 'there was no VM.' : remains.join(' ')}\n`);
}

function whatRemains(session: SessionView): string {
  const { identity, vm } = session.snapshot();
  const name = identity?.name ?? 'the VM';
  if (identity?.kind === 'replay') return 'the recording is as it was.';
  if (vm.status === 'running' || vm.status === 'debug') return `${name} keeps running.`;
  return vm.status === 'gone' ? `${name} has ended.` : `${name} is left as it was: ${vm.status}.`;
}
