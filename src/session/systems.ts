// What there is to know of unikernels, runtimes and probes: passed in by the CLI, so that the session knows none by name.

import type { Check, Derivation } from '../model/check.ts';
import type { GcLog } from '../model/gc-log.ts';
import type { GuestProbe } from '../model/guest-probe.ts';
import type { Probe } from '../model/probe.ts';
import type { Runtime, Unikernel } from '../model/unikernel.ts';
import type { CodeTableOpener } from '../symbolize/code-image.ts';
import type { SymbolImage } from '../symbolize/symbolizer.ts';

/** The extension lists. */
export interface Systems {
  readonly unikernels: readonly Unikernel[];
  readonly runtimes: readonly Runtime[];
  readonly probes: readonly Probe[];
  readonly guestProbe: GuestProbe;
  /** Reads what collectors log on the console. */
  readonly openGcLog: () => GcLog;
  readonly checks: readonly Check[];
  readonly derivations: readonly Derivation[];
}

/** What opens the tables that language runtimes keep of their code. */
export function codeTables({ runtimes }: Pick<Systems, 'runtimes'>): readonly CodeTableOpener[] {
  return runtimes.flatMap(({ openCodeTable }) => openCodeTable ?? []);
}

/** What an image is recognised by. */
export interface ImageFace {
  readonly hasSymbol: (name: string) => boolean;
  readonly sections: ReadonlySet<string>;
}

/** What there is to recognise an open image by. */
export function faceOf(image: SymbolImage): ImageFace {
  return {
    hasSymbol: (name) => image.findLinkSymbol(name) !== null,
    sections: new Set(image.elf.sections.map((section) => section.name)),
  };
}

/** The unikernel that an image is, by its symbols and sections; null = none that we know. */
export function recogniseImage(unikernels: readonly Unikernel[], face: ImageFace): Unikernel | null {
  return unikernels.find(({ recognise }) => isIn(face, recognise)) ?? null;
}

/** The language runtimes in a guest's images. */
export function recogniseRuntimes(runtimes: readonly Runtime[], faces: readonly ImageFace[]): readonly Runtime[] {
  return runtimes.filter(({ recognise }) => faces.some((face) => isIn(face, recognise)));
}

function isIn({ hasSymbol, sections }: ImageFace, marks: Runtime['recognise']): boolean {
  return marks.symbols.some(hasSymbol) || marks.sections.some((name) => sections.has(name));
}
