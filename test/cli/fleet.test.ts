// Many sessions side by side, over made-up VMs: what one does hinders no other.

import { describe, expect, it } from 'vitest';
import { Fleet } from '../../src/cli/fleet.ts';
import { UnidbgError } from '../../src/model/error.ts';
import type { LiveSession } from '../../src/session/live-session.ts';
import { Session } from '../../src/session/session.ts';
import type { LiveSource } from '../../src/targets/live.ts';

const vm = (name: string, pid: number): LiveSource => ({ name, pid }) as LiveSource;

interface Opened {
  readonly fleet: Fleet;
  readonly sessions: Map<string, Session>;
  readonly inView: Map<string, () => boolean>;
  readonly failures: string[];
  readonly closed: string[];
}

/** A fleet whose VMs called `bad…` refuse, and those called `slow…` wait for `release`. */
function makeFleet(release: Promise<void> = Promise.resolve()): Opened {
  const opened = {
    sessions: new Map<string, Session>(),
    inView: new Map<string, () => boolean>(),
    failures: [] as string[],
    closed: [] as string[],
  };
  const fleet = new Fleet({
    open: async (source, prepare, inView) => {
      const name = 'pid' in source ? source.name : '?';
      if (name.startsWith('slow')) await release;
      if (name.startsWith('bad')) throw new UnidbgError('QMP_CONNECT', `${name} does not answer`);
      const session = new Session();
      prepare(session);
      opened.inView.set(name, inView);
      const close = (): Promise<void> => {
        opened.closed.push(name);
        return Promise.resolve();
      };
      return { session, close } as unknown as LiveSession;
    },
    prepare: (name, session) => {
      opened.sessions.set(name, session);
    },
    onFailure: (name, message) => {
      opened.failures.push(`${name}: ${message}`);
    },
  });
  return { fleet, ...opened };
}

describe('a fleet', () => {
  it('keeps a VM that cannot be attached as its reason, and attaches the others', async () => {
    const { fleet, failures } = makeFleet();
    for (const [index, name] of ['a', 'bad', 'b'].entries()) fleet.add(name, () => vm(name, index + 1));
    fleet.add('nobody', () => {
      throw new UnidbgError('TARGET_NOT_FOUND', 'no running QEMU is called "nobody"');
    });
    await fleet.settled();
    expect(fleet.members().map(({ name, session, failure }) => [name, session !== null, failure])).toEqual([
      ['a', true, null],
      ['bad', false, 'bad does not answer'],
      ['b', true, null],
      ['nobody', false, 'no running QEMU is called "nobody"'],
    ]);
    expect(failures).toHaveLength(2);
  });

  it('waits for a slow one no longer than that one takes', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const { fleet } = makeFleet(promise);
    for (const [index, name] of ['slow', 'a', 'b'].entries()) fleet.add(name, () => vm(name, index + 1));
    await expect.poll(() => fleet.members().map(({ session }) => session !== null)).toEqual([false, true, true]);
    resolve(undefined);
    await fleet.settled();
    expect(fleet.members().every(({ session }) => session !== null)).toBe(true);
  });

  it('attaches to a VM once, however often and under whatever name it is found', async () => {
    const { fleet } = makeFleet();
    fleet.add('a', () => vm('a', 7));
    fleet.add('7', () => vm('a', 7));
    await fleet.settled();
    expect(fleet.members()).toHaveLength(1);
  });

  it('tells VMs of one name apart', async () => {
    const { fleet } = makeFleet();
    fleet.add('a', () => vm('a', 7));
    fleet.add('a', () => vm('a', 8));
    await fleet.settled();
    expect(fleet.members().map(({ name }) => name)).toEqual(['a', 'a (8)']);
  });

  it('tells who listens of each event of each VM, and keeps one that is gone', async () => {
    const { fleet, sessions } = makeFleet();
    fleet.add('a', () => vm('a', 1));
    fleet.add('b', () => vm('b', 2));
    await fleet.settled();
    let told = 0;
    const unsubscribe = fleet.subscribe(() => (told += 1));
    sessions.get('b')!.emit({ type: 'vm', status: 'gone', reason: null });
    expect(told).toBe(1);
    unsubscribe();
    expect(fleet.members().map(({ session }) => session?.snapshot().vm.status)).toEqual(['connecting', 'gone']);
  });

  it('looks closely at the VM that is shown only', async () => {
    const { fleet, inView } = makeFleet();
    fleet.add('a', () => vm('a', 1));
    fleet.add('b', () => vm('b', 2));
    await fleet.settled();
    expect([inView.get('a')!(), inView.get('b')!()]).toEqual([false, false]);
    fleet.show('2');
    expect([inView.get('a')!(), inView.get('b')!()]).toEqual([false, true]);
  });

  it('closes all it opened, and opens nothing more', async () => {
    const { fleet, closed } = makeFleet();
    fleet.add('a', () => vm('a', 1));
    fleet.add('b', () => vm('b', 2));
    await fleet.settled();
    await fleet.close();
    fleet.add('c', () => vm('c', 3));
    await fleet.settled();
    expect(closed).toEqual(['a', 'b']);
    expect(fleet.members()).toHaveLength(2);
  });
});
