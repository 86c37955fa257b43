// The code that a log's crashes are told with: the images that were given, where the log itself says that they were, as far as its own
// addresses do not speak against them.

import { basename } from 'node:path';
import { toUnsigned64 } from '../../model/address.ts';
import type { ReportedCrash } from '../../model/console-text.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { findPc } from '../../model/registers.ts';
import type { Unikernel } from '../../model/unikernel.ts';
import { type Code, CodeBuilder } from '../../session/build-code.ts';
import type { LoggedCrash } from '../../session/log-reader.ts';
import { findBiasByCalls } from '../../session/place-by-calls.ts';
import type { Systems } from '../../session/systems.ts';
import { judgeByText, weighText } from '../../session/text-evidence.ts';
import type { SourceMaps } from '../../symbolize/source-maps.ts';
import type { PlacedImage } from '../../symbolize/symbolizer.ts';
import type { NamedImage, Names } from '../symbolize/names.ts';
import { learnPlaces } from '../symbolize/whereabouts.ts';

/** Follows a log. One for each log: another guest may have lain elsewhere. */
export class LogCode {
  private names: Names;
  private readonly systems: Systems;
  private readonly builder: CodeBuilder;

  constructor(names: Names, systems: Systems, maps: SourceMaps | null) {
    this.names = names;
    this.systems = systems;
    this.builder = new CodeBuilder(systems, maps);
  }

  /** The code as it lay when this crash was told. */
  at({ reported, lines }: LoggedCrash): Code {
    this.names = lines.reduce((names, line) => learnPlaces(line, names), this.names);
    const system = this.systems.unikernels.find(({ name }) => name === reported.unikernel) ?? null;
    this.names = placeByCalls(reported, this.names, system);
    const judged = this.judge(reported);
    const placed = judged.map((one) => one.placed).filter(({ match }) => match !== 'mismatch');
    return this.builder.build({
      placed,
      refused: judged.filter(({ placed }) => placed.match === 'mismatch').map(({ placed }) => placed),
      modules: [],
      diagnostics: [...judged.flatMap(({ diagnostic }) => diagnostic ?? []), ...remarkOnUnused(placed, reported)],
      settled: true,
    });
  }

  private judge(reported: ReportedCrash): readonly ReturnType<typeof judgeByText>[] {
    const { names } = this;
    return names.placed.map((placed) =>
      judgeByText(
        placed,
        weighText(reported, placed, (name) => names.demangle(name)),
      ),
    );
  }

  /** What opening the images had to say. */
  get diagnostics(): readonly Diagnostic[] {
    return this.names.images.flatMap(({ image }) => image.diagnostics);
  }
}

/** Images that nobody placed and that the stack has no address in: programs under ASLR, or where their system always puts them. */
function placeByCalls(reported: ReportedCrash, names: Names, system: Unikernel | null): Names {
  return names.images.reduce((known, image, index) => {
    const placed = known.placed[index]!;
    const { right, wrong } = weighText(reported, placed, (name) => known.demangle(name));
    const isRefuted = wrong > 0 || !holdsAny(placed, addressesOf(reported));
    if (image.isGiven || right > wrong || !isRefuted) return known;
    const strange = reported.frames.filter(({ address }) => address !== null && !known.isCode(address));
    const loadBias = findBiasByCalls(image.image, strange) ?? usualBias(image, reported, known, system);
    return loadBias === null ? known : known.moved(image, loadBias);
  }, names);
}

/** Where the system always loads a program, when all that the stack has there stands behind calls. */
function usualBias({ image }: NamedImage, reported: ReportedCrash, names: Names, system: Unikernel | null): bigint | null {
  if (image.elf.type !== 'dyn' || system?.loadsProgramsAt === undefined) return null;
  const loadBias = system.loadsProgramsAt - (image.elf.imageBase & ~0xfffn);
  const there: PlacedImage = { image, loadBias, match: 'unverified', placedBy: `where ${system.title} loads programs` };
  const { right, wrong } = weighText(reported, there, (name) => names.demangle(name));
  return right > 0 && wrong === 0 ? loadBias : null;
}

/** Given, and of no use: the user should know. */
function remarkOnUnused(placed: readonly PlacedImage[], reported: ReportedCrash): readonly Diagnostic[] {
  const addresses = addressesOf(reported);
  if (placed.length === 0 || addresses.length === 0 || placed.some((one) => holdsAny(one, addresses))) return [];
  const [first] = placed.map(({ image }) => basename(image.elf.path));
  const message = `no address of the crash lies in ${placed.map(({ image }) => image.elf.path).join(', ')}: another build, or loaded elsewhere (--base ${first ?? ''}=0x…)`;
  return [{ code: 'image-unused', message }];
}

/** The pc and the stack. */
function addressesOf({ frames, registers }: ReportedCrash): readonly bigint[] {
  const pc = registers === null ? null : findPc(registers);
  return [pc, ...frames.map(({ address }) => address)].filter((address) => address !== null);
}

function holdsAny({ image: { elf }, loadBias }: PlacedImage, addresses: readonly bigint[]): boolean {
  return addresses.map((at) => toUnsigned64(at - loadBias)).some((link) => elf.imageBase <= link && link < elf.imageEnd);
}
