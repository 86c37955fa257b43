// What samples mean: after each of them, metrics derived from what is known are added and the built-in checks are asked.

import type { Check, Derivation } from '../model/check.ts';
import type { Finding } from '../model/finding.ts';
import { samplesOf } from './readings.ts';
import type { Session } from './session.ts';

/** Samples may come a hundred times a second; what they mean does not change as fast, and a trend less so. */
const EVERY_MS = 900;
const DERIVE_EVERY_MS = 1_900;

/** Appraises a session; keeps which findings are open. */
export class Appraisal {
  private readonly session: Session;
  private readonly checks: readonly Check[];
  private readonly derivations: readonly Derivation[];
  /** By check; what was said last. */
  private readonly open = new Map<string, Finding>();
  private last = Number.NEGATIVE_INFINITY;
  private lastDerived = Number.NEGATIVE_INFINITY;

  constructor(
    session: Session,
    { checks, derivations }: { readonly checks: readonly Check[]; readonly derivations: readonly Derivation[] },
  ) {
    this.session = session;
    this.checks = checks;
    this.derivations = derivations;
  }

  /** Call after samples were emitted; `now` in ms of any clock that only goes forward. */
  appraise(now: number): void {
    if (now - this.last < EVERY_MS) return;
    this.last = now;
    if (now - this.lastDerived >= DERIVE_EVERY_MS) this.derive(now);
    const snapshot = this.session.snapshot();
    for (const check of this.checks) {
      const found = check.find(snapshot);
      this.tell(check, found === null ? null : { check: check.name, ...found, active: true });
    }
  }

  private derive(now: number): void {
    this.lastDerived = now;
    const known = this.session.snapshot();
    const samples = this.derivations.flatMap((derivation) => {
      const readings = derivation.derive(known);
      return readings === null ? [] : samplesOf(derivation, readings);
    });
    if (samples.length > 0) this.session.emit({ type: 'metrics', samples });
  }

  // The numbers in a finding change from one sample to the next: it is said anew, so that nobody reads old ones.
  private tell({ name }: Check, finding: Finding | null): void {
    const before = this.open.get(name);
    if (finding === null) {
      if (before !== undefined) this.session.emit({ type: 'finding', finding: { ...before, active: false } });
      this.open.delete(name);
    } else {
      if (before?.message !== finding.message) this.session.emit({ type: 'finding', finding });
      this.open.set(name, finding);
    }
  }
}
