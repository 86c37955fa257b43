// Questions that want an answer: DNS names, ARP addresses, DHCP offers. What stays unanswered for too long is remarked upon once.

import type { FlowRemark } from '../model/flow.ts';

interface Question<T> {
  readonly about: T;
  readonly since: number;
  told: boolean;
}

/** Questions that are open; the oldest is forgotten when there are more. */
const MAX_OPEN = 512;

/** Open questions by key. `T` is whatever the asker wants back. */
export class Questions<T> {
  private readonly open = new Map<string, Question<T>>();
  private readonly patienceMs: number;

  constructor(patienceMs: number) {
    this.patienceMs = patienceMs;
  }

  /** Notes a question; one that is repeated keeps its first time. True when it is new. */
  ask(key: string, about: T, at: number): boolean {
    if (this.open.has(key)) return false;
    if (this.open.size >= MAX_OPEN) this.open.delete(this.open.keys().next().value!);
    this.open.set(key, { about, since: at, told: false });
    return true;
  }

  /** Takes the question that an answer is for: what it was about, and ms since it was asked; null when nobody asked. */
  answer(key: string, at: number): { readonly about: T; readonly ms: number } | null {
    const question = this.open.get(key);
    this.open.delete(key);
    return question === undefined ? null : { about: question.about, ms: Math.max(0, at - question.since) };
  }

  /** Questions that have waited too long by `now`, each once. */
  takeOverdue(now: number): readonly T[] {
    const overdue = [...this.open.values()].filter(({ since, told }) => !told && now - since >= this.patienceMs);
    for (const question of overdue) question.told = true;
    return overdue.map(({ about }) => about);
  }
}

/** A failure's remark without its time. */
export function failure(protocol: FlowRemark['protocol'], text: string): Omit<FlowRemark, 'at'> {
  return { protocol, failure: true, text };
}

/** A remark that is none. */
export function note(protocol: FlowRemark['protocol'], text: string): Omit<FlowRemark, 'at'> {
  return { protocol, failure: false, text };
}
