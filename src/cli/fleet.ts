// Many VMs at once: a session each, opened side by side. What happens to one hinders no other: one that cannot be attached stays
// as its reason, one that ends stays as it ended.

import { errorCode, errorMessage } from '../model/error.ts';
import type { FleetMember, FleetView } from '../model/fleet.ts';
import type { LiveSession } from '../session/live-session.ts';
import type { Session } from '../session/session.ts';
import type { LiveSource } from '../targets/live.ts';

/** How a fleet's sessions are opened. `inView`: whether this VM's stacks are being looked at. */
export interface FleetOptions {
  readonly open: (source: LiveSource, prepare: (session: Session) => void, inView: () => boolean) => Promise<LiveSession>;
  /** Given each session before its first event, with the name its VM has here. */
  readonly prepare: (name: string, session: Session) => void;
  readonly onFailure: (name: string, message: string) => void;
}

/** Beyond this the oldest that have ended are forgotten: VMs may come and go for months. */
const MOST_MEMBERS = 256;
/** So many are opened at a time: reading symbols is work, and the first should not have to wait for the last. */
const LANES = 3;

interface Entry {
  member: FleetMember;
  readonly opening: Promise<void>;
  live: LiveSession | null;
}

/** The sessions; `close` ends them all and resolves when nothing of ours is left in any VM. */
export class Fleet implements FleetView {
  private readonly options: FleetOptions;
  private readonly entries = new Map<string, Entry>();
  private readonly listeners = new Set<() => void>();
  private current: readonly FleetMember[] = [];
  private shown: string | null = null;
  private readonly lanes: Promise<void>[] = [];
  private closed = false;

  constructor(options: FleetOptions) {
    this.options = options;
  }

  members(): readonly FleetMember[] {
    return this.current;
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  show(id: string | null): void {
    this.shown = id;
  }

  /** Attaches to what `find` gives, unless it is here already; `text` names it when it is not found. Never throws what unidbg knows to go wrong. */
  add(text: string, find: () => LiveSource): void {
    let source: LiveSource;
    try {
      source = find();
    } catch (error) {
      if (errorCode(error) === null) throw error;
      this.enter(`unknown ${text}`, text, Promise.resolve());
      this.fail(`unknown ${text}`, error);
      return;
    }
    const id = idOf(source);
    if (this.entries.has(id)) return;
    const name = this.freeName('pid' in source ? source.name : text, id);
    const lane = this.entries.size % LANES;
    const opening = (this.lanes[lane] ?? Promise.resolve()).then(() => this.open(id, name, source));
    this.lanes[lane] = opening;
    this.enter(id, name, opening);
  }

  /** Resolves when every VM so far is attached or has failed to be. */
  async settled(): Promise<void> {
    await Promise.all([...this.entries.values()].map(({ opening }) => opening));
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.settled();
    await Promise.all([...this.entries.values()].map(({ live }) => live?.close() ?? Promise.resolve()));
  }

  private enter(id: string, name: string, opening: Promise<void>): void {
    if (this.closed || this.entries.has(id)) return;
    this.forgetOne();
    this.entries.set(id, { member: { id, name, session: null, failure: null }, opening, live: null });
    this.change();
  }

  private async open(id: string, name: string, source: LiveSource): Promise<void> {
    if (this.closed) return;
    const prepare = (session: Session): void => {
      this.options.prepare(name, session);
      session.subscribe(() => {
        this.tell();
      });
      this.update(id, { session });
    };
    try {
      const live = await this.options.open(source, prepare, () => this.shown === id);
      const entry = this.entries.get(id);
      if (entry === undefined) await live.close();
      else entry.live = live;
    } catch (error) {
      if (errorCode(error) === null) throw error;
      this.fail(id, error);
    }
  }

  private fail(id: string, error: unknown): void {
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    const failure = errorMessage(error);
    this.update(id, { session: null, failure });
    this.options.onFailure(entry.member.name, failure);
  }

  private update(id: string, given: Partial<FleetMember>): void {
    const entry = this.entries.get(id);
    if (entry === undefined) return;
    entry.member = { ...entry.member, ...given };
    this.change();
  }

  private change(): void {
    this.current = [...this.entries.values()].map(({ member }) => member);
    this.tell();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }

  /** Two VMs may have one name; the pid, or whatever else tells it apart, then stands behind it. */
  private freeName(name: string, id: string): string {
    return [...this.entries.values()].some(({ member }) => member.name === name) ? `${name} (${id})` : name;
  }

  private forgetOne(): void {
    if (this.entries.size < MOST_MEMBERS) return;
    const over = [...this.entries.values()].find(({ member }) => {
      const status = member.session?.snapshot().vm.status;
      return member.failure !== null || status === 'gone';
    });
    if (over === undefined) return;
    this.entries.delete(over.member.id);
    void over.live?.close();
  }
}

function idOf(source: LiveSource): string {
  return 'pid' in source ? String(source.pid) : JSON.stringify(source.endpoint);
}
