import { describe, expect, it } from 'vitest';
import type { Monitor } from '../../src/qemu/monitor.ts';
import type { ConnectionChange } from '../../src/qemu/qmp/client.ts';
import type { QmpEvent } from '../../src/qemu/qmp/connection.ts';
import { getRunState, parseHmpStatus, type VmState } from '../../src/qemu/vm-status.ts';
import { type VmWatch, watchVm } from '../../src/qemu/vm-watch.ts';

interface Stage {
  readonly watch: VmWatch;
  readonly seen: VmState[];
  /** QEMU sends an event; `runState` is what query-status answers from then on. */
  readonly tell: (name: string, data?: QmpEvent['data'], runState?: string) => void;
  readonly connection: (change: ConnectionChange) => void;
  /** Lets answers under way arrive. */
  readonly settle: () => Promise<void>;
}

async function start(runState: string, pid: number | null = null): Promise<Stage> {
  let current = runState;
  let event: (event: QmpEvent) => void = () => undefined;
  let connection: (change: ConnectionChange) => void = () => undefined;
  const monitor = {
    hasEvents: true,
    askState: async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return getRunState(current);
    },
    subscribe: (listener: typeof event) => {
      event = listener;
      return () => undefined;
    },
    onConnection: (listener: typeof connection) => {
      connection = listener;
      return () => undefined;
    },
  };
  const watch = await watchVm(monitor as Partial<Monitor> as Monitor, pid);
  const seen: VmState[] = [];
  watch.onState((state) => seen.push(state));
  return {
    watch,
    seen,
    tell: (name, data = {}, next = current) => {
      current = next;
      event({ name, data, at: 0 });
    },
    connection: (change) => {
      connection(change);
    },
    settle: () => new Promise((resolve) => setTimeout(resolve, 20)),
  };
}

describe('the state of a VM', () => {
  it('begins with what QEMU says', async () => {
    expect((await start('guest-panicked')).watch.state().status).toBe('crashed');
    expect((await start('prelaunch')).watch.state()).toMatchObject({ status: 'paused', reason: 'not started yet (-S)' });
  });

  it('tells who stopped it: a person or a debugger', async () => {
    const { seen, tell, settle } = await start('running');
    tell('STOP', {}, 'debug');
    await settle();
    tell('RESUME', {}, 'running');
    expect(seen.map(({ status }) => status)).toEqual(['paused', 'debug', 'running']);
  });

  it('is running after a short stop, though the answer about the stop comes last', async () => {
    const { watch, tell, settle } = await start('running');
    tell('STOP', {}, 'paused');
    tell('RESUME');
    await settle();
    expect(watch.state().status).toBe('running');
  });

  it('keeps the reason of a shutdown when the STOP behind it arrives', async () => {
    const { watch, seen, tell, settle } = await start('running');
    tell('SHUTDOWN', { guest: true, reason: 'guest-reset' }, 'shutdown');
    tell('STOP');
    await settle();
    expect(seen).toHaveLength(1);
    expect(watch.state()).toMatchObject({
      status: 'shutdown',
      cause: 'guest-reset',
      reason: 'the guest reset itself: a reboot, or a triple fault',
    });
  });

  it('keeps a panic when QEMU stops behind it', async () => {
    const { watch, tell, settle } = await start('running');
    tell('GUEST_PANICKED', { action: 'pause' }, 'guest-panicked');
    tell('STOP');
    await settle();
    expect(watch.state()).toMatchObject({ status: 'crashed', event: 'GUEST_PANICKED' });
  });

  it('reports each reset, though the VM runs before and after', async () => {
    const { seen, tell } = await start('running');
    tell('RESET', { guest: true, reason: 'guest-reset' });
    tell('RESET', { guest: true, reason: 'guest-reset' });
    expect(seen.map(({ status, event }) => `${status} ${event ?? ''}`)).toEqual(['running RESET', 'running RESET']);
  });

  it('is connecting while the connection is lost but QEMU lives, and itself again afterwards', async () => {
    const { watch, seen, connection, settle } = await start('running', process.pid);
    connection({ state: 'lost', reason: 'cut', retryInMs: 5 });
    expect(watch.state()).toMatchObject({ status: 'connecting', reason: 'cut' });
    connection({ state: 'connected', version: { major: 7, minor: 2, micro: 0, package: '' } });
    await settle();
    expect(seen.map(({ status }) => status)).toEqual(['connecting', 'running']);
    watch.close();
  });

  it('is gone for good when QEMU is, and remembers the last words', async () => {
    const { watch, tell, connection } = await start('running');
    tell('SHUTDOWN', { guest: true, reason: 'guest-shutdown' }, 'shutdown');
    connection({ state: 'lost', reason: 'closed', retryInMs: null });
    expect(watch.state()).toMatchObject({ status: 'gone', reason: 'QEMU ended: the guest switched itself off' });
    tell('RESUME');
    expect(watch.state().status).toBe('gone');
  });

  it('reads the human monitor’s words of 7.2 and 10', () => {
    expect(parseHmpStatus('VM status: running\n').status).toBe('running');
    expect(parseHmpStatus('VM status: paused (guest-panicked)\n').status).toBe('crashed');
    expect(parseHmpStatus('VM status: running (single step mode)\n').status).toBe('running');
    expect(parseHmpStatus('VM status: paused (something-new)\n')).toMatchObject({ status: 'paused', reason: 'something-new' });
    expect(parseHmpStatus('').status).toBe('paused');
  });
});
