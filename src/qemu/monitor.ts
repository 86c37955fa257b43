// A QEMU monitor, QMP or human: what attaching needs of it, asked in whichever language it speaks. QMP comes first; a
// bare HMP socket (`-monitor unix:…`) is second class: no events, so the state is polled.

import { errorCode, UnidbgError } from '../model/error.ts';
import type { VmMonitor } from './discover/record.ts';
import { type ConnectionChange, openQmp, type QmpClient } from './qmp/client.ts';
import type { QmpEvent } from './qmp/connection.ts';
import { type Endpoint, formatEndpoint } from './qmp/endpoint.ts';
import { findInteger, findMember, findText, type Json } from './qmp/exact-json.ts';
import { type HmpClient, openHmp } from './qmp/hmp-client.ts';
import { getRunState, parseHmpStatus, type VmState } from './vm-status.ts';

/** An open monitor; owns its connection. `find…` answers are null where this QEMU does not say. */
export interface Monitor {
  /** The QMP client, for what only QMP can do; null behind an HMP monitor. */
  readonly qmp: QmpClient | null;
  /** Endpoint, for messages. */
  readonly where: string;
  readonly version: string | null;
  /** False: state must be polled. */
  readonly hasEvents: boolean;
  /** Runs a human-monitor line; HMP's own failures are in its text. */
  hmp(line: string): Promise<string>;
  askState(): Promise<VmState>;
  findArchitecture(): Promise<string | null>;
  findName(): Promise<string | null>;
  findAccelerator(): Promise<string | null>;
  findMemoryBytes(): Promise<number | null>;
  stop(): Promise<void>;
  cont(): Promise<void>;
  subscribe(listener: (event: QmpEvent) => void): () => void;
  onConnection(listener: (change: ConnectionChange) => void): () => void;
  close(): void;
}

const RECONNECT = { firstDelayMs: 200, maxDelayMs: 5000, attempts: 60 };

/** Opens the first monitor that answers, QMP before HMP. Throws the first one's error, or QMP_CONNECT when there is none. */
export async function openMonitor(
  candidates: readonly (VmMonitor | Endpoint)[],
  options: { readonly connectTimeoutMs?: number } = {},
): Promise<Monitor> {
  const known = candidates.map((candidate) =>
    'endpoint' in candidate ? candidate : { kind: 'qmp' as const, endpoint: candidate },
  );
  let failure: unknown = null;
  for (const kind of ['qmp', 'hmp'] as const) {
    for (const { endpoint } of known.filter((candidate) => candidate.kind === kind)) {
      if (endpoint === null) continue;
      try {
        return kind === 'qmp' ? await openEither(endpoint, options) : humanMonitor(await openHmp(endpoint, options));
      } catch (error) {
        failure ??= error;
      }
    }
  }
  if (failure !== null) throw failure as Error;
  throw new UnidbgError(
    'QMP_CONNECT',
    'this QEMU has no monitor socket, so nothing can be asked of it: start it with -qmp unix:/path/to/qmp.sock,server=on,wait=off',
  );
}

/** An endpoint given by hand may speak either. */
async function openEither(endpoint: Endpoint, options: { readonly connectTimeoutMs?: number }): Promise<Monitor> {
  try {
    return qmpMonitor(await openQmp(endpoint, { ...options, reconnect: RECONNECT }));
  } catch (error) {
    if (errorCode(error) === 'QMP_MALFORMED' && error instanceof UnidbgError && error.facts['speaks'] === 'hmp') {
      return humanMonitor(await openHmp(endpoint, options));
    }
    throw error;
  }
}

function qmpMonitor(qmp: QmpClient): Monitor {
  const { version } = qmp;
  const query = async (command: string, ...path: string[]): Promise<Json | undefined> => {
    try {
      return path.reduce<Json | undefined>(findMember, await qmp.execute(command));
    } catch (error) {
      // A command this QEMU lacks or forbids tells nothing; a lost connection is news.
      if (errorCode(error) === 'QMP_COMMAND') return undefined;
      throw error;
    }
  };
  return {
    qmp,
    where: formatEndpoint(qmp.endpoint),
    version: version === null ? null : `${version.major}.${version.minor}.${version.micro}`,
    hasEvents: true,
    hmp: (line) => qmp.hmp(line),
    askState: async () => getRunState(findText(await query('query-status', 'status')) ?? 'unknown'),
    findArchitecture: async () => findText(await query('query-target', 'arch')),
    findName: async () => findText(await query('query-name', 'name')),
    findAccelerator: async () => ((await query('query-kvm', 'enabled')) === true ? 'kvm' : 'tcg'),
    findMemoryBytes: async () => findInteger(await query('query-memory-size-summary', 'base-memory')),
    stop: async () => {
      await qmp.execute('stop');
    },
    cont: async () => {
      await qmp.execute('cont');
    },
    subscribe: (listener) => qmp.subscribe(listener),
    onConnection: (listener) => qmp.onConnection(listener),
    close: () => {
      qmp.close();
    },
  };
}

function humanMonitor(hmp: HmpClient): Monitor {
  const nothing = (): Promise<null> => Promise.resolve(null);
  return {
    qmp: null,
    where: formatEndpoint(hmp.endpoint),
    version: hmp.version,
    hasEvents: false,
    hmp: (line) => hmp.ask(line),
    askState: async () => parseHmpStatus(await hmp.ask('info status')),
    findArchitecture: nothing,
    findName: async () => /^(?!unnamed|no name)(\S.*)/.exec((await hmp.ask('info name')).trim())?.[1] ?? null,
    findAccelerator: async () => (/enabled/.test(await hmp.ask('info kvm')) ? 'kvm' : 'tcg'),
    findMemoryBytes: async () =>
      Number(/base memory:\s*(\d+)/.exec(await hmp.ask('info memory_size_summary'))?.[1] ?? NaN) || null,
    stop: async () => {
      await hmp.ask('stop');
    },
    cont: async () => {
      await hmp.ask('cont');
    },
    subscribe: () => () => undefined,
    onConnection: (listener) =>
      hmp.onClose((reason) => {
        listener({ state: 'lost', reason, retryInMs: null });
      }),
    close: () => {
      hmp.close();
    },
  };
}
