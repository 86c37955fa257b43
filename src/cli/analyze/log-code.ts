// The code that a log's crashes are told with: the images that were given, where the log itself says that they were, as far as its own
// addresses do not speak against them.

import { basename } from 'node:path';
import type { ReportedCrash } from '../../model/console-text.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { findPc } from '../../model/registers.ts';
import { type Code, CodeBuilder } from '../../session/build-code.ts';
import type { LoggedCrash } from '../../session/log-reader.ts';
import { findBiasByCalls } from '../../session/place-by-calls.ts';
import type { Systems } from '../../session/systems.ts';
import { judgeByText, weighText } from '../../session/text-evidence.ts';
import type { SourceMaps } from '../../symbolize/source-maps.ts';
import type { PlacedImage } from '../../symbolize/symbolizer.ts';
import type { Names } from '../symbolize/names.ts';
import { learnPlaces } from '../symbolize/whereabouts.ts';

/** Follows a log. One for each log: another guest may have lain elsewhere. */
export class LogCode {
  private names: Names;
  private readonly builder: CodeBuilder;

  constructor(names: Names, systems: Systems, maps: SourceMaps | null) {
    this.names = names;
    this.builder = new CodeBuilder(systems, maps);
  }

  /** The code as it lay when this crash was told. */
  at({ reported, lines }: LoggedCrash): Code {
    this.names = lines.reduce((names, line) => learnPlaces(line, names), this.names);
    this.names = placeByCalls(reported, this.names);
    const judged = this.judge(reported);
    return this.builder.build({
      placed: judged.filter(({ placed }) => placed.match !== 'mismatch').map(({ placed }) => placed),
      refused: judged.filter(({ placed }) => placed.match === 'mismatch').map(({ placed }) => placed),
      modules: [],
      diagnostics: judged.flatMap(({ placed, diagnostic }) => diagnostic ?? remarkOn(placed, reported)),
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

/** Images that nobody placed and that the stack has no address in: a program under ASLR. */
function placeByCalls(reported: ReportedCrash, names: Names): Names {
  return names.images.reduce((known, image, index) => {
    const { right, wrong } = weighText(reported, known.placed[index]!, (name) => known.demangle(name));
    if (image.isGiven || right > wrong) return known;
    const strange = reported.frames.filter(({ address }) => address !== null && !known.isCode(address));
    const loadBias = findBiasByCalls(image.image, strange);
    return loadBias === null ? known : known.moved(image, loadBias);
  }, names);
}

/** Given, and of no use: the user should know. */
function remarkOn({ image, loadBias }: PlacedImage, { frames, registers }: ReportedCrash): readonly Diagnostic[] {
  const pc = registers === null ? null : findPc(registers);
  const addresses = [pc, ...frames.map(({ address }) => address)].filter((address) => address !== null);
  const { path, imageBase, imageEnd } = image.elf;
  if (addresses.length === 0 || addresses.some((at) => imageBase + loadBias <= at && at < imageEnd + loadBias)) return [];
  const message = `no address of the crash lies in ${path}: another build, or loaded elsewhere (--base ${basename(path)}=0x…)`;
  return [{ code: 'image-unused', message }];
}
