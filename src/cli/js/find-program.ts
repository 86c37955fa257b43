// Which inspector `unidbg js` talks to: the one given, or the one behind a port that the VM's own QEMU forwards.

import { type FoundInspector, findFirstInspector, findInspector } from '../../inspector/find.ts';
import { UnidbgError } from '../../model/error.ts';
import { readForwards } from '../../qemu/discover/forwards.ts';
import { parseEndpoint } from '../../qemu/qmp/endpoint.ts';
import { chooseVm, findSource } from '../target.ts';

const INSPECTOR_PORT = 9229;
/** Somebody waits for this one: a guest under emulation may be slow. */
const GIVEN_MS = 3_000;

/** Throws INSPECTOR_CONNECT, TARGET_*, USAGE. */
export async function findProgram(vm: string | undefined, endpoint: string | undefined): Promise<FoundInspector> {
  if (endpoint !== undefined) return findInspector(parseEndpoint(endpoint), GIVEN_MS);
  const source = vm === undefined ? await chooseVm() : findSource(vm);
  const forwards = 'pid' in source ? readForwards(source) : [];
  // A forwarded inspector's port first: what asks the others is a request to somebody's server.
  const ordered = forwards.toSorted((one, other) => distance(one.guestPort) - distance(other.guestPort));
  const found = await findFirstInspector(ordered.map((forward) => forward.endpoint));
  if (found !== null) return found;
  const name = 'pid' in source ? source.name : (vm ?? 'this VM');
  const why = forwards.length === 0 ? 'QEMU forwards no port of it' : 'none of the ports that QEMU forwards is an inspector';
  throw new UnidbgError(
    'INSPECTOR_CONNECT',
    `no V8 inspector of ${name} was found: ${why}. Start Node with --inspect=0.0.0.0:9229 and QEMU with hostfwd=tcp:127.0.0.1:9229-:9229, or give --inspect`,
  );
}

function distance(guestPort: number): number {
  return guestPort === INSPECTOR_PORT ? 0 : 1;
}
