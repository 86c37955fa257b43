// What there is to know of unikernels, runtimes and probes: passed in by the CLI, so that the session knows none by name.

import type { GuestProbe } from '../model/guest-probe.ts';
import type { Probe } from '../model/probe.ts';
import type { Runtime, Unikernel } from '../model/unikernel.ts';

/** The extension lists. */
export interface Systems {
  readonly unikernels: readonly Unikernel[];
  readonly runtimes: readonly Runtime[];
  readonly probes: readonly Probe[];
  readonly guestProbe: GuestProbe;
}

/** The unikernel that an image is, by its symbols and sections; null = none that we know. */
export function recogniseImage(
  unikernels: readonly Unikernel[],
  image: { readonly hasSymbol: (name: string) => boolean; readonly sections: ReadonlySet<string> },
): Unikernel | null {
  const matches = ({ recognise }: Unikernel): boolean =>
    recognise.symbols.some((name) => image.hasSymbol(name)) || recognise.sections.some((name) => image.sections.has(name));
  return unikernels.find(matches) ?? null;
}
